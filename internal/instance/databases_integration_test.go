package instance_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/instanceclient"
)

// TestDatabases asks a primary for logical databases, as the operator does.
func TestDatabases(t *testing.T) {
	w := newWorld(t, "demo-0")
	primary := w.start("demo-0", "uid-0")
	primary.awaitReady()

	ensure := func(t *testing.T, request instanceapi.DatabaseRequest) (instanceapi.DatabaseReport, error) {
		t.Helper()

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()

		return w.client.EnsureDatabase(ctx, primary.target(), request)
	}
	refused := func(t *testing.T, err error, message string) {
		t.Helper()

		var refusal *instanceclient.RefusedError
		if !errors.As(err, &refusal) || refusal.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(refusal.Message, message) {
			t.Errorf("error is %v, want a refusal with %q", err, message)
		}
	}

	// A name that must be quoted wherever it is used.
	odd := instanceapi.DatabaseRequest{
		For: "orders", Name: `Odd "name'; --`, DefaultOwner: `O'Brien "the owner"`, OwnerPassword: `it's \ secret`,
		Schemas: []instanceapi.DatabaseSchema{{Name: `a "schema"`}}, Extensions: []instanceapi.DatabaseExtension{{Name: "plpgsql"}},
	}

	t.Run("made, and then found as asked for", func(t *testing.T) {
		report, err := ensure(t, odd)
		must(t, err)

		if len(report.Done) != 4 || !report.OwnerManaged || report.Owner != odd.DefaultOwner || report.SystemID == "" {
			t.Errorf("report is %+v, want role, password, database and schema", report)
		}

		must(t, w.loginAs(escape(odd.DefaultOwner), escape(odd.OwnerPassword)))

		if report, err = ensure(t, odd); err != nil || len(report.Done) > 0 {
			t.Errorf("asked again, it did %v (%v), want nothing", report.Done, err)
		}
	})

	t.Run("the password of a role that was made for it", func(t *testing.T) {
		changed := odd
		changed.OwnerPassword = "another"
		_, err := ensure(t, changed)
		must(t, err)
		must(t, w.loginAs(escape(odd.DefaultOwner), "another"))
	})

	t.Run("a role that others made keeps its password", func(t *testing.T) {
		primary.mustQuery("CREATE ROLE theirs LOGIN PASSWORD 'theirs'")

		report, err := ensure(t, instanceapi.DatabaseRequest{For: "b", Name: "b", Owner: "theirs", DefaultOwner: "b", OwnerPassword: "ours"})
		must(t, err)

		if report.OwnerManaged {
			t.Error("the report calls a role ours that we did not make")
		}

		must(t, w.loginAs("theirs", "theirs"))
	})

	t.Run("an existing database keeps its owner unless one is named", func(t *testing.T) {
		report, err := ensure(t, instanceapi.DatabaseRequest{For: "c", Name: "b", DefaultOwner: "b"})
		must(t, err)

		if report.Owner != "theirs" || len(report.Done) > 0 {
			t.Errorf("report is %+v, want the owner theirs and nothing done", report)
		}

		report, err = ensure(t, instanceapi.DatabaseRequest{For: "c", Name: "b", Owner: "fresh", DefaultOwner: "b"})
		must(t, err)

		if report.Owner != "fresh" || !report.OwnerManaged {
			t.Errorf("report is %+v, want the owner fresh, which was made for it", report)
		}
	})

	t.Run("what cannot be is refused in PostgreSQL's words", func(t *testing.T) {
		_, err := ensure(t, instanceapi.DatabaseRequest{For: "b", Name: "b", DefaultOwner: "b", Extensions: []instanceapi.DatabaseExtension{{Name: "no_such"}}})
		refused(t, err, `spec.extensions[0]: PostgreSQL says: `)

		_, err = ensure(t, instanceapi.DatabaseRequest{For: "b", Name: "b", DefaultOwner: "b", Encoding: "LATIN1"})
		refused(t, err, "spec.encoding: the database b exists with UTF8")

		primary.mustQuery("CREATE ROLE other")

		_, err = ensure(t, instanceapi.DatabaseRequest{For: "b", Name: "b", DefaultOwner: "b", Schemas: []instanceapi.DatabaseSchema{{Name: "s", Owner: "nobody"}}})
		refused(t, err, `spec.schemas[0]: PostgreSQL says: role "nobody" does not exist`)
	})

	t.Run("schemas come and go", func(t *testing.T) {
		request := instanceapi.DatabaseRequest{For: "b", Name: "b", DefaultOwner: "b", Schemas: []instanceapi.DatabaseSchema{{Name: "s"}}}
		_, err := ensure(t, request)
		must(t, err)

		request.Schemas[0].Owner = "other"
		report, err := ensure(t, request)
		must(t, err)

		request.Schemas[0].Absent = true
		gone, err := ensure(t, request)
		must(t, err)

		if !slices.Equal(report.Done, []string{"made other the owner of the schema s"}) || !slices.Equal(gone.Done, []string{"dropped the schema s"}) {
			t.Errorf("it did %v, then %v", report.Done, gone.Done)
		}
	})

	t.Run("dropped with the role that was made for it, and no other", func(t *testing.T) {
		drop := func(request instanceapi.DropDatabaseRequest) instanceapi.DatabaseReport {
			report, err := w.client.DropDatabase(t.Context(), primary.target(), request)
			must(t, err)

			return report
		}

		drop(instanceapi.DropDatabaseRequest{For: "orders", Name: odd.Name, Owner: odd.DefaultOwner})
		drop(instanceapi.DropDatabaseRequest{For: "b", Name: "b", Owner: "theirs"})

		if left := primary.mustQuery("SELECT string_agg(rolname, ',' ORDER BY rolname) FROM pg_roles WHERE rolname IN ('theirs', 'O''Brien \"the owner\"')"); left != "theirs" {
			t.Errorf("roles left: %s, want theirs", left)
		}

		if report := drop(instanceapi.DropDatabaseRequest{For: "b", Name: "b", Owner: "theirs"}); len(report.Done) > 0 {
			t.Errorf("what is gone is dropped again: %v", report.Done)
		}
	})
}

// escape writes a value of a connection string; the role stands there without quotes.
func escape(value string) string {
	return strings.NewReplacer(`\`, `\\`, `'`, `\'`, ` `, `\ `).Replace(value)
}
