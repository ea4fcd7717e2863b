package wal

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/caretaker-dev/caretaker/internal/archive/compress"
	"github.com/caretaker-dev/caretaker/internal/archive/layout"
)

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

const (
	defaultParallel         = 4
	defaultPrefetchSegments = 32
	defaultPrefetchBytes    = 1 << 30
	defaultStandbyGrace     = 2 * time.Minute
	defaultFetchPatience    = 5 * time.Minute
	standbyPatience         = 2 * time.Second
)

// ReadConfig from a file.
func ReadConfig(path string) (Config, error) {
	var config Config

	text, err := os.ReadFile(path) //nolint:gosec // the user's own
	if err != nil {
		return config, fmt.Errorf("read the archiver's configuration: %w", err)
	}

	if err := json.Unmarshal(text, &config); err != nil {
		return config, fmt.Errorf("%s: %w", path, err)
	}

	return config, nil
}

// withDefaults fills in what is not set, and checks the rest.
func (c Config) withDefaults() (Config, error) {
	if c.Archive == nil && len(c.Sources) == 0 {
		return c, errors.New("archiver: neither an archive nor sources are configured")
	}

	for _, target := range c.targets() {
		if err := target.check(); err != nil {
			return c, err
		}
	}

	for name, path := range map[string]string{"socket": c.Socket, "dataDir": c.DataDir, "spoolDir": c.SpoolDir} {
		if !filepath.IsAbs(path) {
			return c, fmt.Errorf("archiver: %s %q: want an absolute path", name, path)
		}
	}

	setDefault(&c.WALDir, filepath.Join(c.DataDir, "pg_wal"))
	setDefault(&c.MaxParallel, defaultParallel)
	setDefault(&c.PrefetchSegments, defaultPrefetchSegments)
	setDefault(&c.PrefetchBytes, defaultPrefetchBytes)
	setDefault(&c.StandbyGrace, Duration(defaultStandbyGrace))
	setDefault(&c.FetchPatience, Duration(defaultFetchPatience))

	if len(c.Sources) == 0 {
		c.Sources = []Target{*c.Archive}
	}

	return c, nil
}

func setDefault[T comparable](value *T, otherwise T) {
	var zero T
	if *value == zero {
		*value = otherwise
	}
}

func (c Config) targets() []Target {
	if c.Archive == nil {
		return c.Sources
	}

	return append([]Target{*c.Archive}, c.Sources...)
}

func (t Target) check() error {
	if err := layout.CheckServer(t.Server); err != nil {
		return err
	}

	if _, err := compress.Parse(t.Compression); err != nil {
		return err
	}

	return t.Store.Check()
}

// isStandby says whether the server is one that follows another.
func (c Config) isStandby() bool {
	_, err := os.Stat(filepath.Join(c.DataDir, "standby.signal"))

	return err == nil
}

// isStopping says whether the postmaster is shutting down: it says so in the last line of its PID file. Nothing may wait for
// anything then, since the postmaster waits for archive_command.
func (c Config) isStopping() bool {
	text, err := os.ReadFile(filepath.Join(c.DataDir, "postmaster.pid"))

	return err == nil && lastField(string(text)) == "stopping"
}
