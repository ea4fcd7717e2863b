package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archive/compress"
	"github.com/caretaker-dev/caretaker/internal/archive/layout"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
	"github.com/caretaker-dev/caretaker/internal/postgres"
	"github.com/caretaker-dev/caretaker/internal/storeconfig"
	"github.com/caretaker-dev/caretaker/internal/walclient"
)

// faulty is a store that fails when told to.
type faulty struct {
	objectstore.Store

	// err that every request gives, while it is set.
	err atomic.Pointer[error]
	// puts counts; the process "dies" at the put with number dieAt: before it (torn: false) or after it.
	puts, dieAt atomic.Int64
	after       bool
}

var errDied = errors.New("killed")

func (f *faulty) fault() error {
	if err := f.err.Load(); err != nil {
		return *err
	}

	return nil
}

func (f *faulty) fail(err error) {
	if err == nil {
		f.err.Store(nil)
	} else {
		f.err.Store(&err)
	}
}

func (f *faulty) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	if err := f.fault(); err != nil {
		return err
	}

	n := f.puts.Add(1)
	isDeath := f.dieAt.Load() > 0 && n >= f.dieAt.Load()

	if isDeath && (!f.after || n > f.dieAt.Load()) {
		return errDied
	}

	err := f.Store.PutIfAbsent(ctx, key, body)
	if isDeath {
		return errDied
	}

	return err
}

func (f *faulty) GetRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := f.fault(); err != nil {
		return nil, err
	}

	return f.Store.GetRange(ctx, key, offset, length)
}

// rig is a pg_wal, a store and an archiver.
type rig struct {
	t        *testing.T
	root     string
	store    *faulty
	archiver *Archiver
	client   walclient.Client
	stop     func()
}

func newRig(t *testing.T, change ...func(*archiveapi.Config)) *rig {
	t.Helper()

	// A Unix socket's path must be short.
	root, err := os.MkdirTemp("", "wal") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = os.RemoveAll(root) })

	r := &rig{t: t, root: root}
	for _, dir := range []string{"store", "data/pg_wal/archive_status"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}

	plain, err := objectstore.Open(t.Context(), storeconfig.Config{Type: storeconfig.TypeDir, Bucket: filepath.Join(root, "store")})
	if err != nil {
		t.Fatal(err)
	}

	r.store = &faulty{Store: plain}
	r.start(change...)

	return r
}

func (r *rig) config() archiveapi.Config {
	return archiveapi.Config{
		Archive: &archiveapi.Target{Store: storeconfig.Config{Type: storeconfig.TypeDir, Bucket: filepath.Join(r.root, "store")}, Server: "db"},
		Socket:  filepath.Join(r.root, "s"), DataDir: filepath.Join(r.root, "data"), SpoolDir: filepath.Join(r.root, "spool"),
	}
}

// start an archiver, in place of the one before.
func (r *rig) start(change ...func(*archiveapi.Config)) {
	r.t.Helper()

	if r.stop != nil {
		r.stop()
	}

	config := r.config()
	for _, c := range change {
		c(&config)
	}

	archiver, err := New(r.t.Context(), config, clock.RealClock{}, slog.New(slog.DiscardHandler))
	if err != nil {
		r.t.Fatal(err)
	}

	archiver.pusher.archive.store = objectstore.Within(r.store, "db")
	archiver.fetch.sources[0].store = objectstore.Within(r.store, "db")

	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)

	go func() { done <- archiver.Run(ctx) }()

	r.archiver = archiver
	r.client = walclient.Client{Socket: config.Socket, Patience: 20 * time.Second}
	r.stop = func() {
		cancel()

		if err := <-done; err != nil {
			r.t.Error(err)
		}
	}
	r.t.Cleanup(func() { cancel() })
}

func (r *rig) pgwal(name string) string { return filepath.Join(r.root, "data/pg_wal", name) }

func (r *rig) write(name string, content []byte) {
	r.t.Helper()

	if err := os.WriteFile(r.pgwal(name), content, 0o600); err != nil {
		r.t.Fatal(err)
	}

	if err := os.WriteFile(r.pgwal("archive_status/"+name+".ready"), nil, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) push(name string) error {
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()

	err := r.client.Push(ctx, name)
	if err == nil {
		_ = os.Rename(r.pgwal("archive_status/"+name+".ready"), r.pgwal("archive_status/"+name+".done"))
	}

	return err
}

func (r *rig) fetch(name string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()

	dest := filepath.Join(r.root, "RECOVERYXLOG")
	if err := r.client.Fetch(ctx, name, dest); err != nil {
		return nil, err
	}

	return os.ReadFile(dest)
}

func TestWhatIsPushedIsFetched(t *testing.T) {
	r := newRig(t)

	contents := map[string][]byte{postgres.HistoryName(2): []byte("1\t0/900000\tno recovery target specified\n")}

	for i := range uint64(40) {
		name, content := segment(1, i, 7)
		contents[name] = content
		r.write(name, content)
	}

	r.write(postgres.HistoryName(2), contents[postgres.HistoryName(2)])

	for _, name := range must(readyFiles(filepath.Join(r.root, "data/pg_wal"))) {
		if err := r.push(name); err != nil {
			t.Fatal(err)
		}
	}

	for i := range uint64(40) {
		name, _ := segment(1, i, 7)
		if got, err := r.fetch(name); err != nil || !bytes.Equal(got, contents[name]) {
			t.Fatalf("%s: %v", name, err)
		}
	}

	if _, err := r.fetch(postgres.HistoryName(3)); !errors.Is(err, walclient.ErrMissing) {
		t.Errorf("a history that nobody archived: %v", err)
	}

	status := r.archiver.Status(t.Context())
	if status.Push.Sent != 41 || status.Push.Backlog.Files != 0 || status.Push.Gap != nil || status.Push.Failing != nil {
		t.Errorf("status %+v", status.Push)
	}

	if status.Fetch.Hits < 30 {
		t.Errorf("only %d of %d fetches were there already", status.Fetch.Hits, status.Fetch.Given)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}

	return value
}

func TestNothingIsOverwritten(t *testing.T) {
	r := newRig(t)
	name, content := segment(1, 5, 1)
	r.write(name, content)

	for range 2 {
		if err := r.push(name); err != nil {
			t.Fatal(err)
		}

		r.start() // one that remembers nothing
	}

	_, other := segment(1, 5, 2)
	r.write(name, other)

	if err := r.push(name); err == nil || !strings.Contains(err.Error(), ErrDifferent.Error()) {
		t.Errorf("other content under the same name: %v", err)
	}

	if got, err := r.fetch(name); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the first content is gone: %v", err)
	}

	if failing := r.archiver.Status(t.Context()).Push.Failing; failing == nil || failing.Reason != archiveapi.ReasonDifferent {
		t.Errorf("status says %+v", failing)
	}
}

func TestAnotherClusterIsRefused(t *testing.T) {
	r := newRig(t)
	name, content := segment(1, 5, 1)
	r.write(name, content)

	if err := r.push(name); err != nil {
		t.Fatal(err)
	}

	next, foreign := segment(1, 6, 1)
	foreign[offsetSystemID]++
	r.write(next, foreign)

	if err := r.push(next); err == nil || !strings.Contains(err.Error(), ErrOtherCluster.Error()) {
		t.Errorf("another cluster's WAL: %v", err)
	}
}

func TestAStoreThatIsDownIsReportedAndCaughtUpWith(t *testing.T) {
	r := newRig(t, func(c *archiveapi.Config) { c.FetchPatience = archiveapi.Duration(time.Second) })
	first, content := segment(1, 1, 1)
	r.write(first, content)

	if err := r.push(first); err != nil {
		t.Fatal(err)
	}

	r.store.fail(errors.New("503 slow down"))

	for i := range uint64(20) {
		name, content := segment(1, 2+i, 1)
		r.write(name, content)
	}

	second, _ := segment(1, 2, 1)
	if err := r.push(second); err == nil {
		t.Fatal("archived into a store that is down")
	}

	status := r.archiver.Status(t.Context()).Push
	if status.Failing == nil || status.Failing.Reason != archiveapi.ReasonUnreachable || status.Backlog.Files != 20 || status.Backlog.Oldest != second ||
		time.Since(status.Backlog.OldestSince) > time.Hour {
		t.Fatalf("status %+v, failing %+v", status, status.Failing)
	}

	if _, err := r.fetch(second); err == nil || errors.Is(err, walclient.ErrMissing) {
		t.Fatalf("a store that is down said: %v", err)
	}

	r.store.fail(nil)

	for _, name := range must(readyFiles(filepath.Join(r.root, "data/pg_wal"))) {
		if err := r.push(name); err != nil {
			t.Fatal(err)
		}
	}

	status = r.archiver.Status(t.Context()).Push
	if status.Failing != nil || status.Backlog.Files != 0 || status.Gap != nil {
		t.Errorf("after the store came back: %+v", status)
	}
}

// A standby hears "error", never "not there", and soon: it may have to become primary.
func TestAStandbyDoesNotWaitForAStore(t *testing.T) {
	r := newRig(t)

	if err := os.WriteFile(filepath.Join(r.root, "data/standby.signal"), nil, 0o600); err != nil {
		t.Fatal(err)
	}

	r.store.fail(errors.New("connection refused"))

	start := time.Now()
	_, err := r.fetch("000000010000000000000005")

	if err == nil || errors.Is(err, walclient.ErrMissing) || time.Since(start) > 10*time.Second {
		t.Errorf("%v after %s", err, time.Since(start))
	}
}

func TestNotThereNeedsAnArchive(t *testing.T) {
	r := newRig(t, func(c *archiveapi.Config) { c.FetchPatience = archiveapi.Duration(time.Second) })

	if _, err := r.fetch("000000010000000000000005"); err == nil || errors.Is(err, walclient.ErrMissing) {
		t.Errorf("an empty place said %v: a recovery would have ended there", err)
	}
}

// TestAnEmptyHistoryGivesWay: it only keeps a timeline ID from being taken. The real one may come later, when a recovery in place
// was taken back and that is taken back as well.
func TestAnEmptyHistoryGivesWay(t *testing.T) {
	r := newRig(t)
	archive := must(Open(t.Context(), *r.config().Archive))
	history := File{Name: "00000002.history", Content: []byte("1\t0/3000000\tno recovery target specified\n")}

	// A standby asks first, the primary pushes; neither stands in the way of the real one.
	if isThere, err := archive.Has(t.Context(), File{Name: history.Name}); !isThere || err != nil {
		t.Errorf("a standby waits for a placeholder: %t, %v", isThere, err)
	}

	r.write(history.Name, nil)

	if err := r.push(history.Name); err != nil {
		t.Errorf("a placeholder is not let go: %v", err)
	}

	r.write(history.Name, history.Content)

	if err := r.push(history.Name); err != nil {
		t.Errorf("the real history is refused: %v", err)
	}

	if got, err := archive.Fetch(t.Context(), history.Name); err != nil || string(got) != string(history.Content) {
		t.Errorf("the archive has %q, %v", got, err)
	}

	if pushed, err := archive.Push(t.Context(), File{Name: history.Name}); err != nil || !pushed.WasThere {
		t.Errorf("a placeholder is not let go once the real history is there: %+v, %v", pushed, err)
	}

	history.Content = []byte("1\t0/4000000\tno recovery target specified\n")
	if _, err := archive.Push(t.Context(), history); !errors.Is(err, ErrDifferent) {
		t.Errorf("another history of the same timeline: %v", err)
	}
}

func TestAStandbyLeavesArchivingToThePrimary(t *testing.T) {
	r := newRig(t, func(c *archiveapi.Config) { c.StandbyGrace = archiveapi.Duration(2 * time.Second) })

	if err := os.WriteFile(filepath.Join(r.root, "data/standby.signal"), nil, 0o600); err != nil {
		t.Fatal(err)
	}

	// The primary archives it meanwhile.
	name, content := segment(1, 5, 1)
	r.write(name, content)

	primary := must(Open(t.Context(), *r.config().Archive))
	asked := make(chan error, 1)

	go func() { asked <- r.push(name) }()

	if _, err := primary.Push(t.Context(), File{Name: name, Content: content}); err != nil {
		t.Fatal(err)
	}

	if err := <-asked; err != nil {
		t.Fatal(err)
	}

	if status := r.archiver.Status(t.Context()).Push; status.Sent != 0 || status.WereThere != 1 {
		t.Errorf("the standby sent it itself: %+v", status)
	}

	// Nobody archives this one.
	next, content := segment(1, 6, 1)
	r.write(next, content)

	if err := r.push(next); err != nil {
		t.Fatal(err)
	}

	if status := r.archiver.Status(t.Context()).Push; status.Sent != 1 {
		t.Errorf("the standby did not step in: %+v", status)
	}
}

// The archiver dies at every put, before or after it was applied. Whatever it had said "archived" of is there, whole, and
// going on completes the rest.
func TestKilledAtEachPut(t *testing.T) {
	const files = 3

	for death := int64(1); death <= files+1; death++ {
		for _, after := range []bool{false, true} {
			r := newRig(t)
			r.store.after = after
			r.store.dieAt.Store(death + 1) // the probe's put is not counted as a file's

			archived := map[string]bool{}

			for i := range uint64(files) {
				name, content := segment(1, i, 3)
				r.write(name, content)
			}

			for i := range uint64(files) {
				name, _ := segment(1, i, 3)
				if err := r.push(name); err != nil {
					break
				}

				archived[name] = true
			}

			r.store.dieAt.Store(0)
			r.start()

			for i := range uint64(files) {
				name, content := segment(1, i, 3)

				got, err := r.archiver.pusher.archive.Fetch(t.Context(), name)
				if archived[name] && (err != nil || !bytes.Equal(got, content)) {
					t.Fatalf("death %d: %s was said to be archived: %v", death, name, err)
				}

				if err != nil && !errors.Is(err, objectstore.ErrNotFound) {
					t.Fatalf("death %d: %s is neither there nor missing: %v", death, name, err)
				}
			}

			for _, name := range must(readyFiles(filepath.Join(r.root, "data/pg_wal"))) {
				if err := r.push(name); err != nil {
					t.Fatal(err)
				}
			}

			for i := range uint64(files) {
				name, content := segment(1, i, 3)
				if got, err := r.fetch(name); err != nil || !bytes.Equal(got, content) {
					t.Fatalf("death %d: %s: %v", death, name, err)
				}
			}

			r.stop()
		}
	}
}

func TestADamagedObjectIsNeverGiven(t *testing.T) {
	r := newRig(t)
	name, content := segment(1, 5, 1)
	r.write(name, content)

	if err := r.push(name); err != nil {
		t.Fatal(err)
	}

	path := filepath.Join(r.root, "store/db", must(layout.WAL(name)))
	object := must(os.ReadFile(path))
	object[len(object)/2] ^= 1

	if err := os.WriteFile(path, object, 0o600); err != nil {
		t.Fatal(err)
	}

	if _, err := r.fetch(name); err == nil || !strings.Contains(err.Error(), ErrDamaged.Error()) {
		t.Errorf("a damaged segment: %v", err)
	}
}

// Timeline 1 ends within segment 5. The promoted server archives its own rest as 5.partial; a standby that followed has other
// bytes behind the switch, and a whole name. Both are the same segment, and neither is taken for a whole one.
func TestSegmentsAreCutWhereTimelinesPart(t *testing.T) {
	r := newRig(t)

	const switchAt = 5*testSegmentBytes + 0x8000

	name, content := segment(1, 5, 1)
	later, _ := segment(2, 5, 1)
	_, laterContent := segment(2, 5, 1)
	history := fmt.Sprintf("1\t%s\tno recovery target specified\n", postgres.LSN(switchAt))

	primary := must(Open(t.Context(), *r.config().Archive))
	if _, err := primary.Push(t.Context(), File{Name: name + ".partial", Content: content}); err != nil {
		t.Fatal(err)
	}

	own := bytes.Clone(content)
	own[0x9000] ^= 0xff // behind the switch

	r.write(name, own)
	r.write(later, laterContent)
	r.write(postgres.HistoryName(2), []byte(history))

	for _, file := range must(readyFiles(filepath.Join(r.root, "data/pg_wal"))) {
		if err := r.push(file); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}

	if _, err := r.fetch(name); !errors.Is(err, walclient.ErrMissing) {
		t.Errorf("the cut segment is there under its whole name: %v", err)
	}

	// A byte before the switch is another matter.
	r.start()

	own[0x7000] ^= 0xff
	r.write(name, own)

	if err := r.push(name); err == nil || !strings.Contains(err.Error(), ErrDifferent.Error()) {
		t.Errorf("other bytes before the switch: %v", err)
	}
}

func TestEncryptedArchivesNeedTheIdentity(t *testing.T) {
	identity := testIdentity(t)

	dir := t.TempDir()
	recipients, identities := filepath.Join(dir, "recipients"), filepath.Join(dir, "identities")

	for path, text := range map[string]string{recipients: identity.Recipient().String(), identities: identity.String()} {
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	r := newRig(t, func(c *archiveapi.Config) {
		c.Archive.RecipientsFile, c.Archive.IdentitiesFile = recipients, identities
	})
	name, content := segment(1, 5, 1)
	r.write(name, content)

	if err := r.push(name); err != nil {
		t.Fatal(err)
	}

	object := must(os.ReadFile(filepath.Join(r.root, "store/db", must(layout.WAL(name)))))
	if header, _, err := parseHeader(object); err != nil || len(header.Key) == 0 || header.Compression != compress.Zstd {
		t.Errorf("it is not encrypted: %+v, %v", header, err)
	}

	if got, err := r.fetch(name); err != nil || !bytes.Equal(got, content) {
		t.Fatal(err)
	}

	r.start(func(c *archiveapi.Config) { c.FetchPatience = archiveapi.Duration(time.Second) })

	if _, err := r.fetch(name); err == nil || errors.Is(err, walclient.ErrMissing) {
		t.Errorf("without the identity: %v", err)
	}
}
