package instance

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caretaker-dev/caretaker/internal/ha"
	"github.com/caretaker-dev/caretaker/internal/instance/layout"
	"github.com/caretaker-dev/caretaker/internal/instance/serverconf"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// walFolder is PGDATA with these files in pg_wal.
func walFolder(t *testing.T, files map[string]string) *protocol {
	t.Helper()

	p := &protocol{r: &runner{layout: layout.Layout{DataDir: t.TempDir()}, conf: newConfiguration(serverconf.Input{}, nil)}}
	if err := os.Mkdir(p.walDir(), 0o700); err != nil {
		t.Fatal(err)
	}

	for name, content := range files {
		if err := os.WriteFile(filepath.Join(p.walDir(), name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	return p
}

// A standby's log ends on the timeline of its last byte, which its files tell.
func TestLogEnd(t *testing.T) {
	const history = "1\t0/3000100\tfailover\n"

	for name, c := range map[string]struct {
		files map[string]string
		lsn   uint64
		want  ha.Tip
	}{
		"the first timeline": {
			files: map[string]string{"000000010000000000000003": ""},
			lsn:   0x3000050, want: ha.Tip{Timeline: 1, LSN: 0x3000050},
		},
		"beyond the switch": {
			files: map[string]string{"000000010000000000000003": "", "000000020000000000000003": "", "00000002.history": history},
			lsn:   0x3000200, want: ha.Tip{Timeline: 2, LSN: 0x3000200, History: []ha.Switch{{Timeline: 1, End: 0x3000100}}},
		},
		"received from the segment's start, and not yet as far as the switch": {
			files: map[string]string{"000000010000000000000003": "", "000000020000000000000003": "", "00000002.history": history},
			lsn:   0x3000050, want: ha.Tip{Timeline: 1, LSN: 0x3000050},
		},
		"at the switch exactly": {
			files: map[string]string{"000000010000000000000003": "", "000000020000000000000003": "", "00000002.history": history},
			lsn:   0x3000100, want: ha.Tip{Timeline: 1, LSN: 0x3000100},
		},
		"a promotion was cut off before it wrote the history": {
			files: map[string]string{
				"000000020000000000000003": "", "00000002.history": history, "000000050000000000000003": "", "00000004.history": "",
			},
			lsn: 0x3000200, want: ha.Tip{Timeline: 2, LSN: 0x3000200, History: []ha.Switch{{Timeline: 1, End: 0x3000100}}},
		},
		"its own placeholder is no history either": {
			files: map[string]string{
				"000000020000000000000003": "", "00000002.history": history, "000000050000000000000003": "", "00000005.history": "",
			},
			lsn: 0x3000200, want: ha.Tip{Timeline: 2, LSN: 0x3000200, History: []ha.Switch{{Timeline: 1, End: 0x3000100}}},
		},
		"at the end of a segment": {
			files: map[string]string{"000000010000000000000003": "", "000000020000000000000004": "", "00000002.history": history},
			lsn:   0x4000000, want: ha.Tip{Timeline: 1, LSN: 0x4000000},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := walFolder(t, c.files).logEnd(c.lsn)
			if err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}

	if _, err := walFolder(t, nil).logEnd(0x3000050); err == nil {
		t.Error("a log without files has an end")
	}
}

// PostgreSQL takes the first timeline above an unbroken row of history files; what a crash leaves of that must not make
// the next start fail.
func TestReservedTimeline(t *testing.T) {
	const history = "1\t0/3000100\tfailover\n"

	p := walFolder(t, map[string]string{"00000003.history": history})
	if err := reserve(p.walDir(), 6); err != nil {
		t.Fatal(err)
	}

	for timeline, wantsEmpty := range map[postgres.Timeline]bool{2: true, 3: false, 4: true, 5: true, 6: false} {
		if got := isPlaceholder(p.walDir(), timeline); got != wantsEmpty {
			t.Errorf("timeline %d has a placeholder: %v", timeline, got)
		}
	}

	if newest, err := clearPlaceholders(p.walDir()); err != nil || newest != 3 {
		t.Fatalf("the newest timeline is %d: %v", newest, err)
	}

	left, err := filepath.Glob(filepath.Join(p.walDir(), "*.history"))
	if err != nil {
		t.Fatal(err)
	}

	want := []string{filepath.Join(p.walDir(), "00000002.history"), filepath.Join(p.walDir(), "00000003.history")}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("a placeholder below what is real stays, for standbys that ask for it; those above go: %s", diff)
	}
}

// A new sender repeats the log from the start of the segment: until it has passed the old end, PostgreSQL tells that one.
func TestUnfinishedRecordCounts(t *testing.T) {
	p := walFolder(t, nil)
	p.setUnfinished(0x3780000)

	for _, c := range []struct {
		received postgres.LSN
		want     bool
	}{
		{0x3780000, false}, {0x3780000, false}, {0x3000000, true}, {0x3780000, true},
	} {
		if got := p.counts(c.received); got != c.want {
			t.Errorf("received as far as %s: counts %t, want %t", c.received, got, c.want)
		}
	}
}
