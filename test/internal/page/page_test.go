package page_test

import (
	"os"
	"strings"
	"testing"

	"github.com/caretaker-dev/caretaker/test/internal/page"
)

func TestWriteTable(t *testing.T) {
	t.Parallel()

	const begin, end = "<!-- drift table: written by make bench-drift -->\n", "<!-- end of the drift table -->\n"

	path := t.TempDir() + "/page.md"
	if err := os.WriteFile(path, []byte("before\n"+begin+"old\n"+end+"after\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	if err := page.WriteTable(path, "drift", "make bench-drift", "| new |\n"); err != nil {
		t.Fatal(err)
	}

	content, err := os.ReadFile(path)
	if want := "before\n" + begin + "| new |\n" + end + "after\n"; err != nil || string(content) != want {
		t.Errorf("%q (%v), want %q", content, err, want)
	}

	if err := page.WriteTable(path, "failover", "make bench-failover", ""); err == nil || !strings.Contains(err.Error(), "failover table") {
		t.Errorf("a page without that table: %v", err)
	}
}
