package metrics

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/yaml"
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
		if err := os.WriteFile(page, []byte(before+pageBegin+table()+pageEnd+after), 0o600); err != nil {
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
		row(prefix+"up", "gauge", nil, "1 if PostgreSQL answers."),
		row(prefix+"restarts_total", "counter", nil, "How often PostgreSQL was started again after it ended by itself."),
		row(prefix+"rewinds_total", "counter", nil, "How often this member's log had diverged from the primary's, and was rewound."),
		row(prefix+"reclones_total", "counter", nil, "How often this member's data were of no use, and were copied anew."),
		row(prefix+"scrape_failed", "gauge", []string{"query"}, "1 for a query that failed in this scrape."),
	}

	for _, q := range append(queries(), tables()) {
		for _, m := range q.metrics {
			// Some have one query for old majors and one for new ones.
			if line := row(prefix+m.name, kindOf(m.kind), q.labels, m.help); !slices.Contains(rows, line) {
				rows = append(rows, line)
			}
		}
	}

	for _, m := range volumeMetrics() {
		rows = append(rows, row(prefix+m.name, kindOf(m.kind), nil, m.help))
	}

	for _, m := range protocolMetrics() {
		var labels []string
		if m.label != "" {
			labels = []string{m.label}
		}

		rows = append(rows, row(protocolPrefix+m.name, kindOf(m.kind), labels, m.help))
	}

	for _, m := range archiveMetrics(time.Time{}) {
		rows = append(rows, row(archivePrefix+m.name, kindOf(m.kind), nil, m.help))
	}

	for _, m := range copyMetrics() {
		rows = append(rows, row(copyPrefix+m.name, kindOf(m.kind), copyLabels(), m.help))
	}

	return "\n| metric | type | labels | meaning |\n|---|---|---|---|\n" + strings.Join(rows, "") + "\n"
}

func kindOf(kind prometheus.ValueType) string {
	if kind == prometheus.CounterValue {
		return "counter"
	}

	return "gauge"
}

func row(name, kind string, labels []string, help string) string {
	quoted := make([]string, len(labels))
	for i, label := range labels {
		quoted[i] = "`" + label + "`"
	}

	return fmt.Sprintf("| `%s` | %s | %s | %s |\n", name, kind, strings.Join(quoted, ", "), help)
}

// TestAlerts holds the example alerts to the metrics that there are.
func TestAlerts(t *testing.T) {
	const file = "../../../config/monitoring/prometheusrule.yaml"

	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	var rules struct {
		Spec struct {
			Groups []struct {
				Rules []struct {
					Alert       string            `json:"alert"`
					Expr        string            `json:"expr"`
					Annotations map[string]string `json:"annotations"`
				} `json:"rules"`
			} `json:"groups"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &rules); err != nil {
		t.Fatal(err)
	}

	// The page has the operator's own, too; other tests hold it to them.
	text, err = os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}

	known := string(text)
	// The operator's own, and what the scraper knows by itself.
	elsewhere := regexp.MustCompile(`\b(webapp_\w+|up\{)`)

	for _, group := range rules.Spec.Groups {
		for _, rule := range group.Rules {
			names := regexp.MustCompile(`caretaker_\w+`).FindAllString(rule.Expr, -1)
			if len(names) == 0 && !elsewhere.MatchString(rule.Expr) || rule.Annotations["summary"] == "" {
				t.Errorf("alert %s: %q is about no metric of ours, or has no summary", rule.Alert, rule.Expr)
			}

			for _, name := range names {
				if !strings.Contains(known, "`"+name+"`") {
					t.Errorf("alert %s asks for %s, which there is not", rule.Alert, name)
				}
			}
		}
	}
}
