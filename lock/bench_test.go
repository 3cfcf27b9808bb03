package lock_test

import (
	"testing"

	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/lock"
)

func BenchmarkUncontended(b *testing.B) {
	name := tempFile(b)
	b.Run("raw", func(b *testing.B) {
		fl, err := sys.NewFileLock(open(b, name))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if fl.Set(sys.LockExclusive) != nil || fl.Set(sys.Unlocked) != nil {
				b.Fatal("no")
			}
		}
	})
	b.Run("lock", func(b *testing.B) {
		l := lock.New(open(b, name))
		b.ReportAllocs()
		for b.Loop() {
			if l.Try(lock.Exclusive) != nil || l.Release() != nil {
				b.Fatal("no")
			}
		}
	})
}
