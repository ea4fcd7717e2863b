package basebackup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
)

// snapshotOf copies a server's directory while it is in backup mode.
func snapshotOf(t *testing.T, s *fakeServer, store *memory, edit func(*Options)) (m *Manifest, dir string) {
	t.Helper()

	dir = filepath.Join(t.TempDir(), "pgdata")
	m = s.mustTake(store, func(o *Options) {
		o.Snapshot = func(context.Context) error { return os.CopyFS(dir, os.DirFS(s.dir)) }

		if edit != nil {
			edit(o)
		}
	})
	archiveWAL(t, store, m)

	return m, dir
}

func prepare(store *memory, id, dir string, identities ...age.Identity) error {
	_, err := Prepare(context.Background(), PrepareOptions{Store: store, Backup: id, DataDir: dir, Identities: identities})

	return err
}

// What comes of a snapshot is what comes of a backup in the store, but for unlogged relations, which a server makes anew.
func TestSnapshotIsMadeReady(t *testing.T) {
	identity, recipient := identityAndRecipient(t)

	for name, encrypted := range map[string]bool{"plain": false, "encrypted": true} {
		t.Run(name, func(t *testing.T) {
			s, store := newFakeServer(t), newMemory()
			m, dir := snapshotOf(t, s, store, func(o *Options) {
				if encrypted {
					o.Recipients = []age.Recipient{recipient}
				}
			})

			if m.Kind != Snapshot || m.DataBytes == 0 || m.Packs != 0 {
				t.Errorf("the manifest is %+v", m)
			}

			if err := prepare(store, m.ID, dir, identity); err != nil {
				t.Fatal(err)
			}

			got := content(t, dir)
			delete(got, "base/5/16400")

			for _, name := range []string{archiveapi.PreparedFile, "recovery.signal"} {
				if _, ok := got[name]; !ok {
					t.Errorf("there is no %s", name)
				}

				delete(got, name)
			}

			sameContent(t, got, s.wanted())
		})
	}
}

// A server may have begun to recover it: then nothing is touched any more.
func TestSnapshotIsMadeReadyOnce(t *testing.T) {
	s, store := newFakeServer(t), newMemory()
	m, dir := snapshotOf(t, s, store, nil)
	other, _ := snapshotOf(t, s, store, nil)

	// Cut off before the end, it begins again.
	must := func(err error) {
		t.Helper()

		if err != nil {
			t.Fatal(err)
		}
	}

	must(prepare(store, m.ID, dir))
	must(os.Remove(filepath.Join(dir, archiveapi.PreparedFile)))
	must(prepare(store, m.ID, dir))

	must(os.Rename(filepath.Join(dir, "backup_label"), filepath.Join(dir, "backup_label.old")))
	must(os.WriteFile(filepath.Join(dir, "pg_wal/000000010000000000000009"), []byte("replayed"), 0o600))
	must(prepare(store, m.ID, dir))

	if got := content(t, dir); got["backup_label"] != "" || got["pg_wal/000000010000000000000009"] == "" {
		t.Errorf("a directory that has begun to recover was changed: %v", got)
	}

	if err := prepare(store, other.ID, dir); err == nil || !strings.Contains(err.Error(), "was made ready for backup "+m.ID) {
		t.Errorf("for another backup: %v", err)
	}
}

// The store alone has nothing to restore, to copy or to build upon.
func TestSnapshotIsNoBackupOfTheStore(t *testing.T) {
	s, store := newFakeServer(t), newMemory()
	full := s.mustTake(store, func(o *Options) { o.BlockHashes = true })
	archiveWAL(t, store, full)

	m, dir := snapshotOf(t, s, store, nil)

	if err := restoreInto(t, store, m.ID, t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "--snapshot") {
		t.Errorf("it is restored without its snapshot: %v", err)
	}

	if err := prepare(store, full.ID, dir); err == nil || !strings.Contains(err.Error(), "are in the store") {
		t.Errorf("a directory is made ready for a backup in the store: %v", err)
	}

	if err := prepare(store, m.ID, t.TempDir()); err == nil || !strings.Contains(err.Error(), "no data directory of the snapshot") {
		t.Errorf("an empty directory is made ready: %v", err)
	}

	found, err := List(context.Background(), store)
	if err != nil {
		t.Fatal(err)
	}

	chosen, err := Select(found, nil, archiveapi.RecoveryTarget{})
	if err != nil || chosen.ID != full.ID {
		t.Errorf("a recovery that names none begins with %+v, %v: want the one in the store", chosen, err)
	}

	if next := s.mustTake(store, func(o *Options) { o.Parent = Latest }); next.Parent != full.ID {
		t.Errorf("the parent of the next one is %q, want %s", next.Parent, full.ID)
	}

	second := newMemory()
	if done := mustCopy(t, CopyOptions{From: store, To: second, Clock: clock.RealClock{}}); slices.Contains(done.Backups, m.ID) {
		t.Errorf("copied are %v", done.Backups)
	}

	if report, err := Verify(context.Background(), VerifyOptions{Store: store, Backup: m.ID, Clock: clock.RealClock{}}); err != nil || !report.Restorable || report.WALSegments == 0 {
		t.Errorf("what the store has of it is %+v, %v", report, err)
	}

	if _, err := s.take(newMemory(), func(o *Options) {
		o.Parent, o.Snapshot = full.ID, func(context.Context) error { return nil }
	}); err == nil {
		t.Error("a snapshot was taken as an incremental backup")
	}
}

// A backup whose snapshot failed does not exist.
func TestSnapshotThatFails(t *testing.T) {
	s, store := newFakeServer(t), newMemory()

	_, err := s.take(store, func(o *Options) { o.Snapshot = func(context.Context) error { return errDown } })
	if !errors.Is(err, errDown) {
		t.Errorf("got %v", err)
	}

	if found, err := List(context.Background(), store); err != nil || len(found) != 1 || found[0].Manifest != nil {
		t.Errorf("the store has %+v, %v", found, err)
	}
}

// No server stays in backup mode for somebody who is gone.
func TestNobodyIsWaitedForForEver(t *testing.T) {
	file := filepath.Join(t.TempDir(), "taken")
	now := testclock.NewFakeClock(at(12))
	ended := make(chan error, 1)

	go func() { ended <- AwaitFile(file, time.Minute, now)(context.Background()) }()

	deadline := time.Now().Add(time.Minute)

	for {
		select {
		case err := <-ended:
			if err == nil || !strings.Contains(err.Error(), "nobody has said within 1m0s") {
				t.Errorf("it ended with %v", err)
			}

			if passed := now.Since(at(12)); passed < time.Minute {
				t.Errorf("it ended after %s", passed)
			}

			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}

			if err := AwaitFile(file, time.Minute, now)(context.Background()); err != nil {
				t.Errorf("with the word: %v", err)
			}

			return
		default:
		}

		if now.HasWaiters() {
			now.Step(10 * time.Second)
		}

		if time.Now().After(deadline) {
			t.Fatal("it waits for ever")
		}
	}
}

// Those in the store are kept as if there were no snapshots, and the other way round.
func TestJudgeOfSnapshots(t *testing.T) {
	now := at(12)
	snapshot := func(id string, days int) Backup {
		b := daysAgo(now, id, days, "")
		b.Manifest.Kind = Snapshot

		return b
	}

	backups := []Backup{
		daysAgo(now, "a", 50, ""), snapshot("b", 45), daysAgo(now, "c", 40, ""), snapshot("d", 35), snapshot("e", 10), daysAgo(now, "f", 5, ""), snapshot("g", 1),
	}

	for want, policy := range map[string]Policy{"c d e f g": {Window: 30 * day}, "f g": {Count: 1}, "c e f g": {Count: 2}} {
		if got := kept(Judge(backups, policy, now)); got != want {
			t.Errorf("%s: keeps %q, want %q", policy, got, want)
		}
	}

	if got := kept(Judge([]Backup{daysAgo(now, "a", 50, ""), snapshot("b", 45)}, Policy{Window: day}, now)); got != "a b" {
		t.Errorf("of the last ones %q are kept", got)
	}
}

// The WAL of a snapshot that is kept is kept.
func TestExpireKeepsTheWALOfSnapshots(t *testing.T) {
	s, store := newFakeServer(t), newMemory()
	first, _ := snapshotOf(t, s, store, nil)
	second := s.mustTake(store, nil)
	archiveWAL(t, store, second)

	expired := func(policy Policy) *Expiry {
		t.Helper()

		done, err := Expire(context.Background(), ExpireOptions{Store: store, Policy: policy, Clock: clock.RealClock{}})
		if err != nil {
			t.Fatal(err)
		}

		return done
	}

	if done := expired(Policy{Count: 1}); done.WALDeleted != 0 || !slices.Contains(done.Left, first.ID) {
		t.Errorf("%+v", done)
	}

	if err := Delete(context.Background(), store, first.ID); err != nil {
		t.Fatal(err)
	}

	if done := expired(Policy{Count: 1}); done.WALDeleted == 0 {
		t.Errorf("the WAL of a snapshot that is gone stays: %+v", done)
	}
}
