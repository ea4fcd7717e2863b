package basebackup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/jackc/pgx/v5"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archive/compress"
	"github.com/caretaker-dev/caretaker/internal/archive/crypt"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// DefaultWorkers of a backup or a restore.
const DefaultWorkers = 2

// Latest as a parent is the newest backup that can be one; a full backup is taken if there is none.
const Latest = "latest"

// errNoSummaries says that a full backup is needed.
var errNoSummaries = errors.New("a full backup is needed")

// Options of Take.
type Options struct {
	// Store of the server, objectstore.Within(store, server).
	Store objectstore.Store
	// Server's name, for the manifest.
	Server string
	// Conn is a superuser's session (or one that may call the backup functions and read pg_control) with the server whose
	// data directory is at hand: a standby, or the primary. Take needs it for itself.
	Conn *pgx.Conn
	// DataDir is where the data directory is; empty for where the server says.
	DataDir string
	// Exclude are paths below the data directory that are none of PostgreSQL's.
	Exclude []string

	// Parent makes an incremental backup since that one; Latest since the newest. Empty makes a full one.
	Parent string
	// BlockHashes are kept, so that this backup can be the parent of an incremental one without WAL summaries.
	// Always done below PostgreSQL 17 for incremental backups.
	BlockHashes bool

	Compression compress.Algorithm
	// Recipients that the backup is encrypted for; none for an unencrypted one.
	Recipients []age.Recipient
	// Identities open an encrypted parent.
	Identities []age.Identity

	// Label is free text.
	Label string
	// Fast asks for an immediate checkpoint, instead of waiting for the next one's end.
	Fast    bool
	Workers int
	// AcceptDamage makes a backup also of pages with wrong checksums. They are named in its manifest.
	AcceptDamage bool
	// Snapshot makes a backup of Kind Snapshot: it is called while the server is in backup mode, and comes back once the volume's
	// snapshot has been taken. Nil: the files are read.
	Snapshot func(ctx context.Context) error
	// WaitForWAL is how long to wait until the WAL that the backup needs is in the archive. 0: not at all.
	WaitForWAL time.Duration

	Progress func(archiveapi.Progress)
	Clock    clock.WithTicker
	// Tool that is named in the manifest.
	Tool string
}

// DamagedPagesError names pages whose checksums are wrong on disk.
type DamagedPagesError struct{ Pages []Damage }

// Error names the first few.
func (e *DamagedPagesError) Error() string {
	const most = 10

	names := make([]string, 0, most)
	for _, page := range e.Pages[:min(most, len(e.Pages))] {
		names = append(names, page.String())
	}

	return fmt.Sprintf("%d pages are damaged on disk, so there is no backup: %s; restore them from an older one, or accept the damage",
		len(e.Pages), strings.Join(names, "; "))
}

// take is a backup in the making.
type take struct {
	Options

	db       database
	server   server
	dataDir  string
	start    postgres.LSN
	id       string
	parent   *chain
	key      *crypt.Key
	wrapped  []byte
	meter    *meter
	packs    *packs
	reader   *reader
	began    time.Time
	manifest *Manifest
	// snapshotBytes are what the data directory had as the snapshot was about to be taken.
	snapshotBytes int64
}

// Take backs the server up. The backup exists when Take returns nil, or a *WALMissingError: then it is there, and it can be
// restored as soon as the WAL that the error names has been archived.
func Take(ctx context.Context, o Options) (*Manifest, error) {
	return takeFrom(ctx, o, &session{conn: o.Conn, clock: o.Clock})
}

func takeFrom(ctx context.Context, o Options, db database) (*Manifest, error) {
	t := &take{Options: o, db: db, meter: newMeter(o.Clock, o.Progress)}
	t.began = t.Clock.Now().UTC()

	defer t.meter.run(ctx)()

	if err := t.prepare(ctx); err != nil {
		return nil, err
	}

	if err := t.claim(ctx); err != nil {
		return nil, err
	}

	if err := t.take(ctx); err != nil {
		return nil, fmt.Errorf("backup %s: %w", t.id, err)
	}

	if t.WaitForWAL > 0 {
		t.meter.enter(archiveapi.PhaseWaiting)

		if err := WaitForWAL(ctx, t.Store, t.manifest, t.Clock, t.WaitForWAL); err != nil {
			return t.manifest, err
		}
	}

	t.meter.enter(archiveapi.PhaseDone)

	return t.manifest, nil
}

// prepare finds out what can be wrong before the server is asked to do anything.
func (t *take) prepare(ctx context.Context) error {
	var err error

	if t.Workers <= 0 {
		t.Workers = DefaultWorkers
	}

	if t.Compression, err = compress.Parse(string(t.Compression)); err != nil {
		return err
	}

	if t.server, err = t.db.ask(ctx); err != nil {
		return err
	}

	t.dataDir = t.DataDir
	if t.dataDir == "" {
		t.dataDir = t.server.dataDir
	}

	if _, err := os.Stat(filepath.Join(t.dataDir, controlFile)); err != nil {
		return fmt.Errorf("the data directory is not at hand: run this beside the server, as its user: %w", err)
	}

	if err := t.checkOwner(ctx); err != nil {
		return err
	}

	if t.Snapshot != nil && (t.Parent != "" || t.BlockHashes) {
		return errors.New("a snapshot holds all files: it can be neither incremental nor a parent")
	}

	if t.parent, err = t.findParent(ctx); err != nil {
		return err
	}

	if len(t.Recipients) > 0 {
		t.key, t.wrapped, err = crypt.NewKey(t.Recipients)
	}

	return err
}

// idFormat of a backup's ID sorts by time.
const idFormat = "20060102T150405Z"

// claim takes an ID that no other backup has.
func (t *take) claim(ctx context.Context) error {
	const attempts = 100

	at := t.began

	for range attempts {
		t.id = at.Format(idFormat)
		mark := started{ID: t.id, At: t.began, SystemIdentifier: t.server.systemIdentifier}

		if t.parent != nil {
			mark.Parent = t.parent.newest().manifest.ID
		}

		body, err := json.Marshal(mark)
		if err != nil {
			return fmt.Errorf("encode the backup's mark: %w", err)
		}

		err = t.Store.PutIfAbsent(ctx, startedKey(t.id), body)
		if !errors.Is(err, objectstore.ErrExists) {
			return err
		}

		at = at.Add(time.Second)
	}

	return fmt.Errorf("backups %s and the %d seconds after it exist already", t.id, attempts)
}

// take is what happens while the server is in backup mode, and after it.
func (t *take) take(ctx context.Context) (err error) {
	if t.start, err = t.db.begin(ctx, "caretaker "+t.id, t.Fast); err != nil {
		return err
	}

	isEnded := false

	defer func() {
		// The mode would end with the connection too; it may live on.
		if err != nil && !isEnded {
			_, endErr := t.db.end(context.WithoutCancel(ctx))
			_ = endErr // the error before it is the one to tell
		}
	}()

	index, err := t.files(ctx)
	if err != nil {
		return err
	}

	t.meter.enter(archiveapi.PhaseFinishing)

	isEnded = true

	end, err := t.db.end(ctx)
	if err != nil {
		return err
	}

	var damaged []Damage
	if t.reader != nil {
		damaged = t.reader.damaged(end.lsn)
	}

	if len(damaged) > 0 && !t.AcceptDamage {
		return &DamagedPagesError{Pages: damaged}
	}

	index.Label = end.label
	t.manifest = t.describe(end, index)
	t.manifest.Damaged = damaged

	return t.publish(ctx, index)
}

// files come into packs, or into a snapshot that somebody else takes.
func (t *take) files(ctx context.Context) (*Index, error) {
	if t.Snapshot == nil {
		return t.copy(ctx)
	}

	t.meter.enter(archiveapi.PhaseSnapshot)

	found, err := scanData(t.dataDir, t.Exclude)
	if err != nil {
		return nil, err
	}

	if len(found.tablespaces) > 0 {
		return nil, fmt.Errorf("the tablespace at %s is not in a snapshot of this volume: back up into the store", found.tablespaces[0].Location)
	}

	t.manifest, t.snapshotBytes = &Manifest{}, found.bytes

	return &Index{}, t.Snapshot(ctx)
}

// copy reads the data directory into packs.
func (t *take) copy(ctx context.Context) (*Index, error) {
	found, err := scanData(t.dataDir, t.Exclude)
	if err != nil {
		return nil, err
	}

	t.reader = &reader{
		clock: t.Clock, blockBytes: t.server.blockBytes, segBlocks: t.server.segBlocks, checksums: t.server.checksums,
		start: t.start, onRead: t.meter.add,
	}
	t.packs = &packs{
		store: t.Store, size: packSize(found.bytes), onBytes: func(int64) {},
		codec: codec{id: t.id, algorithm: t.Compression, key: t.key},
	}

	entries, pieces, err := t.plan(ctx, found)
	if err != nil {
		return nil, err
	}

	for _, p := range pieces {
		t.meter.total.Add(p.bytes(t.server.blockBytes))
	}

	t.meter.enter(archiveapi.PhaseCopying)

	if err := t.readAll(ctx, pieces); err != nil {
		return nil, err
	}

	control, err := t.control(ctx)
	if err != nil {
		return nil, err
	}

	index := &Index{Packs: t.packs.done, Dirs: found.dirs}

	for _, e := range entries {
		if !e.gone {
			index.Files = append(index.Files, e.describe())
		}
	}

	index.Files = append(index.Files, control)
	t.manifest = &Manifest{Tablespaces: found.tablespaces}

	return index, nil
}

func (t *take) describe(end stopped, index *Index) *Manifest {
	m := &Manifest{
		Format: format, ID: t.id, Label: t.Label, Kind: Full, Server: t.Server, SystemIdentifier: t.server.systemIdentifier,
		PostgresVersion: t.server.versionText, Major: t.server.version.Major, FromStandby: t.server.inRecovery,
		Timeline: end.timeline, History: end.history, StartTimeline: end.startTimeline, StartLSN: t.start, StopLSN: end.lsn,
		WALSegmentBytes: t.server.walSegmentBytes, NextXID: end.nextXID, Started: t.began, Stopped: end.time,
		Completed: t.Clock.Now().UTC(), ReadBytes: t.meter.done.Load(), Files: len(index.Files), Packs: len(index.Packs),
		BlockBytes: t.server.blockBytes, SegmentBlocks: int(t.server.segBlocks), Checksums: t.server.checksums,
		Tablespaces: t.manifest.Tablespaces, Compression: t.Compression, WrappedKey: t.wrapped, HasBlockHashes: t.hasHashes(),
		Tool: t.Tool,
	}

	if t.parent != nil {
		m.Kind, m.Parent, m.Method = Incremental, t.parent.newest().manifest.ID, t.method()
	}

	if t.Snapshot != nil {
		m.Kind, m.DataBytes = Snapshot, t.snapshotBytes
	}

	for i := range index.Files {
		m.DataBytes += index.Files[i].Size
	}

	for _, p := range index.Packs {
		m.StoredBytes += p.Bytes
	}

	return m
}

// publish puts the index and then the manifest, with which the backup begins to exist.
func (t *take) publish(ctx context.Context, index *Index) error {
	body, err := encodeIndex(index, t.key, t.id)
	if err != nil {
		return err
	}

	if err := t.Store.Put(ctx, indexKey(t.id), body); err != nil {
		return fmt.Errorf("write the index: %w", err)
	}

	m := t.manifest
	m.IndexBytes, m.IndexSum = int64(len(body)), sum(body)
	m.StoredBytes += m.IndexBytes

	manifest, err := encodeManifest(m)
	if err != nil {
		return err
	}

	if err := t.Store.PutIfAbsent(ctx, manifestKey(t.id), manifest); err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}

	return nil
}

// hasHashes says whether this backup keeps the hashes of its blocks.
func (t *take) hasHashes() bool {
	return t.BlockHashes || t.parent != nil && t.method() == BlockHashes
}

// method of an incremental backup of this server.
func (t *take) method() Method {
	const withSummaries = 17

	if t.server.version.Major >= withSummaries && t.server.summarizesWAL {
		return WALSummaries
	}

	return BlockHashes
}

// checkOwner refuses a store that another server's backups are in.
func (t *take) checkOwner(ctx context.Context) error {
	return CheckOwner(ctx, t.Store, t.server.systemIdentifier)
}
