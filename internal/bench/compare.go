package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// loss is how much of a ratio may be lost before it is a failure.
const loss = 0.10

// errWorse is the error of a comparison that has found a loss.
var errWorse = errors.New("worse than before")

// older reads the lines that -json has printed.
func older(name string) (all []line, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for n := 1; s.Scan(); n++ {
		var l line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		all = append(all, l)
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no results", name)
	}
	return all, nil
}

// compare reports the pairs whose ratio to the peer is worse than in old, and
// returns errWorse if there are any. Ratios are compared, and not figures, since
// the machine and the hour differ. A pair is worse if its ratio is more than 10 %
// below that of old, and its greatest ratio of a round more than 10 % below the
// least of old, so that the two spreads are apart by more than the 10 %. It is an
// error if no pair is in both.
func compare(old, fresh []line, out io.Writer) error {
	type pair struct{ workload, peer string }
	before := map[pair]line{}
	for _, l := range old {
		before[pair{l.Workload, l.Peer}] = l
	}
	both, worse := 0, 0
	for _, l := range fresh {
		o, ok := before[pair{l.Workload, l.Peer}]
		if !ok {
			continue
		}
		both++
		if l.Ratio < o.Ratio*(1-loss) && l.Greatest < o.Least*(1-loss) {
			worse++
			fmt.Fprintf(out, "worse: %s against %s: %.2f (%.2f..%.2f), was %.2f (%.2f..%.2f)\n",
				l.Workload, l.Peer, l.Ratio, l.Least, l.Greatest, o.Ratio, o.Least, o.Greatest)
		}
	}
	switch {
	case both == 0:
		return errors.New("no workload is in both results")
	case worse > 0:
		return fmt.Errorf("%d of %d: %w", worse, both, errWorse)
	}
	return nil
}
