package main

import (
	"bufio"
	"strings"
	"testing"
)

func TestEncode(t *testing.T) {
	t.Parallel()

	if got, want := encode("GET", "a\r\nb"), "*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()

	for reply, want := range map[string]struct {
		value         string
		found, failed bool
	}{
		"+OK\r\n":            {value: "OK", found: true},
		"$5\r\na\r\nbc\r\n":  {value: "a\r\nbc", found: true},
		"$0\r\n\r\n":         {found: true},
		"$-1\r\n":            {},
		"-ERR no\r\n":        {failed: true},
		"$x\r\n":             {failed: true},
		"$99999999\r\n":      {failed: true},
		"$4\r\nab":           {failed: true},
		"":                   {failed: true},
		"\r\n":               {failed: true},
		"*1\r\n$1\r\na\r\n":  {failed: true},
		"$3\r\nabc\r\n+OK\r": {value: "abc", found: true},
	} {
		value, found, err := decode(bufio.NewReader(strings.NewReader(reply)))
		if value != want.value || found != want.found || (err != nil) != want.failed {
			t.Errorf("%q: %q, %v, %v; want %+v", reply, value, found, err, want)
		}
	}
}
