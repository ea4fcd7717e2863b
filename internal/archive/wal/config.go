package wal

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/caretaker-dev/caretaker/internal/archive/compress"
	"github.com/caretaker-dev/caretaker/internal/archive/layout"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
)

const (
	defaultParallel         = 4
	defaultPrefetchSegments = 32
	defaultPrefetchBytes    = 1 << 30
	defaultStandbyGrace     = 2 * time.Minute
	defaultFetchPatience    = 5 * time.Minute
	standbyPatience         = 2 * time.Second
)

// ReadConfig from a file: what PID 1 wrote for the archiver.
func ReadConfig(path string) (archiveapi.Config, error) {
	var config archiveapi.Config

	text, err := os.ReadFile(path) //nolint:gosec // the user's own
	if err != nil {
		return config, fmt.Errorf("read the archiver's configuration: %w", err)
	}

	if err := json.Unmarshal(text, &config); err != nil {
		return config, fmt.Errorf("%s: %w", path, err)
	}

	return config, nil
}

// settings are a configuration in which nothing is left unset.
type settings struct{ archiveapi.Config }

// settle fills in what is not set, and checks the rest.
func settle(c archiveapi.Config) (settings, error) {
	if c.Archive == nil && len(c.Sources) == 0 {
		return settings{}, errors.New("archiver: neither an archive nor sources are configured")
	}

	for _, target := range targets(c) {
		if err := checkTarget(target); err != nil {
			return settings{}, err
		}
	}

	for name, path := range map[string]string{"socket": c.Socket, "dataDir": c.DataDir, "spoolDir": c.SpoolDir} {
		if !filepath.IsAbs(path) {
			return settings{}, fmt.Errorf("archiver: %s %q: want an absolute path", name, path)
		}
	}

	setDefault(&c.WALDir, filepath.Join(c.DataDir, "pg_wal"))
	setDefault(&c.MaxParallel, defaultParallel)
	setDefault(&c.PrefetchSegments, defaultPrefetchSegments)
	setDefault(&c.PrefetchBytes, defaultPrefetchBytes)
	setDefault(&c.StandbyGrace, archiveapi.Duration(defaultStandbyGrace))
	setDefault(&c.FetchPatience, archiveapi.Duration(defaultFetchPatience))

	if len(c.Sources) == 0 {
		c.Sources = []archiveapi.Target{*c.Archive}
	}

	return settings{c}, nil
}

func setDefault[T comparable](value *T, otherwise T) {
	var zero T
	if *value == zero {
		*value = otherwise
	}
}

func targets(c archiveapi.Config) []archiveapi.Target {
	if c.Archive == nil {
		return c.Sources
	}

	return append([]archiveapi.Target{*c.Archive}, c.Sources...)
}

func checkTarget(t archiveapi.Target) error {
	if err := layout.CheckServer(t.Server); err != nil {
		return err
	}

	if _, err := compress.Parse(t.Compression); err != nil {
		return err
	}

	return t.Store.Check()
}

// isStandby says whether the server is one that follows another.
func (c settings) isStandby() bool {
	_, err := os.Stat(filepath.Join(c.DataDir, "standby.signal"))

	return err == nil
}

// isStopping says whether the postmaster is shutting down: it says so in the last line of its PID file. Nothing may wait for
// anything then, since the postmaster waits for archive_command.
func (c settings) isStopping() bool {
	text, err := os.ReadFile(filepath.Join(c.DataDir, "postmaster.pid"))

	return err == nil && lastField(string(text)) == "stopping"
}

func lastField(text string) string {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return ""
	}

	return fields[len(fields)-1]
}
