package workload

import (
	"errors"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/caretaker-dev/caretaker/test/chaos/history"
)

func TestOutcome(t *testing.T) {
	t.Parallel()

	refused := func(severity, code string) error { return &pgconn.PgError{Severity: severity, Code: code} }

	for name, c := range map[string]struct {
		err  error
		want history.Outcome
	}{
		"acknowledged":                   {want: history.OK},
		"read-only":                      {err: refused("ERROR", "25006"), want: history.Fail},
		"a wait that was cut short":      {err: refused("ERROR", "57014"), want: history.Unknown},
		"ended while it waited":          {err: refused("FATAL", "57P01"), want: history.Unknown},
		"the connection broke":           {err: io.ErrUnexpectedEOF, want: history.Unknown},
		"no answer in time":              {err: errors.Join(errors.New("timeout"), io.EOF), want: history.Unknown},
		"the server died while it wrote": {err: refused("WARNING", "57P02"), want: history.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if got := outcome(c.err); got != c.want {
				t.Errorf("outcome of %v is %s, want %s", c.err, got, c.want)
			}
		})
	}
}
