package basebackup

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
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
		target archiveapi.RecoveryTarget
		want   string
	}{
		"end":                       {archiveapi.RecoveryTarget{}, "four"},
		"immediate":                 {archiveapi.RecoveryTarget{Immediate: true}, "four"},
		"name":                      {archiveapi.RecoveryTarget{Name: "before the release"}, "four"},
		"after the last":            {archiveapi.RecoveryTarget{Time: at(7)}, "four"},
		"at its end":                {archiveapi.RecoveryTarget{Time: at(6)}, "four"},
		"before the last":           {archiveapi.RecoveryTarget{Time: at(6).Add(-time.Second)}, "three"},
		"on the first":              {archiveapi.RecoveryTarget{Time: at(3)}, "two"},
		"before all":                {archiveapi.RecoveryTarget{Time: at(0)}, ""},
		"LSN on three":              {archiveapi.RecoveryTarget{LSN: 0xB000000}, "four"},
		"LSN on two":                {archiveapi.RecoveryTarget{LSN: 0x7800000}, "three"},
		"LSN on one":                {archiveapi.RecoveryTarget{LSN: 0x3000000}, "one"},
		"LSN before all":            {archiveapi.RecoveryTarget{LSN: 0x1000000}, ""},
		"timeline 2, all of it":     {archiveapi.RecoveryTarget{Timeline: "2"}, "abandoned"},
		"timeline 1, all of it":     {archiveapi.RecoveryTarget{Timeline: "1"}, "lost"},
		"timeline 9 is not there":   {archiveapi.RecoveryTarget{Timeline: "9"}, ""},
		"current":                   {archiveapi.RecoveryTarget{Timeline: "current"}, "four"},
		"transaction":               {archiveapi.RecoveryTarget{XID: 0x750}, "three"},
		"transaction of 32 bits":    {archiveapi.RecoveryTarget{XID: 0x9FF}, "three"},
		"transaction, all too new":  {archiveapi.RecoveryTarget{XID: 0x100}, ""},
		"two targets":               {archiveapi.RecoveryTarget{XID: 7, Name: "x"}, ""},
		"exclusive of nothing":      {archiveapi.RecoveryTarget{Exclusive: true}, ""},
		"a time before a timeline":  {archiveapi.RecoveryTarget{Timeline: "2", Time: at(5).Add(-1)}, "three"},
		"a timeline that is no one": {archiveapi.RecoveryTarget{Timeline: "newest"}, ""},
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

	if _, err := Select(backups, histories, archiveapi.RecoveryTarget{Time: at(0)}); !errors.Is(err, ErrNoBackup) || !strings.Contains(err.Error(), "one: it ended at 2026-11-28T01:00:00Z") {
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

	reach, err := CheckReachable(ctx, store, m, histories, archiveapi.RecoveryTarget{})
	if err != nil || reach.Gap != "" || reach.LastSegment != all[len(all)-1] || reach.End != 0xB000000 {
		t.Fatalf("%+v %v", reach, err)
	}

	_, err = CheckReachable(ctx, store, m, histories, archiveapi.RecoveryTarget{LSN: 0xB000001})
	wantMissing(t, err, "0000000300000000000000B0")

	for _, i := range []int{5, 20, 60, len(all) - 2} {
		broken := store.clone()
		broken.now = at(8)
		delete(broken.objects, walKey(t, all[i]))

		// The last segment before the gap was archived before that.
		_, err := CheckReachable(ctx, broken, m, histories, archiveapi.RecoveryTarget{Time: at(9)})
		wantMissing(t, err, all[i])

		_, err = CheckReachable(ctx, broken, m, histories, archiveapi.RecoveryTarget{})
		wantMissing(t, err, all[i])
	}

	broken := store.clone()
	broken.now = at(8)
	delete(broken.objects, walKey(t, all[60]))
	delete(broken.objects, walKey(t, all[61]))

	// A target before the gap is not affected by it, nor one that may come before it: the recovery itself finds that out.
	for _, target := range []archiveapi.RecoveryTarget{{LSN: m.StopLSN + 0x200000}, {Time: at(7)}, {XID: 5000}, {Name: "before-release"}} {
		reach, err := CheckReachable(ctx, broken, m, histories, target)
		if err != nil || reach.Gap != all[60] || reach.Behind != all[62] || reach.Missing != 2 {
			t.Errorf("a target before the gap, %s: %+v %v", target, reach, err)
		}
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

// A candidate that never came to write anything leaves a gap in the numbers, and what only keeps a number taken is no timeline.
func TestLatestTimelineIsBehindGaps(t *testing.T) {
	backups, histories := threeTimelines(t)
	fifth := "1\t0/5000000\tx\n2\t0/8000000\tx\n"
	histories[5], histories[6] = mustHistory(t, 5, fifth), mustHistory(t, 6, "")
	delete(histories, 3)
	delete(histories, 4)

	newest := backups[5].Manifest
	newest.Timeline, newest.StartTimeline, newest.History = 5, 5, fifth

	m, err := Select(backups, histories, archiveapi.RecoveryTarget{})
	if err != nil || m.ID != "four" {
		t.Fatalf("%v is chosen: %v", m, err)
	}

	// This one ended on what was left of timeline 2.
	if m, err = Select(backups[:5], histories, archiveapi.RecoveryTarget{}); err != nil || m.ID != "three" {
		t.Errorf("%v is chosen of those before: %v", m, err)
	}

	for _, c := range []struct{ own, last, want postgres.Timeline }{
		{2, 5, 5}, // 3 is missing
		{5, 5, 5}, // 6 is none
		{1, 2, 0},
		{2, 2, 0},
		{1, 1, 1}, // 2 was left
		{9, 9, 0}, // and has no history
	} {
		if got := named(histories, c.own, c.last); got != c.want {
			t.Errorf("from %d to %d: %d is named, want %d", c.own, c.last, got, c.want)
		}
	}
}
