package basebackup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"

	"github.com/caretaker-dev/caretaker/internal/archive/compress"
	"github.com/caretaker-dev/caretaker/internal/archive/layout"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
)

func walKey(t *testing.T, name string) string {
	t.Helper()

	key, err := layout.WAL(name)
	if err != nil {
		t.Fatal(err)
	}

	return key
}

func identityAndRecipient(t *testing.T) (age.Identity, age.Recipient) {
	t.Helper()

	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}

	return identity, identity.Recipient()
}

func TestRestoreGivesWhatWasBackedUp(t *testing.T) {
	identity, recipient := identityAndRecipient(t)

	for _, algorithm := range []compress.Algorithm{"", compress.Gzip, compress.LZ4, compress.None} {
		for _, isEncrypted := range []bool{false, true} {
			t.Run(fmt.Sprint(algorithm, isEncrypted), func(t *testing.T) {
				s, store := newFakeServer(t), newMemory()
				m := s.mustTake(store, func(o *Options) {
					o.Compression = algorithm
					if isEncrypted {
						o.Recipients = []age.Recipient{recipient}
					}
				})
				dir := t.TempDir()

				err := restoreInto(t, store, m.ID, dir, func(o *RestoreOptions) {
					if isEncrypted {
						o.Identities = []age.Identity{identity}
					}
				})
				if err != nil {
					t.Fatal(err)
				}

				sameContent(t, content(t, dir), s.wanted())

				if isEncrypted {
					if err := restoreInto(t, store, m.ID, t.TempDir(), nil); err == nil {
						t.Error("it was restored without the key")
					}
				}
			})
		}
	}
}

func TestLargeFilesAreSharedOutOverPacks(t *testing.T) {
	s, store := newFakeServer(t), newMemory()
	big := make([]byte, 45<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(big)
	s.write("pg_xact/0001", big)

	m := s.mustTake(store, nil)
	if m.Packs < 3 {
		t.Errorf("45 MiB of random bytes are in %d packs", m.Packs)
	}

	for key, body := range store.objects {
		if strings.Contains(key, "/packs/") && len(body) > minPackBytes {
			t.Errorf("%s has %d bytes, more than a pack", key, len(body))
		}
	}

	dir := t.TempDir()
	if err := restoreInto(t, store, m.ID, dir, nil); err != nil {
		t.Fatal(err)
	}

	got, err := os.ReadFile(filepath.Join(dir, "pg_xact/0001"))
	if err != nil || !bytes.Equal(got, big) {
		t.Errorf("it differs: %v", err)
	}
}

func TestIncrementalChain(t *testing.T) {
	for _, method := range []Method{WALSummaries, BlockHashes} {
		t.Run(string(method), func(t *testing.T) {
			s, store := newFakeServer(t), newMemory()
			s.info.summarizesWAL = method == WALSummaries

			full := s.mustTake(store, func(o *Options) { o.BlockHashes = true })
			steps := []func(){
				func() { s.change(16388, 0, 5, 6, 7, 299) },
				func() {
					s.truncate(16387, 10)
					s.change(16387, 9)
				},
				func() { // cut off, and longer again: what lay there before must not come back
					s.truncate(16388, 100)
					s.change(16388, 100, 101, 102, 150)
				},
				func() { s.change(16386, 0, 1, 2, 3, 4) },
				func() {}, // nothing at all
				func() {
					if err := os.Remove(s.path("base/5/16385")); err != nil {
						t.Fatal(err)
					}

					s.write("base/5/16500", s.pages(20))
				},
			}

			ids := []string{full.ID}
			want := []map[string]string{s.wanted()}

			for _, step := range steps {
				step()

				m := s.mustTake(store, func(o *Options) { o.Parent = Latest })
				if m.Kind != Incremental || m.Parent != ids[len(ids)-1] || m.Method != method {
					t.Fatalf("kind %s, parent %s, method %s", m.Kind, m.Parent, m.Method)
				}

				if m.StoredBytes >= full.StoredBytes/2 {
					t.Errorf("an incremental backup of %d bytes, the full one has %d", m.StoredBytes, full.StoredBytes)
				}

				ids = append(ids, m.ID)
				want = append(want, s.wanted())
			}

			dir := filepath.Join(t.TempDir(), "delta")

			for i, id := range ids {
				fresh := t.TempDir()
				if err := restoreInto(t, store, id, fresh, nil); err != nil {
					t.Fatal(err)
				}

				sameContent(t, content(t, fresh), want[i])

				// From whatever the step before left to this one.
				if err := restoreInto(t, store, id, dir, func(o *RestoreOptions) { o.Delta = true }); err != nil {
					t.Fatal(err)
				}

				sameContent(t, content(t, dir), want[i])
			}
		})
	}
}

func TestDeltaFetchesOnlyWhatDiffers(t *testing.T) {
	s, store := newFakeServer(t), newMemory()
	m := s.mustTake(store, nil)
	dir := t.TempDir()

	if err := restoreInto(t, store, m.ID, dir, nil); err != nil {
		t.Fatal(err)
	}

	if err := restoreInto(t, store, m.ID, dir, nil); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Fatalf("into a directory that is not empty: %v", err)
	}

	// Of the largest file only the first frame differs. What else is kept depends on what the readers happened to pack together:
	// small files that share a frame are fetched again.
	changed, err := os.ReadFile(s.path("base/5/16388"))
	if err != nil {
		t.Fatal(err)
	}

	copy(changed, strings.Repeat("old", 1<<10))

	for name, body := range map[string]string{
		"base/5/16388": string(changed) + "longer than it was", "base/5/99999": "none of the backup's", "pg_wal/000000010000000000000009": "not archived",
		"postmaster.opts": "x", "postgresql.conf": "other",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	done, err := Restore(context.Background(), RestoreOptions{Store: store, Backup: m.ID, DataDir: dir, Delta: true, Clock: clock.RealClock{}})
	if err != nil {
		t.Fatal(err)
	}

	aside := filepath.Join("pg_wal", beforeRestore)
	want := s.wanted()
	want[aside] = "directory"
	want[aside+"/000000010000000000000009"] = "not archived"
	sameContent(t, content(t, dir), want)

	if done.KeptBytes < frameBytes {
		t.Errorf("%d bytes were kept of a file of %d, of which the first %d had changed", done.KeptBytes, len(changed), frameBytes)
	}
}

// A backup that is interrupted anywhere is complete, or no backup at all; the next one goes well, and the traces are swept.
func TestCrashPoints(t *testing.T) {
	s := newFakeServer(t)
	s.write("pg_xact/0001", bytes.Repeat([]byte("some words and no more "), 1<<10))

	random := rand.New(rand.NewPCG(7, 7))
	writes := 0
	counted := newMemory()
	counted.before = func(op, _ string) error {
		if op == "put" {
			writes++
		}

		return nil
	}
	s.mustTake(counted, nil)

	complete, invisible := 0, 0

	for i := range 300 {
		store := newMemory()
		first := s.mustTake(store, func(o *Options) { o.BlockHashes = true })
		archiveWAL(t, store, first)
		s.change(16388, i, 3)

		parent := ""
		if i%2 == 0 {
			parent = first.ID
		}

		dieAt, isApplied := random.IntN(writes)+1, random.IntN(2) == 0
		n, isDead := 0, false
		die := func(op, _ string) error {
			if op == "put" {
				n++
			}

			if isDead || n >= dieAt {
				isDead = true

				return errDown
			}

			return nil
		}

		if isApplied {
			store.after = die
			store.before = func(string, string) error {
				if isDead {
					return errDown
				}

				return nil
			}
		} else {
			store.before = die
		}

		_, err := s.take(store, func(o *Options) { o.Parent = parent })
		store.before, store.after = nil, nil

		backups, listErr := List(context.Background(), store)
		if listErr != nil {
			t.Fatal(listErr)
		}

		for _, b := range backups {
			if b.Manifest == nil {
				invisible++

				continue
			}

			complete++
			archiveWAL(t, store, b.Manifest)

			report, verifyErr := Verify(context.Background(), VerifyOptions{Store: store, Backup: b.ID, Clock: clock.RealClock{}})
			if verifyErr != nil || !report.Restorable {
				t.Fatalf("crash at write %d (applied: %t, %v): backup %s is listed and cannot be restored: %v %v", dieAt, isApplied, err, b.ID, verifyErr, report)
			}
		}

		next := s.mustTake(store, func(o *Options) { o.Parent = Latest })
		// It syncs a whole file system: what Verify reads back is enough for most.
		if i%50 == 0 {
			if err := restoreInto(t, store, next.ID, filepath.Join(t.TempDir(), "x"), nil); err != nil {
				t.Fatal(err)
			}
		}

		swept(t, store)
	}

	if invisible == 0 || complete <= 300 {
		t.Errorf("%d complete and %d interrupted backups: the crashes were not where they should be", complete, invisible)
	}
}

// swept checks that what an interrupted backup left goes away after the grace time, and nothing else.
func swept(t *testing.T, store *memory) {
	t.Helper()

	later := testclock.NewFakeClock(time.Now().Add(2 * DefaultGrace))

	done, err := Expire(context.Background(), ExpireOptions{Store: store, Policy: Policy{Count: 100}, Grace: DefaultGrace, Clock: later})
	if err != nil {
		t.Fatal(err)
	}

	if len(done.Marked)+len(done.Deleted) > 0 {
		t.Errorf("backups were expired: %+v", done)
	}

	left, err := List(context.Background(), store)
	if err != nil {
		t.Fatal(err)
	}

	for _, b := range left {
		if b.Manifest == nil {
			t.Errorf("%s was not swept", b.ID)
		}

		for key := range store.objects {
			if strings.HasPrefix(key, folder(b.ID)) && b.Manifest == nil {
				t.Errorf("%s was left", key)
			}
		}
	}
}

// One byte of any object that a restore needs, or one object: verification and restore name it.
func TestEveryDamageIsNamed(t *testing.T) {
	identity, recipient := identityAndRecipient(t)

	for _, isEncrypted := range []bool{false, true} {
		t.Run(fmt.Sprint(isEncrypted), func(t *testing.T) {
			s, whole := newFakeServer(t), newMemory()
			s.info.summarizesWAL = false

			encrypt := func(o *Options) {
				o.BlockHashes = true
				o.Identities = []age.Identity{identity}

				if isEncrypted {
					o.Recipients = []age.Recipient{recipient}
				}
			}

			first := s.mustTake(whole, encrypt)
			s.change(16388, 3)
			m := s.mustTake(whole, func(o *Options) {
				encrypt(o)
				o.Parent = first.ID
			})
			archiveWAL(t, whole, first)
			archiveWAL(t, whole, m)

			for key := range whole.objects {
				if !strings.HasPrefix(key, layout.BackupsPrefix) || strings.HasSuffix(key, "started.json") {
					continue
				}

				for _, fault := range []string{"flip", "cut", "remove"} {
					store := whole.clone()
					body := bytes.Clone(store.objects[key])

					switch fault {
					case "flip":
						body[len(body)/2] ^= 1
						store.objects[key] = body
					case "cut":
						store.objects[key] = body[:len(body)-1]
					case "remove":
						delete(store.objects, key)
					}

					wantNamed(t, store, m.ID, key, fault, identity)
				}
			}
		})
	}
}

func wantNamed(t *testing.T, store *memory, id, key, fault string, identity age.Identity) {
	t.Helper()

	name := key
	if strings.HasSuffix(key, "manifest.json") && fault == "remove" {
		// Then there is no such backup, and its name is what can be named.
		name = strings.Split(key, "/")[1]
	}

	report, err := Verify(context.Background(), VerifyOptions{
		Store: store, Backup: id, Clock: clock.RealClock{}, Identities: []age.Identity{identity},
	})
	if err != nil {
		t.Fatalf("%s of %s: %v", fault, key, err)
	}

	if report.Restorable || !strings.Contains(report.String(), name) {
		t.Errorf("%s of %s: verification says: %s", fault, key, report)
	}

	dir := t.TempDir()

	err = restoreInto(t, store, id, dir, func(o *RestoreOptions) { o.Identities = []age.Identity{identity} })
	if err == nil || !strings.Contains(err.Error(), name) {
		// A block that an incremental backup has anew is not needed of its parent, nor are hashes.
		isUnneeded := err == nil && strings.Contains(key, "/packs/")
		if !isUnneeded {
			t.Errorf("%s of %s: the restore says: %v", fault, key, err)
		}
	}

	if _, statErr := os.Stat(filepath.Join(dir, controlFile)); err != nil && statErr == nil {
		t.Errorf("%s of %s: a failed restore left a data directory that can be started", fault, key)
	}
}

func TestMissingWALIsNamed(t *testing.T) {
	s, store := newFakeServer(t), newMemory()
	m := s.mustTake(store, nil)
	archiveWAL(t, store, m)

	history, err := m.TimelineHistory()
	if err != nil {
		t.Fatal(err)
	}

	for _, name := range segments(history, m.StartLSN, m.StopLSN, fakeSegment) {
		broken := store.clone()
		delete(broken.objects, walKey(t, name))

		report, err := Verify(context.Background(), VerifyOptions{Store: broken, Backup: m.ID, Clock: clock.RealClock{}})
		if err != nil || report.Restorable || !strings.Contains(report.String(), name) {
			t.Errorf("without %s: %v %s", name, err, report)
		}
	}
}

func TestStoreFaultsEndABackupOrARestore(t *testing.T) {
	s, store := newFakeServer(t), newMemory()
	good := s.mustTake(store, nil)
	denied := fmt.Errorf("403: %w", objectstore.ErrDenied)

	store.before = func(op, key string) error {
		if op == "put" && strings.Contains(key, "/packs/") {
			return denied
		}

		return nil
	}

	if _, err := s.take(store, nil); !errors.Is(err, objectstore.ErrDenied) {
		t.Errorf("a backup that may not write: %v", err)
	}

	store.before = func(op, key string) error {
		if op == "get" && strings.Contains(key, "/packs/") {
			return denied
		}

		return nil
	}

	if err := restoreInto(t, store, good.ID, t.TempDir(), nil); !errors.Is(err, objectstore.ErrDenied) {
		t.Errorf("a restore that may not read: %v", err)
	}

	if _, err := Verify(context.Background(), VerifyOptions{Store: store, Backup: good.ID, Clock: clock.RealClock{}}); !errors.Is(err, objectstore.ErrDenied) {
		t.Errorf("a verification that may not read must not call the backup bad: %v", err)
	}
}

func TestAnotherServersStoreIsRefused(t *testing.T) {
	s, store := newFakeServer(t), newMemory()
	s.mustTake(store, nil)

	s.info.systemIdentifier = "7400000000000000001"

	_, err := s.take(store, nil)

	var owner *OwnerError
	if !errors.As(err, &owner) || !strings.Contains(err.Error(), fakeSystem) {
		t.Errorf("another server's store: %v", err)
	}
}

func TestDamagedPagesAreNamed(t *testing.T) {
	s, store := newFakeServer(t), newMemory()

	page := s.page(7)
	page[5000] ^= 1

	file, err := os.OpenFile(s.path("base/5/16388"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}

	if _, err := file.WriteAt(page, 7*8192); err != nil {
		t.Fatal(err)
	}

	if err := file.Close(); err != nil {
		t.Fatal(err)
	}

	_, err = s.take(store, nil)
	if err == nil || !strings.Contains(err.Error(), "base/5/16388, block 7") {
		t.Fatalf("a damaged page: %v", err)
	}

	m := s.mustTake(store, func(o *Options) { o.AcceptDamage = true })
	if !slices.Equal(m.Damaged, []Damage{{File: "base/5/16388", Block: 7}}) {
		t.Errorf("damage in the manifest: %v", m.Damaged)
	}
}
