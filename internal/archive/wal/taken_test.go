package wal

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
)

// TestWhatIsTakenFromTheSpool: PostgreSQL takes what was fetched ahead by itself. More is fetched then, it counts as given, and what it
// asks for again is fetched again.
func TestWhatIsTakenFromTheSpool(t *testing.T) {
	const ahead = 4

	r := newRig(t, func(c *archiveapi.Config) { c.PrefetchSegments = ahead })
	contents := map[string][]byte{}

	name := func(n uint64) string {
		name, _ := segment(1, n, 7)

		return name
	}

	for i := range uint64(20) {
		name, content := segment(1, i, 7)
		contents[name] = content
		r.write(name, content)

		if err := r.push(name); err != nil {
			t.Fatal(err)
		}
	}

	take := func(n uint64) {
		spooled, dest := filepath.Join(r.root, "spool", name(n)), filepath.Join(r.root, "taken")
		r.eventually(name(n)+" is in the spool", func() bool { return os.Rename(spooled, dest) == nil })

		if got := must(os.ReadFile(dest)); !bytes.Equal(got, contents[name(n)]) {
			t.Errorf("%s is not what was archived", name(n))
		}
	}

	if _, err := r.fetch(name(0)); err != nil {
		t.Fatal(err)
	}

	// Far more than are fetched ahead at first.
	for n := uint64(1); n < 15; n++ {
		take(n)
	}

	r.eventually("all are counted", func() bool {
		fetched := r.archiver.Status(t.Context()).Fetch

		return fetched.Given == 15 && fetched.Hits == 14 && fetched.LastFetched == name(14)
	})

	for _, n := range []uint64{14, 15} {
		if got, err := r.fetch(name(n)); err != nil || !bytes.Equal(got, contents[name(n)]) {
			t.Errorf("%s, asked for: %v", name(n), err)
		}
	}
}

func (r *rig) eventually(what string, is func() bool) {
	r.t.Helper()

	for deadline := time.Now().Add(testPatience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("%s did not happen: %+v", what, r.archiver.Status(r.t.Context()).Fetch)
		}
	}
}
