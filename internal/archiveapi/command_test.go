package archiveapi_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
)

// TestRestoreCommand runs it as PostgreSQL does, with a helper that says what it was asked and that there is no such file.
func TestRestoreCommand(t *testing.T) {
	const segment, missing = "000000010000000000000005", 1

	for name, tc := range map[string]struct {
		spooled, path string
		code          int
		helped        bool
	}{
		"it lies in the spool":       {spooled: segment, path: "pg_wal/RECOVERYXLOG", code: 0},
		"another one does":           {spooled: "000000010000000000000006", path: "pg_wal/RECOVERYXLOG", code: missing, helped: true},
		"it cannot be moved":         {spooled: segment, path: "nowhere/RECOVERYXLOG", code: missing, helped: true},
		"what is asked is a history": {spooled: segment, path: "pg_wal/RECOVERYHISTORY", code: missing, helped: true},
	} {
		t.Run(name, func(t *testing.T) {
			// A word that a shell would take apart, and PostgreSQL, too.
			root := filepath.Join(t.TempDir(), "it's 100% ours")
			for _, dir := range []string{"spool", "pg_wal"} {
				if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
					t.Fatal(err)
				}
			}

			helper := filepath.Join(root, "helper")
			write(t, helper, "#!/bin/sh\necho \"$*\"\nexit 1\n", 0o700)
			write(t, filepath.Join(root, "spool", tc.spooled), "WAL", 0o600)

			asked := segment
			if strings.HasSuffix(tc.path, "HISTORY") {
				asked = "00000002.history"
			}

			line := archiveapi.RestoreCommand(helper, "socket", filepath.Join(root, "spool"))
			command := exec.CommandContext(t.Context(), "sh", "-c", strings.NewReplacer("%f", asked, "%p", tc.path, "%%", "%").Replace(line))
			command.Dir = root

			out, err := command.Output()

			var exit *exec.ExitError
			if code := command.ProcessState.ExitCode(); code != tc.code || err != nil && !errors.As(err, &exit) {
				t.Errorf("exit code %d (%v), want %d", code, err, tc.code)
			}

			want := ""
			if tc.helped {
				want = "--socket socket fetch " + asked + " " + tc.path + "\n"
			} else if got, err := os.ReadFile(filepath.Join(root, tc.path)); err != nil || string(got) != "WAL" {
				t.Errorf("PostgreSQL has %q: %v", got, err)
			}

			if string(out) != want {
				t.Errorf("the helper was asked %q, want %q", out, want)
			}
		})
	}
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()

	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}
