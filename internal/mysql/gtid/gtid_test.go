package gtid_test

import (
	"testing"

	"github.com/caretaker-dev/caretaker/internal/mysql/gtid"
)

func TestContains(t *testing.T) {
	t.Parallel()

	const a, b = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "aaaaaaaa-71ca-11e1-9e33-c80aa9429562"

	for _, tc := range []struct {
		have, want string
		contains   bool
	}{
		{"", "", true},
		{a + ":1-5", "", true},
		{"", a + ":1", false},
		{a + ":1-5", a + ":1-5", true},
		{a + ":1-5", a + ":2-4", true},
		{a + ":1-5", a + ":1-6", false},
		{a + ":1-3:4-9", a + ":2-8", true},
		{a + ":1-3:5-9", a + ":2-8", false},
		{a + ":1-3:5-9", a + ":2-3:9", true},
		{a + ":1-5,\n" + b + ":1", b + ":1", true},
		{a + ":1-5", b + ":1", false},
		{a + ":tag:1-5", a + ":1", false},
		{a + ":1:tag:1-5:other:7", a + ":tag:3," + a + ":1", true},
		{"3E11FA47-71CA-11E1-9E33-C80AA9429562:1-5", a + ":1", true},
	} {
		have, err := gtid.Parse(tc.have)
		if err != nil {
			t.Fatal(err)
		}

		want, err := gtid.Parse(tc.want)
		if err != nil {
			t.Fatal(err)
		}

		if got := have.Contains(want); got != tc.contains {
			t.Errorf("%q contains %q: %t, want %t", tc.have, tc.want, got, tc.contains)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()

	for _, text := range []string{"a:", "a:5-1", "a:1-", "a:1:2x"} {
		if set, err := gtid.Parse(text); err == nil {
			t.Errorf("%q is taken as %v", text, set)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7,b:tag:1")
	f.Fuzz(func(t *testing.T, text string) {
		set, err := gtid.Parse(text)
		if err == nil && !set.Contains(set) {
			t.Errorf("%q does not contain itself: %v", text, set)
		}
	})
}
