package scenario

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/caretaker-dev/caretaker/test/chaos/check"
	"github.com/caretaker-dev/caretaker/test/chaos/history"
	"github.com/caretaker-dev/caretaker/test/chaos/workload"
)

// Result is what came of a case.
type Result struct {
	Case string `json:"case"`
	// Violations: nothing else is wrong if there is none.
	Violations []string `json:"violations,omitempty"`
	// Notes are worth a look and no violation.
	Notes []string `json:"notes,omitempty"`

	TermBefore string `json:"termBefore"`
	TermAfter  string `json:"termAfter"`
	// FaultAt is since the beginning, as the times of the history.
	FaultAt time.Duration `json:"faultAt"`
	Gap     check.Gap     `json:"gap"`
	// Whole is how long after healing the cluster was whole again.
	Whole time.Duration `json:"whole"`
	// Fenced is how long after the fault the old primary still answered somebody.
	Fenced time.Duration `json:"fenced,omitempty"`

	Acknowledged int           `json:"acknowledged"`
	Unknown      int           `json:"unknown"`
	Refused      int           `json:"refused"`
	Began        time.Time     `json:"began"`
	Took         time.Duration `json:"took"`
	// Run names the tables in the database.
	Run string `json:"run"`
}

// Passed says whether nothing was violated.
func (r *Result) Passed() bool { return len(r.Violations) == 0 }

func (r *Result) String() string {
	word := "ok    "
	if !r.Passed() {
		word = "FAILED"
	}

	return fmt.Sprintf("%s %-55s gap %5.2f s, whole %5.1f s, %5d acknowledged, %d unknown, %d refused, term %s → %s", word, r.Case,
		r.Gap.Length().Seconds(), r.Whole.Seconds(), r.Acknowledged, r.Unknown, r.Refused, r.TermBefore, r.TermAfter)
}

func (r *Result) violate(format string, a ...any) {
	r.Violations = append(r.Violations, fmt.Sprintf(format, a...))
}

func (r *Result) count(ops []history.Op) {
	for _, op := range ops {
		switch {
		case !op.Writes() || op.Client >= workload.FirstPinned:
		case op.Outcome == history.OK:
			r.Acknowledged++
		case op.Outcome == history.Unknown:
			r.Unknown++
		case op.Outcome == history.Fail:
			r.Refused++
		}
	}
}

// WriteJSON writes a value to a file, for people and programs.
func WriteJSON(path string, value any) error {
	content, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}

	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}

	if err := os.WriteFile(path, append(content, '\n'), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}

	return nil
}
