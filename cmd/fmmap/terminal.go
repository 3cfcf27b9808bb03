package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// isTerminal reports whether w is a character device, other than the null one,
// of a system whose terminals take ANSI sequences.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || runtime.GOOS == "windows" || runtime.GOOS == "plan9" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// isColored reports whether output to w is colored.
func isColored(w io.Writer) bool { return os.Getenv("NO_COLOR") == "" && isTerminal(w) }

// bar returns a character per region by the part of it that is in memory: full,
// more than half, less, none.
func bar(regions []float64, color bool) string {
	var b strings.Builder
	for _, part := range regions {
		char, sgr := "█", 32 // green
		switch {
		case part <= 0:
			char, sgr = "·", 90 // grey
		case part < 0.5:
			char, sgr = "░", 33 // yellow
		case part < 1:
			char, sgr = "▓", 33
		}
		if color {
			char = fmt.Sprintf("\x1b[%dm%s\x1b[0m", sgr, char)
		}
		b.WriteString(char)
	}
	return b.String()
}

// progress shows how much of long work is done, on a terminal only.
func (c *call) progress(what string, done, of int64) {
	if isTerminal(c.stderr) {
		fmt.Fprintf(c.stderr, "\r\x1b[K%s %d%%", what, done*100/max(of, 1))
		if done >= of {
			c.clear()
		}
	}
}

// clear removes what progress shows.
func (c *call) clear() {
	if isTerminal(c.stderr) {
		fmt.Fprint(c.stderr, "\r\x1b[K")
	}
}

// alive does work whose share that is done is unknown, and shows on a terminal how
// long it has taken.
func (c *call) alive(what string, work func() error) error {
	if !isTerminal(c.stderr) {
		return work()
	}
	done := make(chan error, 1)
	go func() { done <- work() }()
	began := time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		fmt.Fprintf(c.stderr, "\r\x1b[K%s %.0f s", what, time.Since(began).Seconds())
		select {
		case err := <-done:
			c.clear()
			return err
		case <-tick.C:
		}
	}
}
