package install_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caretaker-dev/caretaker/internal/instance/install"
)

func TestTo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bin")
	self := filepath.Join(t.TempDir(), "self")
	beside := func(name string) string { return filepath.Join(filepath.Dir(self), name) }

	for _, content := range []string{"first", "second"} {
		for _, path := range []string{self, beside(install.Archive), beside(install.WALHelper)} {
			if err := os.WriteFile(path, []byte(content+filepath.Base(path)), 0o600); err != nil {
				t.Fatal(err)
			}
		}

		if err := install.To(dir, self, install.User{UID: 26, GID: 1000}, install.Archive, install.WALHelper); err != nil {
			t.Fatal(err)
		}

		for name, want := range map[string]struct {
			text string
			mode os.FileMode
		}{
			install.Binary:    {content + "self", 0o755},
			install.Archive:   {content + "caretaker-archive", 0o755},
			install.WALHelper: {content + "caretaker-wal", 0o755},
			"passwd":          {"postgres:x:26:1000:PostgreSQL:/var/lib/postgresql:", 0o644},
			"group":           {"postgres:x:1000:", 0o644},
		} {
			got, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil || !strings.Contains(string(got), want.text) {
				t.Errorf("%s holds %q (%v), want %q", name, got, err, want.text)
			}

			if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want.mode {
				t.Errorf("%s: %v, %v", name, info.Mode(), err)
			}
		}
	}

	if entries, _ := os.ReadDir(dir); len(entries) != 5 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestToWithoutOthers(t *testing.T) {
	dir, self := t.TempDir(), filepath.Join(t.TempDir(), "self")
	if err := os.WriteFile(self, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	if err := install.To(dir, self, install.User{UID: 999, GID: 999}); err != nil {
		t.Fatal(err)
	}

	if entries, _ := os.ReadDir(dir); len(entries) != 3 {
		t.Errorf("want the binary, passwd and group; got %v", entries)
	}
}
