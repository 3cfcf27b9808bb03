// Package lane runs tasks in bounded queues, each with a number of workers of
// its own, on goroutines that an executor supplies. It is the scheduler below
// package async, and knows no futures and no files: a task is an interface of
// three methods and a [Node] embedded in it.
//
// A lane owns its queue and borrows goroutines. The executor is asked for a
// goroutine when a lane has work and too few workers, not for each task, and
// gets it back when the lane is empty. So an idle lane owns no goroutine, a
// queued task can be removed, and closing is exact: after Close no task runs.
package lane
