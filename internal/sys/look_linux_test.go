package sys

import (
	"slices"
	"testing"
)

func TestParseLocks(t *testing.T) {
	const table = `1: FLOCK  ADVISORY  WRITE 71 08:01:12 0 EOF
1: -> FLOCK  ADVISORY  READ 72 08:01:12 0 EOF
2: OFDLCK ADVISORY  READ -1 08:01:12 128 191
3: POSIX  ADVISORY  WRITE 71 08:02:12 0 EOF
4: torn
`
	want := []Holder{
		{PID: 71, Kind: "FLOCK", Mode: "WRITE", From: "0", To: "EOF"},
		{PID: 72, Kind: "FLOCK", Mode: "READ", From: "0", To: "EOF", Waiting: true},
		{PID: -1, Kind: "OFDLCK", Mode: "READ", From: "128", To: "191"},
	}
	if got := parseLocks(table, "08:01:12"); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
