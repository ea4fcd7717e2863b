package metrics

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// page is the reference of all metrics; the table between the marks is written from the code.
const (
	page      = "../../../docs/reference/metrics.md"
	pageBegin = "<!-- PostgreSQL's metrics, written by: go test ./internal/instance/metrics -update -->\n"
	pageEnd   = "<!-- end -->\n"
)

var update = flag.Bool("update", false, "write the table of docs/reference/metrics.md")

// TestPage holds the documentation to the metrics that there are.
func TestPage(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}

	before, rest, found := strings.Cut(string(text), pageBegin)
	got, after, ended := strings.Cut(rest, pageEnd)

	if !found || !ended {
		t.Fatalf("%s has lost its marks %q and %q", page, pageBegin, pageEnd)
	}

	if *update {
		if err := os.WriteFile(page, []byte(before+pageBegin+table()+pageEnd+after), 0o600); err != nil { //nolint:gosec // the path is a constant
			t.Fatal(err)
		}

		return
	}

	if diff := cmp.Diff(table(), got); diff != "" {
		t.Errorf("%s is not what the code has (write it with -update):\n%s", page, diff)
	}
}

func table() string {
	rows := []string{
		row("up", "gauge", nil, "1 if PostgreSQL answers."),
		row("restarts_total", "counter", nil, "How often PostgreSQL was started again after it ended by itself."),
		row("rewinds_total", "counter", nil, "How often this member's log had diverged from the primary's, and was rewound."),
		row("reclones_total", "counter", nil, "How often this member's data were of no use, and were copied anew."),
		row("scrape_failed", "gauge", []string{"query"}, "1 for a query that failed in this scrape."),
	}

	for _, q := range append(queries(), tables()) {
		for _, m := range q.metrics {
			kind := "gauge"
			if m.kind == prometheus.CounterValue {
				kind = "counter"
			}

			// Some have one query for old majors and one for new ones.
			if line := row(m.name, kind, q.labels, m.help); !slices.Contains(rows, line) {
				rows = append(rows, line)
			}
		}
	}

	return "\n| metric | type | labels | meaning |\n|---|---|---|---|\n" + strings.Join(rows, "") + "\n"
}

func row(name, kind string, labels []string, help string) string {
	quoted := make([]string, len(labels))
	for i, label := range labels {
		quoted[i] = "`" + label + "`"
	}

	return fmt.Sprintf("| `%s%s` | %s | %s | %s |\n", prefix, name, kind, strings.Join(quoted, ", "), help)
}
