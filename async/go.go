package async

import "context"

// Go runs fn on the Short lane of p, or of the [Default] pool if p is nil, and
// returns the future of what it returns. It never blocks: when the lane's queue is full the future has failed already
// with [ErrOverloaded], after [Pool.Close] with [ErrClosed].
//
// ctx governs the work. If it is done before fn has started, fn never runs,
// and the future fails with context.Cause(ctx) at the latest when its turn
// comes; [Future.Cancel] is quicker. Once fn runs, it sees ctx end, and the
// future resolves with what it returns. fn's context carries the values of ctx,
// and also ends with the pool and when fn has returned.
//
// A panic in fn makes the future fail with a [*PanicError], a call of
// [runtime.Goexit] with [ErrGoexit].
func Go[T any](ctx context.Context, p *Pool, fn func(context.Context) (T, error)) *Future[T] {
	return submit(ctx, p.lane(LaneShort), opGo, fn)
}
