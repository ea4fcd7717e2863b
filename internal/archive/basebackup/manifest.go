package basebackup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/caretaker-dev/caretaker/internal/archive/compress"
	"github.com/caretaker-dev/caretaker/internal/archive/layout"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// format of the objects that this package writes. A reader refuses a newer one.
const format = 1

// Kind says whether a backup stands alone.
type Kind string

// The kinds of backups.
const (
	Full        Kind = "full"
	Incremental Kind = "incremental"
	// Snapshot is a backup whose files are in a snapshot of the server's volume, which somebody else took and keeps: the store
	// has only what makes a backup of it, and the WAL.
	Snapshot Kind = "snapshot"
)

// Method is how an incremental backup knew what had changed.
type Method string

// The methods of incremental backups.
const (
	// WALSummaries of PostgreSQL 17 and newer: only what changed is read.
	WALSummaries Method = "wal-summaries"
	// BlockHashes of the parent: everything is read, and only what changed is stored.
	BlockHashes Method = "block-hashes"
)

// Manifest is what makes a backup exist: put last, and only if there is none. It is small; the files are in the index.
type Manifest struct {
	Format int `json:"format"`
	// ID of the backup, "20261128T233219Z": when it began, in UTC.
	ID string `json:"id"`
	// Label is free text of who took it.
	Label string `json:"label,omitempty"`
	Kind  Kind   `json:"kind"`
	// Parent's ID, if it is incremental.
	Parent string `json:"parent,omitempty"`
	Method Method `json:"method,omitempty"`
	// HasBlockHashes: it can be the parent of an incremental backup by BlockHashes.
	HasBlockHashes bool `json:"hasBlockHashes,omitempty"`

	Server           string `json:"server"`
	SystemIdentifier string `json:"systemIdentifier"`
	PostgresVersion  string `json:"postgresVersion"`
	Major            int    `json:"major"`
	// FromStandby: it was read from a standby.
	FromStandby bool `json:"fromStandby,omitempty"`

	// Timeline at the backup's end, and how it came from the first one: the text of its .history file.
	Timeline postgres.Timeline `json:"timeline"`
	History  string            `json:"history,omitempty"`
	// A restore needs all WAL from StartLSN to StopLSN. StartTimeline is StartLSN's.
	StartTimeline   postgres.Timeline `json:"startTimeline"`
	StartLSN        postgres.LSN      `json:"startLSN"`
	StopLSN         postgres.LSN      `json:"stopLSN"`
	WALSegmentBytes int64             `json:"walSegmentBytes"`
	// NextXID: every transaction from it on ended after the backup.
	NextXID uint64 `json:"nextXID"`

	Started time.Time `json:"started"`
	// Stopped is the earliest time that it can be recovered to, by the server's clock.
	Stopped   time.Time `json:"stopped"`
	Completed time.Time `json:"completed"`

	// DataBytes is the size of what a restore writes.
	DataBytes int64 `json:"dataBytes"`
	// ReadBytes is what was put into packs, before compression.
	ReadBytes int64 `json:"readBytes"`
	// StoredBytes is the size of all objects of this backup.
	StoredBytes int64 `json:"storedBytes"`
	Files       int   `json:"files"`
	Packs       int   `json:"packs"`

	BlockBytes    int                `json:"blockBytes"`
	SegmentBlocks int                `json:"segmentBlocks"`
	Checksums     bool               `json:"checksums"`
	Tablespaces   []Tablespace       `json:"tablespaces,omitempty"`
	Compression   compress.Algorithm `json:"compression"`
	// WrappedKey is the data key for age recipients; empty if the backup is not encrypted.
	WrappedKey []byte `json:"wrappedKey,omitempty"`
	// Damaged pages, if they were accepted.
	Damaged []Damage `json:"damaged,omitempty"`

	IndexBytes int64 `json:"indexBytes"`
	// IndexSum is XXH64 of the index's object.
	IndexSum uint64 `json:"indexSum"`
	// Tool that wrote it.
	Tool string `json:"tool,omitempty"`
}

// Tablespace outside of the data directory.
type Tablespace struct {
	OID      uint32 `json:"oid"`
	Location string `json:"location"`
}

// Damage is a page whose checksum is wrong on disk.
type Damage struct {
	File  string `json:"file"`
	Block int64  `json:"block"`
}

// String names the page.
func (d Damage) String() string { return fmt.Sprintf("%s, block %d", d.File, d.Block) }

// TimelineHistory is the way to the backup's timeline.
func (m *Manifest) TimelineHistory() (postgres.History, error) {
	return postgres.ParseHistory(m.Timeline, m.History)
}

// started is put first: it claims the ID, and says that a backup is or was being taken.
type started struct {
	ID     string    `json:"id"`
	Parent string    `json:"parent,omitempty"`
	At     time.Time `json:"at"`
	// SystemIdentifier of the server.
	SystemIdentifier string `json:"systemIdentifier"`
}

// expired marks a backup that retention will delete.
type expired struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

func folder(id string) string      { return layout.BackupsPrefix + id + "/" }
func manifestKey(id string) string { return folder(id) + "manifest.json" }
func indexKey(id string) string    { return folder(id) + "index" }
func startedKey(id string) string  { return folder(id) + "started.json" }
func expiredKey(id string) string  { return folder(id) + "expired.json" }

func packKey(id string, pack int) string { return fmt.Sprintf("%spacks/%06d", folder(id), pack) }

const (
	maxManifestBytes = 16 << 20
	maxIndexBytes    = 1 << 30
	// maxIndexPlain is what an index may decompress to.
	maxIndexPlain = 4 << 30
)

// ErrNoBackup says that there is no complete backup of that name.
var ErrNoBackup = errors.New("no such backup")

// ReadManifest reads a backup's manifest. The error wraps ErrNoBackup if there is none.
func ReadManifest(ctx context.Context, store objectstore.Store, id string) (*Manifest, error) {
	body, err := objectstore.Get(ctx, store, manifestKey(id), maxManifestBytes)
	if errors.Is(err, objectstore.ErrNotFound) {
		return nil, fmt.Errorf("backup %s: %w: %w", id, ErrNoBackup, err)
	}

	if err != nil {
		return nil, fmt.Errorf("read the manifest of backup %s: %w", id, err)
	}

	return parseManifest(id, body)
}

func parseManifest(id string, body []byte) (*Manifest, error) {
	var envelope manifestEnvelope
	if err := json.Unmarshal(body, &envelope); err != nil {
		return nil, &DamagedError{Key: manifestKey(id), Reason: "it is no JSON: " + err.Error()}
	}

	if got := sum(envelope.Manifest); got != envelope.Sum {
		return nil, &DamagedError{Key: manifestKey(id), Reason: "its checksum is wrong"}
	}

	var m Manifest
	if err := json.Unmarshal(envelope.Manifest, &m); err != nil {
		return nil, &DamagedError{Key: manifestKey(id), Reason: err.Error()}
	}

	if m.Format > format {
		return nil, fmt.Errorf("backup %s has format %d, and this program reads up to %d: use a newer one", id, m.Format, format)
	}

	if m.ID != id {
		return nil, &DamagedError{Key: manifestKey(id), Reason: fmt.Sprintf("it is the manifest of backup %s", m.ID)}
	}

	return &m, nil
}

// manifestEnvelope has the checksum beside the bytes it is of.
type manifestEnvelope struct {
	Manifest json.RawMessage `json:"manifest"`
	// Sum is XXH64 of the manifest's bytes as they stand here.
	Sum uint64 `json:"sum"`
}

func encodeManifest(m *Manifest) ([]byte, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode the manifest: %w", err)
	}

	return json.Marshal(manifestEnvelope{Manifest: body, Sum: sum(body)})
}

// DamagedError names an object whose content is not what was written.
type DamagedError struct {
	Key    string
	Reason string
}

// Error names the object.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("object %s is damaged: %s", e.Key, e.Reason)
}
