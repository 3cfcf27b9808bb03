package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// workload is a task, and the sides that perform it.
type workload struct {
	name string
	unit string // "…/s" counts work, more is better; anything else is time, less is better
	aim  string // of the figure or of the ratio; "" if none is set
	// open prepares what the sides share. It returns the sides, this library
	// first, and a function that undoes the preparation.
	open func(c config) (sides []side, closer func(), err error)
}

// side performs the workload once and returns the figure.
type side struct {
	name string
	run  func() (float64, error)
}

// line is the result of one pair.
type line struct {
	Workload string  `json:"workload"`
	Ours     float64 `json:"ours"`
	Unit     string  `json:"unit"`
	Peer     string  `json:"peer"`
	Theirs   float64 `json:"theirs"`
	Ratio    float64 `json:"ratio"`
	Least    float64 `json:"least"`
	Greatest float64 `json:"greatest"`
	Aim      string  `json:"aim,omitempty"`
}

// workloads returns all workloads, in the order of printing.
func workloads() []workload {
	return slices.Concat(commits(), spreads(), latencies(), stores(), appends(), frozens(), wals(), rafts(), largeRafts(), colds(), warms(), reads(), slows(), hots(), values(), opens(), grows(), locks(), futures(), copies(), scales(), fairs(), files())
}

// contest runs the rounds of one workload. Each side runs once per round; the
// side that begins changes from round to round.
func (c config) contest(w workload) ([]line, error) {
	sides, closer, err := w.open(c)
	if err != nil {
		return nil, err
	}
	defer closer()
	figures := make([][]float64, len(sides))
	for round := range c.rounds {
		for i := range sides {
			i = (i + round) % len(sides)
			v, err := sides[i].run()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", sides[i].name, err)
			}
			figures[i] = append(figures[i], v)
		}
	}
	var lines []line
	for i, theirs := range figures[1:] {
		l := line{Workload: w.name, Unit: w.unit, Aim: w.aim, Peer: sides[i+1].name, Ours: median(figures[0]), Theirs: median(theirs)}
		l.Ratio = w.ratio(l.Ours, l.Theirs)
		l.Least, l.Greatest = math.Inf(1), 0
		for round := range theirs {
			r := w.ratio(figures[0][round], theirs[round])
			l.Least, l.Greatest = min(l.Least, r), max(l.Greatest, r)
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// ratio returns how many times better this library is than the peer.
func (w workload) ratio(ours, theirs float64) float64 {
	if strings.HasSuffix(w.unit, "/s") {
		return ours / theirs
	}
	return theirs / ours
}

func median(vs []float64) float64 {
	vs = slices.Sorted(slices.Values(vs))
	if n := len(vs); n%2 == 0 {
		return (vs[n/2-1] + vs[n/2]) / 2
	}
	return vs[len(vs)/2]
}
