package basebackup

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archive/layout"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

func TestCopyGivesAStoreThatStandsAlone(t *testing.T) {
	s, from, to := newFakeServer(t), newMemory(), newMemory()
	full := s.mustTake(from, nil)
	archiveWAL(t, from, full)
	s.change(16388, 1)

	m := s.mustTake(from, func(o *Options) { o.Parent = full.ID })
	archiveWAL(t, from, m)

	dieAt := 3
	n := 0
	to.before = func(op, _ string) error {
		if op == "put" {
			n++
		}

		if n >= dieAt {
			return errDown
		}

		return nil
	}

	o := CopyOptions{From: from, To: to, Backup: m.ID, Clock: clock.RealClock{}}

	if _, err := Copy(context.Background(), o); !errors.Is(err, errDown) {
		t.Fatalf("the second store is down: %v", err)
	}

	to.before = nil

	if backups, err := List(context.Background(), to); err != nil || slices.ContainsFunc(backups, func(b Backup) bool { return b.Manifest != nil }) {
		t.Fatalf("a copy that was interrupted shows: %v %v", backups, err)
	}

	done, err := Copy(context.Background(), o)
	if err != nil || !slices.Equal(done.Backups, []string{full.ID, m.ID}) {
		t.Fatalf("copied %v: %v", done, err)
	}

	report, err := Verify(context.Background(), VerifyOptions{Store: to, Backup: m.ID, Clock: clock.RealClock{}})
	if err != nil || !report.Restorable {
		t.Errorf("the copy: %v %v", err, report)
	}
}

// archived is a store with a full backup, an incremental one to it, and another full one, the newest.
func archived(t *testing.T) (*memory, []*Manifest) {
	t.Helper()

	s, store := newFakeServer(t), newMemory()
	full := s.mustTake(store, nil)
	s.change(16388, 1)

	manifests := []*Manifest{
		full, s.mustTake(store, func(o *Options) { o.Parent = full.ID }), s.mustTake(store, nil),
	}
	for _, m := range manifests {
		archiveWAL(t, store, m)
	}

	return store, manifests
}

func ids(manifests []*Manifest) []string {
	found := make([]string, 0, len(manifests))
	for _, m := range manifests {
		found = append(found, m.ID)
	}

	return found
}

func mustCopy(t *testing.T, o CopyOptions) *Copied {
	t.Helper()

	o.Clock = clock.RealClock{}

	done, err := Copy(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}

	return done
}

// wantRestorable demands exactly these backups, each restorable.
func wantRestorable(t *testing.T, store *memory, want []string) {
	t.Helper()

	found, err := List(context.Background(), store)
	if err != nil {
		t.Fatal(err)
	}

	var complete []string

	for _, b := range found {
		if b.Manifest == nil {
			continue
		}

		complete = append(complete, b.ID)

		report, err := Verify(context.Background(), VerifyOptions{Store: store, Backup: b.ID, Clock: clock.RealClock{}})
		if err != nil || !report.Restorable {
			t.Errorf("%s is listed: %v, %v", b.ID, report, err)
		}
	}

	if !slices.Equal(complete, want) {
		t.Errorf("the store has backups %v, want %v", complete, want)
	}
}

// A copy of all can be made again and again, and costs only what is new.
func TestCopyOfAll(t *testing.T) {
	from, manifests := archived(t)
	to := newMemory()

	done := mustCopy(t, CopyOptions{From: from, To: to})
	if !slices.Equal(done.Backups, ids(manifests)) || done.Objects == 0 || len(done.Problems) > 0 {
		t.Errorf("copied %+v", done)
	}

	wantRestorable(t, to, ids(manifests))

	if again := mustCopy(t, CopyOptions{From: from, To: to}); again.Objects != 0 || !slices.Equal(again.Backups, ids(manifests)) {
		t.Errorf("the second time: %+v", again)
	}

	newest := manifests[2]
	next := postgres.SegmentAt(1, newest.StopLSN, newest.WALSegmentBytes).Next().Name(newest.WALSegmentBytes)
	putWAL(t, from, next)

	if later := mustCopy(t, CopyOptions{From: from, To: to}); later.Objects != 1 || later.LastWAL != next {
		t.Errorf("with one more segment: %+v", later)
	}
}

// What the retention of either store gives up is not brought there.
func TestCopyLeavesOutWhatExpires(t *testing.T) {
	from, manifests := archived(t)
	to := newMemory()

	if done := mustCopy(t, CopyOptions{From: from, To: to, Keep: Policy{Count: 1}}); !slices.Equal(done.Backups, ids(manifests[2:])) {
		t.Errorf("of the second store's retention: %+v", done)
	}

	wantRestorable(t, to, ids(manifests[2:]))

	first := postgres.SegmentAt(1, manifests[2].StartLSN, manifests[2].WALSegmentBytes)

	for key := range to.objects {
		segment, isSegment := segmentOf(key, manifests[2].WALSegmentBytes)
		if isSegment && segment.Number < first.Number {
			t.Errorf("%s is of no use there", key)
		}
	}

	if _, err := Expire(context.Background(), ExpireOptions{
		Store: from, Policy: Policy{Count: 1}, Grace: DefaultGrace, Clock: clock.RealClock{},
	}); err != nil {
		t.Fatal(err)
	}

	to = newMemory()
	mustCopy(t, CopyOptions{From: from, To: to})
	wantRestorable(t, to, ids(manifests[2:]))
}

// Damage is not carried on: the backup that has it is not there, the others are.
func TestCopyChecks(t *testing.T) {
	whole, manifests := archived(t)
	checkWAL := func(name string, object []byte) error {
		if string(object) != name {
			return &DamagedError{Key: name, Reason: "flipped"}
		}

		return nil
	}

	for key := range whole.objects {
		id, part, isBackup := strings.Cut(strings.TrimPrefix(key, layout.BackupsPrefix), "/")
		if key == layout.Identity || part == "started.json" {
			continue
		}

		t.Run(key, func(t *testing.T) {
			from, to := whole.clone(), newMemory()
			from.objects[key] = bytes.Clone(from.objects[key])
			from.objects[key][len(from.objects[key])/2] ^= 0x40

			done := mustCopy(t, CopyOptions{From: from, To: to, CheckWAL: checkWAL})
			if len(done.Problems) == 0 {
				t.Fatal("it is not noticed")
			}

			if _, isThere := to.objects[key]; isThere {
				t.Error("it was carried on")
			}

			var want []string

			for _, m := range manifests {
				if isBackup && strings.HasPrefix(key, layout.BackupsPrefix) && m.ID != id && (m.Parent == "" || m.Parent != id) {
					want = append(want, m.ID)
				}
			}

			if strings.HasPrefix(key, layout.BackupsPrefix) {
				wantRestorable(t, to, want)
			}

			for _, id := range done.Backups {
				if report, err := Verify(context.Background(), VerifyOptions{Store: to, Backup: id, Clock: clock.RealClock{}}); err != nil || !report.Restorable {
					t.Errorf("%s is called copied: %v %v", id, report, err)
				}
			}
		})
	}
}

// Damaged WAL that no backup needs keeps none of them away.
func TestCopyGoesOnBehindDamagedWAL(t *testing.T) {
	from, manifests := archived(t)
	to := newMemory()
	bad := postgres.HistoryName(7)
	putWAL(t, from, bad)

	done := mustCopy(t, CopyOptions{From: from, To: to, CheckWAL: func(name string, _ []byte) error {
		if name == bad {
			return &DamagedError{Key: name, Reason: "flipped"}
		}

		return nil
	}})
	if !slices.Equal(done.Problems, []string{"object " + bad + " is damaged: flipped"}) {
		t.Errorf("it says %v", done.Problems)
	}

	wantRestorable(t, to, ids(manifests))
}

// What the second store has stays as it is.
func TestCopyOverwritesNothing(t *testing.T) {
	from, manifests := archived(t)

	for name, foreign := range map[string][]byte{"of another size": []byte("of somebody else"), "of the same size": nil} {
		t.Run(name, func(t *testing.T) {
			to := newMemory()
			key := packKey(manifests[0].ID, 1)

			if foreign == nil {
				// It appears between the look and the write.
				foreign = bytes.Repeat([]byte("x"), len(from.objects[key]))
				to.before = func(op, put string) error {
					if _, isThere := to.objects[key]; op == "put" && put == key && !isThere {
						to.objects[key] = foreign
					}

					return nil
				}
			} else {
				to.objects[key] = foreign
			}

			done := mustCopy(t, CopyOptions{From: from, To: to})
			if len(done.Problems) == 0 || !strings.Contains(strings.Join(done.Problems, "\n"), "object "+key+" is another one in the second store") {
				t.Errorf("it says %v", done.Problems)
			}

			if !bytes.Equal(to.objects[key], foreign) {
				t.Error("it was overwritten")
			}

			wantRestorable(t, to, ids(manifests[2:]))
		})
	}
}

// A store that holds another server's archive is refused before anything is written.
func TestCopyIntoAnothersStore(t *testing.T) {
	from, _ := archived(t)
	to := newMemory()

	if err := CheckOwner(context.Background(), to, "42"); err != nil {
		t.Fatal(err)
	}

	var owner *OwnerError
	if _, err := Copy(context.Background(), CopyOptions{From: from, To: to, Clock: clock.RealClock{}}); !errors.As(err, &owner) || len(to.objects) != 1 {
		t.Errorf("it ends with %v, and there are %d objects", err, len(to.objects))
	}
}

// A backup whose WAL is not in the archive is of no use in the second store either.
func TestCopyNeedsTheWAL(t *testing.T) {
	from, manifests := archived(t)
	to := newMemory()
	name := postgres.SegmentAt(1, manifests[2].StartLSN, manifests[2].WALSegmentBytes).Name(manifests[2].WALSegmentBytes)
	delete(from.objects, walKey(t, name))

	done := mustCopy(t, CopyOptions{From: from, To: to})
	if len(done.Problems) != 1 || !strings.Contains(done.Problems[0], "needs WAL that is not in the archive: "+name) {
		t.Errorf("it says %v", done.Problems)
	}

	wantRestorable(t, to, done.Backups)

	if slices.Contains(done.Backups, manifests[2].ID) {
		t.Errorf("copied are %v", done.Backups)
	}
}

// It can be interrupted anywhere: what is there then is restorable, and the next one brings the rest.
func TestCopyCanBeInterrupted(t *testing.T) {
	from, manifests := archived(t)
	interrupted := 0

	for dieAt := 1; ; dieAt++ {
		to := newMemory()
		n := 0
		to.before = func(op, _ string) error {
			if op == "put" {
				n++
			}

			if n >= dieAt {
				return errDown
			}

			return nil
		}

		_, err := Copy(context.Background(), CopyOptions{From: from, To: to, Clock: clock.RealClock{}})
		to.before = nil

		if err == nil {
			break
		}

		interrupted++

		found, err := List(context.Background(), to)
		if err != nil {
			t.Fatal(err)
		}

		var complete []string

		for _, b := range found {
			if b.Manifest != nil {
				complete = append(complete, b.ID)
			}
		}

		wantRestorable(t, to, complete)
		mustCopy(t, CopyOptions{From: from, To: to})
		wantRestorable(t, to, ids(manifests))
	}

	if interrupted < 5 {
		t.Errorf("it was interrupted %d times only", interrupted)
	}
}

// The second store has a retention of its own, and what it has deleted does not come back.
func TestCopyAndTheRetentionOfTheCopy(t *testing.T) {
	from, manifests := archived(t)
	to := newMemory()
	o := CopyOptions{From: from, To: to, Keep: Policy{Count: 1}}

	mustCopy(t, CopyOptions{From: from, To: to})

	if _, err := Expire(context.Background(), ExpireOptions{Store: to, Policy: Policy{Count: 1}, Clock: clock.RealClock{}}); err != nil {
		t.Fatal(err)
	}

	if _, err := Expire(context.Background(), ExpireOptions{Store: to, Policy: Policy{Count: 1}, Grace: -time.Hour, Clock: clock.RealClock{}}); err != nil {
		t.Fatal(err)
	}

	wantRestorable(t, to, ids(manifests[2:]))

	if done := mustCopy(t, o); done.Objects != 0 {
		t.Errorf("it brings back %+v", done)
	}

	wantRestorable(t, to, ids(manifests[2:]))
	wantRestorable(t, from, ids(manifests))
}
