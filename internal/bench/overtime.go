package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// instants is the number of points of a course.
const instants = 40

// A course is one side over time.
type course struct {
	name string
	rate [instants]float64 // requests per second
	late [instants]float64 // the latest tick of the instant, in µs
}

// plotWarming draws the courses of 64 readers of random pages of a file that fits
// into memory, without advice, in eight times the time of a measurement.
func (c config) plotWarming(dir string) error {
	name, err := c.warmFile()
	if err != nil {
		return err
	}
	defer os.Remove(name)
	var all []course
	for _, s := range []struct {
		name string
		open opener
	}{
		{"fmmap", loading(page, false)},
		{"touching a mmap-go slice", touching(page, false)},
		{"pread a goroutine", preading(page, false)},
	} {
		got := course{name: s.name}
		_, err := cold(name, func(do reader) (float64, error) { return 0, c.follow(do, &got) }, s.open)()
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		all = append(all, got)
	}
	span := 8 * c.time
	return os.WriteFile(filepath.Join(dir, "warming.svg"), []byte(courses(span, all)), 0o644)
}

// follow runs the readers and writes down their course.
func (c config) follow(do reader, to *course) error {
	c.time *= 8
	var requests atomic.Int64
	began := time.Now()
	at := func(t time.Time) int { return min(int(t.Sub(began)*instants/c.time), instants-1) }
	stop, stopped := make(chan bool), make(chan bool)
	go func() {
		defer close(stopped)
		last, next := int64(0), 0
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		due := time.Now().Add(time.Millisecond)
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			now := time.Now()
			i := at(now)
			for k := at(due); k <= i; k++ { // more than one if the tick was late
				to.late[k] = max(to.late[k], float64(now.Sub(due).Microseconds()))
			}
			due = now.Add(time.Millisecond)
			if i > next {
				n := requests.Load()
				for ; next < i; next++ {
					to.rate[next] = float64(n-last) / float64(i-next) / (c.time / instants).Seconds()
				}
				last = n
			}
		}
	}()
	_, err := c.rate(readers, func(worker int, rng *rand.Rand) error {
		requests.Add(1)
		return do(worker, rng)
	})
	close(stop)
	<-stopped
	to.rate[instants-1] = to.rate[instants-2]
	return err
}

// courses draws the rates above and the lateness below, both on logarithmic scales.
func courses(span time.Duration, all []course) string {
	const panel = 230
	var s strings.Builder
	head(&s, 40+2*panel, "64 readers of a file that was cold at first: requests per second, and how late a 1 ms ticker is, µs")
	for i, of := range []func(course) [instants]float64{
		func(c course) [instants]float64 { return c.rate },
		func(c course) [instants]float64 { return c.late },
	} {
		from, to := float64(40+i*panel), float64(40+i*panel+panel-50)
		lo, hi := 0.0, 1.0
		for _, one := range all {
			for _, v := range of(one) {
				hi = max(hi, math.Ceil(math.Log10(max(v, 1))))
			}
		}
		py := func(v float64) float64 { return to - (math.Log10(max(v, 1))-lo)/(hi-lo)*(to-from) }
		px := func(i int) float64 { return left + float64(i)/(instants-1)*(width-left-right) }
		grid(&s, lo, hi, py)
		for part := range 5 {
			i := part * (instants - 1) / 4
			fmt.Fprintf(&s, `<text x="%.1f" y="%.1f" text-anchor="middle">%.1f s</text>`+"\n", px(i), to+18, span.Seconds()*float64(part)/4)
		}
		var names []label
		for k, one := range all {
			values := of(one)
			var path []string
			for i, v := range values {
				path = append(path, fmt.Sprintf("%.1f,%.1f", px(i), py(v)))
			}
			fmt.Fprintf(&s, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"/>`+"\n", strings.Join(path, " "), colours[k])
			names = append(names, label{one.name, colours[k], px(instants-1) + 6, py(values[instants-1]) + 4})
		}
		labels(&s, names)
	}
	s.WriteString("</svg>\n")
	return s.String()
}
