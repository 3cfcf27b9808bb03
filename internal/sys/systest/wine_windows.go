//go:build wine

package systest

import _ "unsafe" // for go:linkname

// deleteatFallback has package os delete by the calls of older Windows, which
// wine 8 knows.
//
//go:linkname deleteatFallback internal/syscall/windows.TestDeleteatFallback
var deleteatFallback bool

func init() { deleteatFallback = true }
