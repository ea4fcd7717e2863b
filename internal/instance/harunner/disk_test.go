package harunner_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/caretaker-dev/caretaker/internal/instance/harunner"
)

// A file that says nothing must not be taken for a volume that has promised nothing.
func TestLoadDiskRefusesWhatIsDamaged(t *testing.T) {
	for name, content := range map[string]string{
		"empty": "", "torn": `{"Member":"m-1","Pled`, "zeros": "\x00\x00\x00\x00", "nothing in it": "{}", "null": "null",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "protocol.json"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}

			if disk, found, err := harunner.LoadDisk(dir); err == nil || found {
				t.Errorf("got %+v, found %v, error %v", disk, found, err)
			}
		})
	}
}
