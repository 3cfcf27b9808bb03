package sys

// unknownMemory is what Memory returns where the system does not tell.
const unknownMemory = 1 << 30

// Memory returns how many bytes of memory the process can have: what the machine
// has, or the limit of a memory cgroup that the process is in, if that is less.
// The page cache that the process fills counts there too.
func Memory() int64 { return memory() }
