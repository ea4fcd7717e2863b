package basebackup

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/objectstore"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// memory is a store that can be made to fail. The real ones are tested in objectstore, and with real servers in
// integration_test.go.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
	now     time.Time
	// before each operation; an error is its result.
	before func(op, key string) error
	// after a write has been applied.
	after func(op, key string) error
}

func newMemory() *memory { return &memory{objects: map[string][]byte{}, now: time.Now()} }

func (m *memory) hook(hook func(op, key string) error, op, key string) error {
	if hook == nil {
		return nil
	}

	return hook(op, key)
}

func (m *memory) write(op, key string, body []byte, onlyNew bool) error { //nolint:revive // what its callers differ in
	m.mu.Lock()
	defer m.mu.Unlock()

	if err := m.hook(m.before, op, key); err != nil {
		return err
	}

	if _, isThere := m.objects[key]; isThere && onlyNew {
		return fmt.Errorf("%s: %w", key, objectstore.ErrExists)
	}

	m.objects[key] = bytes.Clone(body)

	return m.hook(m.after, op, key)
}

func (m *memory) Put(_ context.Context, key string, body []byte) error {
	return m.write("put", key, body, false)
}

func (m *memory) PutIfAbsent(_ context.Context, key string, body []byte) error {
	return m.write("put", key, body, true)
}

func (m *memory) GetRange(_ context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()

	if err := m.hook(m.before, "get", key); err != nil {
		return nil, err
	}

	body, ok := m.objects[key]
	if !ok {
		return nil, fmt.Errorf("%s: %w", key, objectstore.ErrNotFound)
	}

	body = body[min(offset, int64(len(body))):]
	if length >= 0 {
		body = body[:min(length, int64(len(body)))]
	}

	return io.NopCloser(bytes.NewReader(body)), nil
}

func (m *memory) Head(_ context.Context, key string) (objectstore.Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()

	if err := m.hook(m.before, "head", key); err != nil {
		return objectstore.Info{}, err
	}

	body, ok := m.objects[key]
	if !ok {
		return objectstore.Info{}, fmt.Errorf("%s: %w", key, objectstore.ErrNotFound)
	}

	return objectstore.Info{Key: key, Size: int64(len(body)), Modified: m.now}, nil
}

func (m *memory) List(_ context.Context, prefix, startAfter string) iter.Seq2[objectstore.Info, error] {
	m.mu.Lock()
	defer m.mu.Unlock()

	if err := m.hook(m.before, "list", prefix); err != nil {
		return func(yield func(objectstore.Info, error) bool) { yield(objectstore.Info{}, err) }
	}

	var found []objectstore.Info

	for _, key := range slices.Sorted(maps.Keys(m.objects)) {
		if strings.HasPrefix(key, prefix) && key > startAfter {
			found = append(found, objectstore.Info{Key: key, Size: int64(len(m.objects[key])), Modified: m.now})
		}
	}

	return func(yield func(objectstore.Info, error) bool) {
		for _, info := range found {
			if !yield(info, nil) {
				return
			}
		}
	}
}

func (m *memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()

	if err := m.hook(m.before, "delete", key); err != nil {
		return err
	}

	delete(m.objects, key)

	return nil
}

func (m *memory) clone() *memory {
	return &memory{objects: maps.Clone(m.objects), now: m.now}
}

// fakeServer is a data directory that looks like PostgreSQL's, with pages whose checksums are right. It stands in for the session only.
type fakeServer struct {
	t       *testing.T
	dir     string
	info    server
	lsn     postgres.LSN
	time    time.Time
	changed changes
	random  *rand.Rand
}

const (
	fakeSystem  = "7412345678901234567"
	fakeSegment = 1 << 20
)

func newFakeServer(t *testing.T) *fakeServer {
	t.Helper()

	s := &fakeServer{
		t: t, dir: t.TempDir(), lsn: 0x2000028, time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		random: rand.New(rand.NewPCG(1, 2)),
		info: server{
			systemIdentifier: fakeSystem, version: postgres.Version{Major: 17, Minor: 5}, versionText: "17.5", checksums: true,
			blockBytes: 8192, segBlocks: 131072, walSegmentBytes: fakeSegment, summarizesWAL: true, timeline: 1,
		},
	}
	s.info.dataDir = s.dir

	for _, dir := range []string{
		"base/1", "base/5/pgsql_tmp", "global", "pg_wal/archive_status", "pg_wal/summaries", "pg_tblspc", "pg_xact", "pg_stat_tmp",
		"pg_replslot/slot", "pg_notify", "pg_subtrans", "pg_logical/mappings",
	} {
		if err := os.MkdirAll(filepath.Join(s.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}

	for name, content := range map[string]string{
		"PG_VERSION": "17\n", "postgresql.conf": "# nothing\n", "postmaster.pid": "999999\n", "backup_label.old": "old",
		"pg_wal/000000010000000000000002": "wal", "base/5/pgsql_tmp/x": "temporary", "pg_xact/0000": strings.Repeat("x", 8192),
		"pg_replslot/slot/state": "slot", "pg_stat_tmp/x": "x", "base/5/pg_internal.init.17": "x", "base/5/empty": "",
		"base/1/PG_VERSION": "17\n", "postgresql.auto.conf.tmp": "x", "standby.signal": "",
	} {
		s.write(name, []byte(content))
	}

	s.write(controlFile, controlContent())

	for i, blocks := range []int{0, 1, 3, 40, 300} {
		s.write(fmt.Sprintf("base/5/%d", 16384+i), s.pages(blocks))
	}

	s.write("base/5/16388_vm", s.pages(2))
	s.write("base/5/16388_fsm", s.pages(3))
	// An unlogged relation, and a session's own.
	s.write("base/5/16400", s.pages(5))
	s.write("base/5/16400_init", s.pages(1))
	s.write("base/5/t3_16401", s.pages(5))

	return s
}

func controlContent() []byte {
	body := make([]byte, 8192)
	for i := range 296 {
		body[i] = byte(i * 7)
	}

	binary.LittleEndian.PutUint32(body[296:], crc32.Checksum(body[:296], crc32.MakeTable(crc32.Castagnoli)))

	return body
}

func (s *fakeServer) path(name string) string { return filepath.Join(s.dir, name) }

func (s *fakeServer) write(name string, content []byte) {
	s.t.Helper()

	if err := os.WriteFile(s.path(name), content, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// page with a checksum that is right, half of it random.
func (s *fakeServer) page(block uint32) []byte {
	page := make([]byte, 8192)
	for i := pageHeaderBytes; i < len(page)/2; i++ {
		page[i] = byte(s.random.Uint32())
	}

	binary.LittleEndian.PutUint32(page[4:], 0x1000000)
	binary.LittleEndian.PutUint16(page[upperAt:], 4096)
	binary.LittleEndian.PutUint16(page[checksumAt:], pageChecksum(page, block))

	return page
}

func (s *fakeServer) pages(n int) []byte {
	var out []byte
	for i := range n {
		out = append(out, s.page(uint32(i))...)
	}

	return out
}

// change writes new pages, and says so as WAL summaries would.
func (s *fakeServer) change(filenode uint32, blocks ...int) {
	s.t.Helper()

	file, err := os.OpenFile(s.path(fmt.Sprintf("base/5/%d", filenode)), os.O_WRONLY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // the writes are checked

	for _, block := range blocks {
		if _, err := file.WriteAt(s.page(uint32(block)), int64(block)*8192); err != nil {
			s.t.Fatal(err)
		}

		c := s.changed.of(forkKey{tablespace: defaultTablespace, database: 5, filenode: filenode})
		c.blocks = append(c.blocks, int64(block))
		slices.Sort(c.blocks)
	}
}

// truncate cuts a relation off.
func (s *fakeServer) truncate(filenode uint32, blocks int) {
	s.t.Helper()

	if err := os.Truncate(s.path(fmt.Sprintf("base/5/%d", filenode)), int64(blocks)*8192); err != nil {
		s.t.Fatal(err)
	}

	s.changed.of(forkKey{tablespace: defaultTablespace, database: 5, filenode: filenode}).limit = int64(blocks)
}

func (s *fakeServer) ask(context.Context) (server, error) { return s.info, nil }

func (s *fakeServer) begin(context.Context, string, bool) (postgres.LSN, error) {
	s.lsn += 3 * fakeSegment

	return s.lsn, nil
}

func (s *fakeServer) end(context.Context) (stopped, error) {
	s.lsn += fakeSegment / 2
	s.time = s.time.Add(time.Hour)

	return stopped{
		lsn: s.lsn, label: "START WAL LOCATION: 0/2000028\nSTART TIMELINE: 1\n", time: s.time, nextXID: uint64(s.lsn) / 100,
		timeline: 1, startTimeline: 1,
	}, nil
}

func (s *fakeServer) timeline(context.Context) (postgres.Timeline, error) { return 1, nil }

func (s *fakeServer) changes(context.Context, []walRange) (changes, error) {
	found := s.changed
	s.changed = changes{}

	return found, nil
}

// take a backup with a new set of changes from then on.
func (s *fakeServer) take(store objectstore.Store, edit func(*Options)) (*Manifest, error) {
	o := Options{Store: store, Server: "demo", Workers: 2, Clock: clock.RealClock{}}
	if edit != nil {
		edit(&o)
	}

	m, err := takeFrom(context.Background(), o, s)
	if err == nil && o.Parent == "" {
		s.changed = changes{}
	}

	return m, err
}

func (s *fakeServer) mustTake(store objectstore.Store, edit func(*Options)) *Manifest {
	s.t.Helper()

	m, err := s.take(store, edit)
	if err != nil {
		s.t.Fatal(err)
	}

	return m
}

// archiveWAL puts segments into the store that a backup needs.
func archiveWAL(t *testing.T, store objectstore.Store, m *Manifest) {
	t.Helper()

	history, err := m.TimelineHistory()
	if err != nil {
		t.Fatal(err)
	}

	for _, name := range segments(history, m.StartLSN, m.StopLSN, m.WALSegmentBytes) {
		putWAL(t, store, name)
	}
}

func putWAL(t *testing.T, store objectstore.Store, name string) {
	t.Helper()

	if err := store.Put(context.Background(), walKey(t, name), []byte(name)); err != nil {
		t.Fatal(err)
	}
}

// content of a data directory, as a backup is to have it.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()

	found := map[string]string{}

	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}

		name, _ := filepath.Rel(dir, path)

		switch {
		case entry.IsDir():
			found[name] = "directory"
		case entry.Type().IsRegular():
			body, err := os.ReadFile(path)
			found[name] = string(body)

			return err
		}

		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	return found
}

// wanted is what the server's data directory must become.
func (s *fakeServer) wanted() map[string]string {
	s.t.Helper()

	all := content(s.t, s.dir)
	for _, name := range []string{
		"postmaster.pid", "pg_wal/000000010000000000000002", "pg_wal/summaries", "base/5/pgsql_tmp", "base/5/pgsql_tmp/x", "pg_replslot/slot",
		"pg_replslot/slot/state", "pg_stat_tmp/x", "base/5/pg_internal.init.17", "postgresql.auto.conf.tmp", "standby.signal",
		"base/5/16400", "base/5/t3_16401",
	} {
		delete(all, name)
	}

	all[labelFile] = "START WAL LOCATION: 0/2000028\nSTART TIMELINE: 1\n"

	return all
}

func sameContent(t *testing.T, got, want map[string]string) {
	t.Helper()

	for name := range want {
		if have, ok := got[name]; !ok {
			t.Errorf("%s is missing", name)
		} else if have != want[name] {
			t.Errorf("%s differs (%d bytes, want %d)", name, len(have), len(want[name]))
		}
	}

	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is there, and should not be", name)
		}
	}
}

func restoreInto(t *testing.T, store objectstore.Store, id, dir string, edit func(*RestoreOptions)) error {
	t.Helper()

	o := RestoreOptions{Store: store, Backup: id, DataDir: dir, Clock: clock.RealClock{}}
	if edit != nil {
		edit(&o)
	}

	_, err := Restore(context.Background(), o)

	return err
}

var errDown = errors.New("the store is down")
