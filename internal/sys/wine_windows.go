//go:build wine

package sys

import _ "unsafe" // for go:linkname

// deleteatFallback has package os delete by the calls of older Windows, which
// wine 8 knows. The tag is for .ci/wine alone; the linker must be given
// -checklinkname=0.
//
//go:linkname deleteatFallback internal/syscall/windows.TestDeleteatFallback
var deleteatFallback bool

func init() { deleteatFallback = true }
