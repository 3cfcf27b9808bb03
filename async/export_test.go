package async

// Execute queues fn as operations of files do that have no context.
func Execute(p *Pool, l Lane, fn func(dropped error)) error { return p.execute(l, opGo, fn) }
