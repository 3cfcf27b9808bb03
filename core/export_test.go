package core

// SetMinReserve changes what is reserved for files whose options do not say. No other goroutine may open any.
func SetMinReserve(n int64) { minReserve = n }
