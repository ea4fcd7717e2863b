package wal

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/caretaker-dev/caretaker/internal/archive/basebackup"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// waitGap until one is noticed.
func (r *rig) waitGap() archiveapi.Gap {
	r.t.Helper()

	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if gap := r.archiver.Status(r.t.Context()).Push.Gap; gap != nil {
			return *gap
		}

		if time.Now().After(deadline) {
			r.t.Fatal("the gap was not noticed")
		}
	}
}

func TestAGapIsNamed(t *testing.T) {
	r := newRig(t)

	for _, number := range []uint64{3, 4, 9} {
		name, content := segment(1, number, 1)
		r.write(name, content)

		if err := r.push(name); err != nil {
			t.Fatal(err)
		}
	}

	gap := r.waitGap()

	first, _ := segment(1, 5, 1)
	last, _ := segment(1, 8, 1)

	if gap.First != first || gap.Last != last {
		t.Errorf("gap %+v, want %s to %s", gap, first, last)
	}

	// A backup is of use that needs nothing of the gap.
	for number, want := range map[uint64]bool{4: false, 8: false, 9: true} {
		m := basebackup.Manifest{ID: "20261128T233219Z", Timeline: 1, StartLSN: postgres.LSN(number * testSegmentBytes), WALSegmentBytes: testSegmentBytes}
		manifest := must(json.Marshal(m))
		body := must(json.Marshal(map[string]any{"manifest": json.RawMessage(manifest), "sum": xxhash.Sum64(manifest)}))

		if err := r.store.Put(t.Context(), "db/backups/20261128T233219Z/manifest.json", body); err != nil {
			t.Fatal(err)
		}

		if got, err := r.archiver.pusher.archive.hasBackupBehind(t.Context(), gap); got != want || err != nil {
			t.Errorf("a backup from segment %d on: %t, %v", number, got, err)
		}
	}

	// Those of the newest timeline are of no use to a later one's gap.
	gap.Timeline = 2
	if got, err := r.archiver.pusher.archive.hasBackupBehind(t.Context(), gap); got || err != nil {
		t.Errorf("a backup of a timeline that was left: %t, %v", got, err)
	}
}

// TestASegmentThatNobodyAskedFor: the old primary ended with a switch to the next segment, whose first byte the promoted server never received.
func TestASegmentThatNobodyAskedFor(t *testing.T) {
	r := newRig(t)
	boundary := postgres.LSN(5 * testSegmentBytes)

	r.write("00000002.history", []byte(postgres.History{Timeline: 2, Entries: []postgres.HistoryEntry{{Parent: 1, Switch: boundary, Reason: "gone"}}}.String()))

	if err := r.push("00000002.history"); err != nil {
		t.Fatal(err)
	}

	// What lies behind the switch is of a file that was recycled.
	name, content := segment(1, 4, 1)
	want := slices.Clone(content)
	clear(want[3*testPageBytes:])

	for page := 3 * testPageBytes; page < len(content); page += testPageBytes {
		content[page+offsetPageAddress+5]++
	}

	if err := os.WriteFile(r.pgwal(name), content, 0o600); err != nil {
		t.Fatal(err)
	}

	for _, s := range []postgres.WALSegment{{Timeline: 1, Number: 2}, {Timeline: 1, Number: 3}, {Timeline: 2, Number: 5}} {
		name, content := segment(s.Timeline, s.Number, 1)
		r.write(name, content)

		if err := r.push(name); err != nil {
			t.Fatal(err)
		}
	}

	archive := must(Open(t.Context(), *r.config().Archive))

	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		got, err := archive.Fetch(t.Context(), name)
		if err == nil {
			if !bytes.Equal(got, want) {
				t.Error("the archive has what was in the file before")
			}

			break
		}

		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}

	// PostgreSQL asks for it after all, at a checkpoint.
	r.write(name, content)

	if err := r.push(name); err != nil {
		t.Error(err)
	}

	if gap := r.archiver.Status(t.Context()).Push.Gap; gap != nil {
		t.Errorf("gap %+v", gap)
	}
}

// TestAGapThatIsFilledInPart stays one: what is archived of it does not hide the rest.
func TestAGapThatIsFilledInPart(t *testing.T) {
	r := newRig(t)

	name, content := segment(1, 5, 1)
	if err := os.WriteFile(r.pgwal(name), content, 0o600); err != nil {
		t.Fatal(err)
	}

	for _, number := range []uint64{2, 6} {
		name, content := segment(1, number, 1)
		r.write(name, content)

		if err := r.push(name); err != nil {
			t.Fatal(err)
		}
	}

	first, _ := segment(1, 3, 1)
	last, _ := segment(1, 4, 1)

	if gap := r.waitGap(); gap.First != first || gap.Last != last {
		t.Errorf("gap %+v, want %s to %s", gap, first, last)
	}
}

func TestAGapIsNamedByTheTimelineThatItLiesOn(t *testing.T) {
	r := newRig(t)
	history := postgres.History{Timeline: 2, Entries: []postgres.HistoryEntry{{Parent: 1, Switch: 6*testSegmentBytes + 100, Reason: "gone"}}}
	r.write("00000002.history", []byte(history.String()))

	if err := r.push("00000002.history"); err != nil {
		t.Fatal(err)
	}

	for _, s := range []postgres.WALSegment{{Timeline: 1, Number: 3}, {Timeline: 2, Number: 8}} {
		name, content := segment(s.Timeline, s.Number, 1)
		r.write(name, content)

		if err := r.push(name); err != nil {
			t.Fatal(err)
		}
	}

	first, _ := segment(1, 4, 1)
	last, _ := segment(2, 7, 1)

	if gap := r.waitGap(); gap.First != first || gap.Last != last {
		t.Errorf("gap %+v, want %s to %s", gap, first, last)
	}
}
