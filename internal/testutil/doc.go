// Package testutil has what the tests of several packages need: second
// processes of the test binary, checks that nothing has leaked, disks that are
// mounted for one test, faults injected into system calls, seeds and waiting.
//
// It imports none of the packages that it helps to test. It builds everywhere.
// A test asks for what it needs (a capability, a program, a device, a limit, a
// kind of file system) by the functions Require... in the place that needs it,
// and is skipped with one line that names what is missing. With [CIEnv] set to
// 1 in the environment it fails instead, so that nothing is left out unnoticed
// where everything can run.
//
// [NoLeaks] and [Leaks] compare what the whole process holds. A test that uses
// them must not run in parallel with others.
package testutil
