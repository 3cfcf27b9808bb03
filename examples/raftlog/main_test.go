package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/fmmap-go/fmmap/internal/testutil"
)

// argsEnv has the arguments of a process that is a node, one per line.
const argsEnv = "RAFTLOG_TEST_ARGS"

func TestMain(m *testing.M) {
	testutil.PrivateMounts()
	testutil.RunRole(map[string]func() error{"node": beNode})
	testutil.VerifyMain(m)
}

// beNode is a node, until the test has no more to say. It says when it serves,
// or why it does not.
func beNode() error {
	ctx, cancel := context.WithCancel(context.Background())
	go func() { // ends with the process
		for more := true; more; {
			_, more = testutil.Hear()
		}
		cancel()
	}()
	err := run(ctx, strings.Split(os.Getenv(argsEnv), "\n"), io.Discard, saying{os.Stderr})
	if err != nil {
		testutil.Say("refused: %v", err)
	}
	return err
}

// saying is a log that says when a line of it tells that the node serves.
type saying struct{ io.Writer }

func (s saying) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(": serving http://")) {
		testutil.Say("serving")
	}
	return s.Writer.Write(b)
}
