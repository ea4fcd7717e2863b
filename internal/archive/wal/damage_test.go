package wal

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caretaker-dev/caretaker/internal/archive/layout"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// One byte of an object of each class that the archive of WAL has: what it holds is never given, and the error names it. What
// is not damaged is given as before.
func TestEveryDamagedClassIsNamed(t *testing.T) {
	const switchAt = 5*testSegmentBytes + 0x8000

	partial, content := segment(1, 5, 1)
	whole, wholeContent := segment(2, 5, 1)
	history := fmt.Appendf(nil, "1\t%s\tno recovery target specified\n", postgres.LSN(switchAt))

	r := newRig(t)
	archive := must(Open(t.Context(), *r.config().Archive))

	files := map[string][]byte{partial + ".partial": content, whole: wholeContent, postgres.HistoryName(2): history}
	for name, body := range files {
		if _, err := archive.Push(t.Context(), File{Name: name, Content: body}); err != nil {
			t.Fatal(err)
		}
	}

	classes := 0

	err := filepath.WalkDir(filepath.Join(r.root, "store/db"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}

		classes++
		good := must(os.ReadFile(path))

		for _, at := range []int{0, len(good) / 2, len(good) - 1} {
			bad := bytes.Clone(good)
			bad[at] ^= 1

			if err := os.WriteFile(path, bad, 0o600); err != nil {
				return err
			}

			wantDamageNamed(t, r, files, path)
		}

		return os.WriteFile(path, good, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}

	if classes < len(files)+1 {
		t.Errorf("there are only %d objects: the identity, a segment, a part of one, a history", classes)
	}
}

// wantDamageNamed reads everything with an archive that remembers nothing.
func wantDamageNamed(t *testing.T, r *rig, files map[string][]byte, damaged string) {
	t.Helper()

	archive := must(Open(t.Context(), *r.config().Archive))

	if strings.HasSuffix(damaged, layout.Identity) {
		// Whose archive it is cannot be read, or it is somebody else's.
		if err := archive.Claim(t.Context(), testSystem); err == nil {
			t.Errorf("a place whose identity is damaged was taken for ours")
		}

		return
	}

	for name, content := range files {
		got, err := archive.Fetch(t.Context(), name)
		isDamaged := strings.HasPrefix(filepath.Base(damaged), name)

		switch {
		case isDamaged && (err == nil || !strings.Contains(err.Error(), name)):
			t.Errorf("%s is damaged, and the fetch says %v", name, err)
		case !isDamaged && (err != nil || !bytes.Equal(got, content)):
			t.Errorf("%s is not damaged, and the fetch says %v", name, err)
		}
	}
}
