// Package testutil has what the tests of several packages need: second processes of the test
// binary, checks that nothing has leaked, disks that are mounted for one test, faults injected into
// system calls, seeds and waiting.
//
// It imports none of the packages that it helps to test. It builds everywhere; what a platform lacks
// skips the test with the reason. With [CIEnv] set to 1 in the environment, lacking root or
// a tool fails the test instead, so that nothing is left out unnoticed where everything can run.
//
// Nothing here may be used in a test that runs in parallel with others when it compares what the whole
// process holds: [NoLeaks] and [Leaks].
package testutil
