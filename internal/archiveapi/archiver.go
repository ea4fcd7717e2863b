package archiveapi

import (
	"time"

	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

// Target is an archive: one server's place in a store.
type Target struct {
	Store storeconfig.Config `json:"store"`
	// Server is the name under which everything of one server lies.
	Server string `json:"server"`
	// Compression of what is pushed: zstd (also if empty), gzip, lz4, snappy or none.
	Compression string `json:"compression,omitempty"`
	// RecipientsFile holds age recipients, one a line. Empty: what is pushed is not encrypted by us.
	RecipientsFile string `json:"recipientsFile,omitempty"`
	// IdentitiesFile holds age identities, one a line, that open what is fetched.
	IdentitiesFile string `json:"identitiesFile,omitempty"`
}

// Config of an archiver. It is read once: to change it, start the archiver anew. That is always safe.
type Config struct {
	// Archive to push to. Nil: nothing can be pushed.
	Archive *Target `json:"archive,omitempty"`
	// Sources to fetch from, in order; "not there" is said only when each of them says so. Empty: the Archive.
	// A cluster that was made from another's backup has two: its own, and the one that it was made from.
	Sources []Target `json:"sources,omitempty"`

	// Socket is the path of the Unix socket to listen on.
	Socket string `json:"socket"`
	// DataDir is PGDATA.
	DataDir string `json:"dataDir"`
	// WALDir is pg_wal, if it is not in DataDir.
	WALDir string `json:"walDir,omitempty"`
	// SpoolDir keeps prefetched segments. It is ours alone and emptied at the start. On pg_wal's own file system a
	// segment is moved, elsewhere it is copied.
	SpoolDir string `json:"spoolDir"`

	// MaxParallel transfers in each direction. Default 4. Memory is about 2.5 segments for each.
	MaxParallel int `json:"maxParallel,omitempty"`
	// PrefetchSegments ahead of recovery. Default 32, bounded by PrefetchBytes.
	PrefetchSegments int `json:"prefetchSegments,omitempty"`
	// PrefetchBytes on disk. Default 1 GiB, and never more than a quarter of what is free there.
	PrefetchBytes int64 `json:"prefetchBytes,omitempty"`

	// StandbyGrace is how long a standby leaves it to the primary to archive a segment, before it does so itself. Default 2 min.
	StandbyGrace Duration `json:"standbyGrace,omitempty"`
	// FetchPatience is how long a fetch for recovery waits for a store that does not answer. Default 5 min. A standby waits for
	// 2 s, since it can stream instead, and may have to become primary soon.
	FetchPatience Duration `json:"fetchPatience,omitempty"`
}

// Duration is a time.Duration that reads and writes "90s" in JSON.
type Duration time.Duration

// MarshalText writes it as time.Duration does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads it as time.ParseDuration does.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)

	return err
}
