package basebackup

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caretaker-dev/caretaker/internal/objectstore"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

func at(hour int) time.Time { return time.Date(2026, 11, 28, hour, 0, 0, 0, time.UTC) }

func mustHistory(t *testing.T, timeline postgres.Timeline, text string) postgres.History {
	t.Helper()

	h, err := postgres.ParseHistory(timeline, text)
	if err != nil {
		t.Fatal(err)
	}

	return h
}

func TestParseTime(t *testing.T) {
	for text, want := range map[string]string{
		"2026-11-28T23:32:19Z":      "2026-11-28T23:32:19Z",
		"2026-11-28 23:32:19":       "2026-11-28T23:32:19Z",
		"2026-11-28 23:32":          "2026-11-28T23:32:00Z",
		"2026-11-28":                "2026-11-28T00:00:00Z",
		"2026-11-28 23:32:19.5+01":  "2026-11-28T22:32:19.5Z",
		"2026-11-28T23:32:19-05:30": "2026-11-29T05:02:19Z",
		"2026-11-28 23:32:19 UTC":   "2026-11-28T23:32:19Z",
		"yesterday":                 "",
		"28.11.2026":                "",
	} {
		got, err := ParseTime(text)
		if want == "" {
			if err == nil {
				t.Errorf("%q is taken for %s", text, got)
			}

			continue
		}

		if err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%q: %s, %v; want %s", text, got.Format(time.RFC3339Nano), err, want)
		}
	}
}

// Three timelines: 1 until 0/5000000, 2 until 0/8000000, 3 from there; and 2 went on for a while on its own.
func threeTimelines(t *testing.T) ([]Backup, map[postgres.Timeline]postgres.History) {
	t.Helper()

	second := "1\t0/5000000\tno recovery target specified\n"
	third := second + "2\t0/8000000\tno recovery target specified\n"

	backup := func(id string, timeline postgres.Timeline, history string, lsn postgres.LSN, hour int) Backup {
		return Backup{ID: id, Manifest: &Manifest{
			ID: id, Kind: Full, Timeline: timeline, StartTimeline: timeline, History: history, StartLSN: lsn - 0x100000, StopLSN: lsn,
			Stopped: at(hour), NextXID: uint64(lsn) / 0x10000, WALSegmentBytes: 1 << 20, SystemIdentifier: "1",
		}}
	}

	backups := []Backup{
		backup("one", 1, "", 0x2000000, 1), backup("two", 1, "", 0x4000000, 2), backup("lost", 1, "", 0x6000000, 3),
		backup("three", 2, second, 0x7000000, 4), backup("abandoned", 2, second, 0x9000000, 5), backup("four", 3, third, 0xA000000, 6),
		{ID: "interrupted"},
	}
	histories := map[postgres.Timeline]postgres.History{
		2: mustHistory(t, 2, second), 3: mustHistory(t, 3, third),
	}

	return backups, histories
}

func TestSelect(t *testing.T) {
	backups, histories := threeTimelines(t)

	for name, c := range map[string]struct {
		target Target
		want   string
	}{
		"end":                       {Target{}, "four"},
		"immediate":                 {Target{Immediate: true}, "four"},
		"name":                      {Target{Name: "before the release"}, "four"},
		"after the last":            {Target{Time: at(7)}, "four"},
		"at its end":                {Target{Time: at(6)}, "four"},
		"before the last":           {Target{Time: at(6).Add(-time.Second)}, "three"},
		"on the first":              {Target{Time: at(3)}, "two"},
		"before all":                {Target{Time: at(0)}, ""},
		"LSN on three":              {Target{LSN: 0xB000000}, "four"},
		"LSN on two":                {Target{LSN: 0x7800000}, "three"},
		"LSN on one":                {Target{LSN: 0x3000000}, "one"},
		"LSN before all":            {Target{LSN: 0x1000000}, ""},
		"timeline 2, all of it":     {Target{Timeline: "2"}, "abandoned"},
		"timeline 1, all of it":     {Target{Timeline: "1"}, "lost"},
		"timeline 9 is not there":   {Target{Timeline: "9"}, ""},
		"current":                   {Target{Timeline: "current"}, "four"},
		"transaction":               {Target{XID: 0x750}, "three"},
		"transaction of 32 bits":    {Target{XID: 0x9FF}, "three"},
		"transaction, all too new":  {Target{XID: 0x100}, ""},
		"two targets":               {Target{XID: 7, Name: "x"}, ""},
		"exclusive of nothing":      {Target{Exclusive: true}, ""},
		"a time before a timeline":  {Target{Timeline: "2", Time: at(5).Add(-1)}, "three"},
		"a timeline that is no one": {Target{Timeline: "newest"}, ""},
	} {
		m, err := Select(backups, histories, c.target)

		switch {
		case c.want == "" && err == nil:
			t.Errorf("%s: %s is chosen", name, m.ID)
		case c.want != "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && m.ID != c.want:
			t.Errorf("%s: %s is chosen, want %s", name, m.ID, c.want)
		}
	}

	if _, err := Select(backups, histories, Target{Time: at(0)}); !errors.Is(err, ErrNoBackup) || !strings.Contains(err.Error(), "one: it ended at 2026-11-28T01:00:00Z") {
		t.Errorf("no backup leads there: %v", err)
	}
}

func TestTransactionsAreComparedAsPostgreSQLDoes(t *testing.T) {
	const epoch = 1 << 32

	for _, c := range []struct {
		next, target uint64
		want         bool
	}{
		{100, 100, true},
		{100, 99, false},
		{epoch + 100, 200, true},
		{epoch + 100, epoch - 1, false},
		{epoch - 10, 5, true},
		{5 * epoch, 5*epoch + 1, true},
	} {
		if got := isXIDBefore(c.next, c.target); got != c.want {
			t.Errorf("next %d, target %d: %t", c.next, c.target, got)
		}
	}
}

func TestRecoverySettings(t *testing.T) {
	for name, c := range map[string]struct {
		target Target
		want   map[string]string
	}{
		"time": {Target{Time: at(3).Add(1500 * time.Millisecond), Exclusive: true}, map[string]string{
			"recovery_target_time": "2026-11-28 03:00:01.5+00", "recovery_target_inclusive": "off", "recovery_target_timeline": "latest",
		}},
		"LSN": {Target{LSN: 0x16B374D848, Timeline: "3"}, map[string]string{
			"recovery_target_lsn": "16/B374D848", "recovery_target_inclusive": "on", "recovery_target_timeline": "3",
		}},
		"immediate": {Target{Immediate: true}, map[string]string{"recovery_target": "immediate"}},
		"end":       {Target{}, map[string]string{"recovery_target_action": "promote"}},
	} {
		got := RecoverySettings(c.target, "fetch %f %p")
		for key, value := range c.want {
			if got[key] != value {
				t.Errorf("%s: %s is %q, want %q", name, key, got[key], value)
			}
		}

		targets := 0
		for key := range got {
			if key == "recovery_target" || strings.HasPrefix(key, "recovery_target_") && !slices.Contains([]string{"action", "inclusive", "timeline"}, key[16:]) {
				targets++
			}
		}

		if isEnd := c.target.IsEnd(); isEnd && targets != 0 || !isEnd && targets != 1 {
			t.Errorf("%s: %d targets are set, PostgreSQL takes one", name, targets)
		}
	}
}

func TestSegmentsFollowTheTimelines(t *testing.T) {
	_, histories := threeTimelines(t)

	got := segments(histories[3], 0x4F00000, 0x8100000, 16<<20)
	want := []string{
		"000000010000000000000004", "000000020000000000000005", "000000020000000000000006", "000000020000000000000007", "000000030000000000000008",
	}

	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestWALReach(t *testing.T) {
	ctx := context.Background()
	backups, histories := threeTimelines(t)
	m := backups[1].Manifest
	store := newMemory()
	all := segments(histories[3], m.StartLSN, 0xB000000, m.WALSegmentBytes)

	for _, name := range all {
		putWAL(t, store, name)
	}

	for _, timeline := range []postgres.Timeline{2, 3} {
		putWAL(t, store, postgres.HistoryName(timeline))
	}
	// What timeline 2 wrote after 3 had left it is no part of the way.
	putWAL(t, store, "0000000200000000000000A0")

	reach, err := CheckReachable(ctx, store, m, histories, Target{})
	if err != nil || reach.Gap != "" || reach.LastSegment != all[len(all)-1] || reach.End != 0xB000000 {
		t.Fatalf("%+v %v", reach, err)
	}

	_, err = CheckReachable(ctx, store, m, histories, Target{LSN: 0xB000001})
	wantMissing(t, err, "0000000300000000000000B0")

	for _, i := range []int{5, 20, 60, len(all) - 2} {
		broken := store.clone()
		delete(broken.objects, walKey(t, all[i]))

		_, err := CheckReachable(ctx, broken, m, histories, Target{Time: at(9)})
		wantMissing(t, err, all[i])
	}

	broken := store.clone()
	delete(broken.objects, walKey(t, all[60]))

	// A target before the gap is not affected by it.
	if _, err := CheckReachable(ctx, broken, m, histories, Target{LSN: m.StopLSN + 0x200000}); err != nil {
		t.Errorf("a target before the gap: %v", err)
	}
}

func wantMissing(t *testing.T, err error, name string) {
	t.Helper()

	var missing *WALMissingError
	if !errors.As(err, &missing) || len(missing.Missing) == 0 || missing.Missing[0] != name {
		t.Errorf("%v; want that %s is missing", err, name)
	}
}

func TestListSkipsPacks(t *testing.T) {
	s, store := newFakeServer(t), newMemory()
	first := s.mustTake(store, nil)

	for i := range 2000 {
		store.objects[packKey(first.ID, 100+i)] = nil
	}

	second := s.mustTake(store, nil)
	lists := 0
	store.before = func(op, _ string) error {
		if op == "list" {
			lists++
		}

		return nil
	}

	found, err := List(context.Background(), store)
	if err != nil || len(found) != 2 || found[0].ID != first.ID || found[1].ID != second.ID {
		t.Fatalf("%v %v", found, err)
	}

	if lists > 3 {
		t.Errorf("%d lists for two backups", lists)
	}
}

var _ objectstore.Store = (*memory)(nil)
