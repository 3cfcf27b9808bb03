package core_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/fmmap-go/fmmap/core"
)

const (
	workers = 4
	share   = 16 * KiB // of the window, for each worker to itself
)

// A few goroutines do everything a file can do. Each compares its own share of the window with a
// model after every step; one of them resizes what lies behind the shares.
func TestAgainstAModel(t *testing.T) {
	seed := rand.Uint64()
	if s := os.Getenv("FMMAP_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("FMMAP_SEED=%d", seed)
	steps := 300
	if testing.Short() {
		steps = 50
	}
	for i, b := range backends {
		if b.store != nil {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			start := pattern(workers*share+100, byte(i))
			f := b.open(t, start)
			base := int64(0)
			if b.resize == nil {
				base = sizeOf(t, f, 0)
			}
			var wg sync.WaitGroup
			for w := range workers {
				m := &modelled{t: t, f: f, b: b, base: base, off: int64(w * share), want: bytes.Clone(start[w*share : (w+1)*share]),
					rng: rand.New(rand.NewPCG(seed, uint64(i*workers+w))), resizes: w == 0 && b.resize == nil && b.name != "window"}
				wg.Go(func() {
					for range steps {
						if !m.step() {
							return
						}
					}
				})
			}
			wg.Wait()
			check(t, f.Close())
		})
	}
}

// modelled is one worker's share and what it should hold.
type modelled struct {
	t       *testing.T
	f       *core.File
	b       backend
	base    int64 // the file's length when the window has none
	off     int64
	want    []byte
	rng     *rand.Rand
	resizes bool
}

// span is a random range of the share.
func (m *modelled) span() (off, n int64) {
	off = m.rng.Int64N(share)
	return off, min(m.rng.Int64N(share-off+1), 6000)
}

func (m *modelled) step() bool {
	off, n := m.span()
	at, fresh := m.off+off, pattern(int(n), byte(m.rng.Uint32()))
	part := m.want[off : off+n]
	var err error
	what := m.rng.IntN(16)
	switch what {
	case 0:
		_, err = m.f.WriteAt(fresh, at)
		copy(part, fresh)
	case 1:
		err = m.f.Update(func(b []byte) error { copy(b[at:at+n], fresh); return nil })
		copy(part, fresh)
	case 2:
		err = m.f.Zero(at, n)
		clear(part)
	case 3:
		if m.b.private {
			return true
		}
		if err = m.f.PunchHole(at, n); missingHere(err) {
			err = m.f.Zero(at, n)
		}
		clear(part)
	case 4:
		if n >= 8 {
			v := m.rng.Uint64()
			err = core.Put(m.f, at, binary.BigEndian, v)
			binary.BigEndian.PutUint64(part, v)
		}
	case 5:
		var w *core.Writer
		if w, err = m.f.NewWriter(at, n); err == nil {
			_, err = w.ReadFrom(bytes.NewReader(fresh))
			copy(part, fresh)
		}
	case 6:
		var p *core.Pin
		if p, err = m.f.Pin(at, n); err == nil {
			err = p.Do(func(b []byte) error { copy(b, fresh); return nil })
			copy(part, fresh)
			p.Release()
		}
	case 7:
		if m.b.flush == nil {
			err = m.f.FlushRange(at, n)
		}
	case 8:
		err = m.f.Populate(at, n)
	case 9:
		_, _, err = m.f.Resident(at, n)
	case 10:
		var got bytes.Buffer
		var r *core.Reader
		if r, err = m.f.NewReader(at, n); err == nil {
			if _, err = io.Copy(&got, r); err == nil && !bytes.Equal(got.Bytes(), part) {
				m.t.Errorf("a Reader of %d bytes at %d differs", n, at)
			}
		}
	case 11:
		if m.resizes {
			err = m.f.Truncate(m.base + workers*share + m.rng.Int64N(2*MiB))
		}
	case 12:
		if m.b.flush == nil {
			if err = m.f.StartWriteback(at, n); missingHere(err) {
				err = nil
			}
		}
	default:
		got := make([]byte, n)
		if _, err = m.f.ReadAt(got, at); err == nil && !bytes.Equal(got, part) {
			m.t.Errorf("%d bytes at %d differ", n, at)
		}
	}
	if err != nil {
		m.t.Errorf("step %d on [%d, %d): %v", what, at, at+n, err)
		return false
	}
	same := true
	err = m.f.View(func(b []byte) error { same = bytes.Equal(b[m.off:m.off+share], m.want); return nil })
	if err != nil || !same {
		m.t.Errorf("after step %d on [%d, %d) the share differs (%v)", what, at, at+n, err)
	}
	return err == nil && same
}
