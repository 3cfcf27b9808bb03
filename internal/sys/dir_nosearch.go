//go:build unix && !linux && !darwin && !freebsd

package sys

// searchOnly is 0 where a directory must be readable to be opened.
const searchOnly = 0
