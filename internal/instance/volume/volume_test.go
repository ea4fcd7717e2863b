package volume_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caretaker-dev/caretaker/internal/instance/volume"
)

func must(t *testing.T, err error) {
	t.Helper()

	if err != nil {
		t.Fatal(err)
	}
}

func TestLockIsExclusiveAndEndsWithItsFile(t *testing.T) {
	dir := t.TempDir()

	first, err := volume.Lock(dir)
	must(t, err)

	_, err = volume.Lock(dir)

	if _, ok := errors.AsType[*volume.LockedError](err); !ok {
		t.Fatalf("the second got %v, want a LockedError", err)
	}

	must(t, first.Close())

	second, err := volume.Lock(dir)
	must(t, err)
	must(t, second.Close())
}

func TestMemberStays(t *testing.T) {
	dir := t.TempDir()
	now := time.Unix(1000, 0)

	first, err := volume.EnsureMember(dir, now)
	must(t, err)

	second, err := volume.EnsureMember(dir, now.Add(time.Hour))
	must(t, err)

	if first != second || len(first.ID) != 16 || !first.Created.Equal(now) {
		t.Errorf("got %+v, then %+v", first, second)
	}

	another, err := volume.EnsureMember(t.TempDir(), now)
	must(t, err)

	if another.ID == first.ID {
		t.Error("two volumes have one member ID")
	}

	must(t, os.WriteFile(filepath.Join(dir, "member.json"), []byte("{"), 0o600))

	if _, err := volume.EnsureMember(dir, now); err == nil {
		t.Error("a damaged member was replaced in silence")
	}
}

func TestInspect(t *testing.T) {
	for name, c := range map[string]struct {
		files   map[string]string
		want    volume.Data
		isError bool
	}{
		"no folder":       {},
		"empty":           {files: map[string]string{}},
		"primary":         {files: map[string]string{"PG_VERSION": "17\n"}, want: volume.Data{Present: true, Major: 17}},
		"standby":         {files: map[string]string{"PG_VERSION": "17\n", "standby.signal": ""}, want: volume.Data{Present: true, Major: 17, Standby: true}},
		"fresh copy":      {files: map[string]string{"PG_VERSION": "15\n", "backup_label": "x"}, want: volume.Data{Present: true, Major: 15, Label: true}},
		"something else":  {files: map[string]string{"README": "hello"}, isError: true},
		"unknown version": {files: map[string]string{"PG_VERSION": "seventeen"}, isError: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "pgdata")
			if c.files != nil {
				must(t, os.Mkdir(dir, 0o700))
			}

			for file, content := range c.files {
				must(t, os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600))
			}

			got, err := volume.Inspect(dir)
			if got != c.want || (err != nil) != c.isError {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestDataAreWholeOrNotThere(t *testing.T) {
	dataDir := filepath.Join(t.TempDir(), "pgdata")

	dir, err := volume.Begin(dataDir)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "PG_VERSION"), []byte("17"), 0o600))

	// An attempt that was cut short: nothing of it is taken for data, or for part of the next.
	if data, err := volume.Inspect(dataDir); err != nil || data.Present {
		t.Errorf("half an attempt is taken for data: %+v, %v", data, err)
	}

	dir, err = volume.Begin(dataDir)
	must(t, err)

	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("the next attempt begins with %v", left)
	}

	must(t, os.WriteFile(filepath.Join(dir, "PG_VERSION"), []byte("17"), 0o600))
	must(t, volume.Commit(dataDir))

	if data, err := volume.Inspect(dataDir); err != nil || !data.Present {
		t.Errorf("the data are not there: %+v, %v", data, err)
	}

	must(t, volume.Discard(dataDir))

	if data, err := volume.Inspect(dataDir); err != nil || data.Present {
		t.Errorf("the data are still there: %+v, %v", data, err)
	}
}

func TestClearAutoConf(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "postgresql.auto.conf")

	must(t, os.WriteFile(path, []byte("# a comment\nfsync = 'off'\nwork_mem = '1GB'\n"), 0o600))

	dropped, err := volume.ClearAutoConf(dir)
	must(t, err)

	if dropped != "fsync = 'off'; work_mem = '1GB'" {
		t.Errorf("dropped %q", dropped)
	}

	if left, _ := os.ReadFile(path); len(left) > 0 {
		t.Errorf("left %q", left)
	}

	if aside, _ := os.ReadFile(filepath.Join(dir, volume.AutoConfAside)); !strings.Contains(string(aside), "fsync = 'off'") {
		t.Errorf("put aside %q", aside)
	}

	if dropped, err := volume.ClearAutoConf(dir); err != nil || dropped != "" {
		t.Errorf("the second time: %q, %v", dropped, err)
	}
}

func TestWriteFileIfChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")

	for i, c := range []struct {
		content string
		want    bool
	}{{"a", true}, {"a", false}, {"b", true}} {
		wrote, err := volume.WriteFileIfChanged(path, []byte(c.content), 0o600)
		must(t, err)

		if wrote != c.want {
			t.Errorf("write %d: %v", i, wrote)
		}
	}

	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("temporary files are left: %v", entries)
	}
}

// TestBlockAutoConf: a folder in the way of the file that the server writes first; a version that needs none has none.
func TestBlockAutoConf(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "postgresql.auto.conf.tmp")

	must(t, os.WriteFile(path, []byte("left by a crash"), 0o600))

	for range 2 {
		must(t, volume.BlockAutoConf(dir, true))

		if look, err := os.Stat(path); err != nil || !look.IsDir() {
			t.Fatalf("nothing is in the way: %v", err)
		}
	}

	for range 2 {
		must(t, volume.BlockAutoConf(dir, false))

		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it is in the way still: %v", err)
		}
	}
}
