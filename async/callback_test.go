package async

import (
	"context"
	"errors"
	"testing"
)

var errTest = errors.New("test")

// subscriptions counts the callbacks of a future, and checks their list.
func subscriptions[T any](t *testing.T, f *Future[T]) int {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for c := f.callbacks; c != nil; c = c.next {
		if c.next.prev != c {
			t.Fatal("broken list")
		}
		n++
		if c.next == f.callbacks {
			break
		}
	}
	return n
}

// TestNothingIsLeftBehind: a combination that has its outcome, or was left,
// leaves no subscription in the futures that are still pending.
// Semantics 12.
func TestNothingIsLeftBehind(t *testing.T) {
	for _, x := range []struct {
		name    string
		combine func(fs []*Future[int])
	}{
		{"failed All", func(fs []*Future[int]) { All(fs...) }},
		{"successful Any", func(fs []*Future[int]) { Any(fs...) }},
		{"All of one failed before", func(fs []*Future[int]) { All(append(fs, Failed[int](errTest))...) }},
		{"All of one failed before, first", func(fs []*Future[int]) { All(append([]*Future[int]{Failed[int](errTest)}, fs...)...) }},
		{"Any of one that is there, first", func(fs []*Future[int]) { Any(append([]*Future[int]{Ready(1)}, fs...)...) }},
		{"Any of one that is there", func(fs []*Future[int]) { Any(append(fs, Ready(1))...) }},
		{"cancelled Then", func(fs []*Future[int]) {
			for _, f := range fs {
				then := Then(context.Background(), nil, f, func(context.Context, int) (int, error) { return 0, nil })
				if !then.Cancel(nil) {
					t.Error("Cancel: false")
				}
			}
		}},
		{"Completed, broken out of", func(fs []*Future[int]) {
			for range Completed(context.Background(), append(fs, Ready(1))...) {
				break
			}
		}},
		{"Completed, context done", func(fs []*Future[int]) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			for range Completed(ctx, fs...) {
				t.Error("yielded a pending future")
			}
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			before, after := newPromise[int](), newPromise[int]()
			first, second := newPromise[int](), newPromise[int]()
			All(before)
			All(after)
			x.combine([]*Future[int]{before, first, second, after})
			first.resolve(0, errTest)
			second.resolve(2, nil)
			for name, f := range map[string]*Future[int]{"before": before, "after": after} {
				if n := subscriptions(t, f); n != 1 {
					t.Errorf("%s: %d subscriptions, want the one that was there", name, n)
				}
			}
		})
	}
}

// TestSubscriptionsKeepTheirOrder through removals anywhere in the list.
func TestSubscriptionsKeepTheirOrder(t *testing.T) {
	for out := range 4 {
		f := newPromise[int]()
		r := new(recorder)
		cs := make([]callback, 4)
		for i := range cs {
			cs[i].w, cs[i].i = r, i
			if !f.subscribe(&cs[i]) {
				t.Fatal("refused by a pending future")
			}
		}
		f.unsubscribe(&cs[out])
		f.unsubscribe(&cs[out]) // once more changes nothing
		if n := subscriptions(t, f); n != 3 {
			t.Fatalf("%d left, want 3", n)
		}
		f.resolve(1, nil)
		f.unsubscribe(&cs[0])
		last := -1
		for _, i := range r.seen {
			if i <= last || i == out {
				t.Errorf("without %d: called %v", out, r.seen)
			}
			last = i
		}
		if len(r.seen) != 3 {
			t.Errorf("without %d: called %v", out, r.seen)
		}
		if f.subscribe(new(callback)) {
			t.Error("a resolved future took a subscription")
		}
	}
}

type recorder struct{ seen []int }

func (r *recorder) resolved(i int) *callback {
	r.seen = append(r.seen, i)
	return nil
}
