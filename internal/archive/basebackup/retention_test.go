package basebackup

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"
)

func TestParsePolicy(t *testing.T) {
	for text, want := range map[string]Policy{
		"30d": {Window: 30 * day}, "4w": {Window: 28 * day}, "6m": {Window: 180 * day}, "7": {Count: 7},
		"": {}, "0": {}, "0d": {}, "-3": {}, "3y": {}, "d": {}, "1.5d": {},
	} {
		got, err := ParsePolicy(text)
		if (err != nil) != (want == Policy{}) || err == nil && got != want {
			t.Errorf("%q: %+v %v", text, got, err)
		}
	}
}

func daysAgo(now time.Time, id string, days int, parent string) Backup {
	kind := Full
	if parent != "" {
		kind = Incremental
	}

	return Backup{ID: id, Parent: parent, Manifest: &Manifest{ID: id, Kind: kind, Parent: parent, Stopped: now.Add(-time.Duration(days) * day)}}
}

func kept(verdicts []Verdict) string {
	var ids []string

	for _, v := range verdicts {
		if v.Keep {
			ids = append(ids, v.ID)
		}
	}

	slices.Sort(ids)

	return strings.Join(ids, " ")
}

func TestJudge(t *testing.T) {
	now := at(12)
	chain := []Backup{
		daysAgo(now, "a", 40, ""), daysAgo(now, "b", 39, "a"), daysAgo(now, "c", 33, ""), daysAgo(now, "d", 31, "c"),
		daysAgo(now, "e", 20, "d"), daysAgo(now, "f", 10, ""), daysAgo(now, "g", 1, "f"),
		{ID: "h", Parent: "b"},
	}

	for name, c := range map[string]struct {
		backups []Backup
		policy  Policy
		want    string
	}{
		"window": {chain[:7], Policy{Window: 30 * day}, "c d e f g"},
		"the window's first moment needs the backup before it": {chain[:7], Policy{Window: 25 * day}, "c d e f g"},
		"count 1":                   {chain[:7], Policy{Count: 1}, "f g"},
		"count 2":                   {chain[:7], Policy{Count: 2}, "c d e f g"},
		"all too old":               {chain[:2], Policy{Window: day}, "a b"},
		"the last one":              {chain[:1], Policy{Window: day}, "a"},
		"parent of one in progress": {chain, Policy{Count: 1}, "a b f g"},
		"none":                      {nil, Policy{Count: 1}, ""},
	} {
		if got := kept(Judge(c.backups, c.policy, now)); got != c.want {
			t.Errorf("%s: keeps %q, want %q", name, got, c.want)
		}
	}
}

func TestJudgeNeverBreaksAChain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := at(12)

		var backups []Backup

		for i := range rapid.IntRange(1, 20).Draw(t, "backups") {
			parent := ""
			if i > 0 && rapid.Bool().Draw(t, "incremental") {
				parent = backups[rapid.IntRange(0, i-1).Draw(t, "parent")].ID
			}

			backups = append(backups, daysAgo(now, fmt.Sprint("b", i), 60-2*i, parent))
		}

		policy := Policy{Count: rapid.IntRange(0, 3).Draw(t, "count")}
		if policy.Count == 0 {
			policy.Window = time.Duration(rapid.IntRange(1, 70).Draw(t, "days")) * day
		}

		keeps := map[string]bool{}
		for _, v := range Judge(backups, policy, now) {
			keeps[v.ID] = v.Keep
		}

		if !keeps[backups[len(backups)-1].ID] {
			t.Fatal("the newest backup is given up")
		}

		for _, b := range backups {
			if keeps[b.ID] && b.Parent != "" && !keeps[b.Parent] {
				t.Fatalf("%s is kept, and its parent %s is not", b.ID, b.Parent)
			}
		}
	})
}

func TestExpireMarksThenDeletes(t *testing.T) {
	ctx := context.Background()
	s, store := newFakeServer(t), newMemory()

	var ids []string

	for range 4 {
		m := s.mustTake(store, nil)
		archiveWAL(t, store, m)
		ids = append(ids, m.ID)
	}

	clock := testclock.NewFakeClock(time.Now())
	o := ExpireOptions{Store: store, Policy: Policy{Count: 2}, Grace: DefaultGrace, Clock: clock}

	dry := o
	dry.DryRun = true
	before := store.clone()

	would, err := Expire(ctx, dry)
	if err != nil || !slices.Equal(would.Marked, []string{ids[1], ids[0]}) || len(store.objects) != len(before.objects) {
		t.Fatalf("a dry run: %+v %v", would, err)
	}

	for hour := range 3 {
		done, err := Expire(ctx, o)
		if err != nil {
			t.Fatal(err)
		}

		if len(done.Deleted) > 0 {
			t.Fatalf("deleted after %d h: %v", hour, done.Deleted)
		}

		clock.Step(time.Hour)
	}

	// More is to be kept now: what was marked is unmarked.
	more := o
	more.Policy.Count = 3

	if done, err := Expire(ctx, more); err != nil || !slices.Equal(done.Unmarked, []string{ids[1]}) {
		t.Fatalf("unmarked %+v %v", done, err)
	}

	clock.Step(DefaultGrace)

	done, err := Expire(ctx, more)
	if err != nil || !slices.Equal(done.Deleted, []string{ids[0]}) {
		t.Fatalf("deleted %+v %v", done, err)
	}

	if done.WALDeleted == 0 {
		t.Error("the WAL that only it needed was kept")
	}

	if !slices.Equal(done.Left, ids[1:]) {
		t.Errorf("it says that %v are left, want %v", done.Left, ids[1:])
	}

	left, err := List(ctx, store)
	if err != nil || len(left) != 3 {
		t.Fatalf("left: %v %v", left, err)
	}

	for _, b := range left {
		missing, err := MissingWAL(ctx, store, b.Manifest)
		if err != nil || missing != nil {
			t.Errorf("%s has lost its WAL: %v %v", b.ID, missing, err)
		}
	}

	for key := range store.objects {
		if strings.HasPrefix(key, folder(ids[0])) {
			t.Errorf("%s was left", key)
		}
	}
}

// Deleting can be interrupted anywhere: what is left is complete or swept.
func TestExpireCanBeInterrupted(t *testing.T) {
	ctx := context.Background()
	s, whole := newFakeServer(t), newMemory()

	for range 2 {
		archiveWAL(t, whole, s.mustTake(whole, nil))
	}

	clock := testclock.NewFakeClock(time.Now())
	o := ExpireOptions{Store: whole, Policy: Policy{Count: 1}, Grace: DefaultGrace, Clock: clock}

	if _, err := Expire(ctx, o); err != nil {
		t.Fatal(err)
	}

	clock.Step(3 * DefaultGrace)

	for dieAt := 1; ; dieAt++ {
		store := whole.clone()
		n := 0
		store.before = func(op, _ string) error {
			if op == "delete" {
				n++
			}

			if n >= dieAt {
				return errDown
			}

			return nil
		}
		o.Store = store

		_, err := Expire(ctx, o)
		if err == nil {
			return
		}

		store.before = nil

		if _, err := Expire(ctx, o); err != nil {
			t.Fatal(err)
		}

		left, err := List(ctx, store)
		if err != nil || len(left) != 1 || left[0].Manifest == nil {
			t.Fatalf("died at delete %d: %+v %v", dieAt, left, err)
		}
	}
}
