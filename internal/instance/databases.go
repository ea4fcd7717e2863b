package instance

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/caretaker-dev/caretaker/internal/instance/databases"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/pgconn"
)

// EnsureDatabase brings a logical database to what the operator wishes. Only one such request is worked on at a time.
func (r *runner) EnsureDatabase(ctx context.Context, request instanceapi.DatabaseRequest) (instanceapi.DatabaseReport, error) {
	return r.onPrimary(func() (instanceapi.DatabaseReport, error) {
		return databases.Ensure(ctx, r.connectLocal, request)
	}, request.Name)
}

// DropDatabase drops a logical database.
func (r *runner) DropDatabase(ctx context.Context, request instanceapi.DropDatabaseRequest) (instanceapi.DatabaseReport, error) {
	return r.onPrimary(func() (instanceapi.DatabaseReport, error) {
		return databases.Drop(ctx, r.connectLocal, request)
	}, request.Name)
}

// onPrimary works on a request if this instance leads and its server runs. A server that lost its lead meanwhile accepts
// no commit any more: the request fails, and is asked of the next primary.
func (r *runner) onPrimary(work func() (instanceapi.DatabaseReport, error), database string) (instanceapi.DatabaseReport, error) {
	r.working.Lock()
	defer r.working.Unlock()

	if status := r.view.get(); status.Role != instanceapi.RolePrimary || status.State != instanceapi.StateRunning {
		return instanceapi.DatabaseReport{}, databases.ErrNotPrimary
	}

	report, err := work()
	if len(report.Done) > 0 {
		r.log.Info("changed a database", "database", database, "done", report.Done)
	}

	return report, err
}

func (r *runner) connectLocal(ctx context.Context, database string) (*pgx.Conn, error) {
	return pgconn.Connect(ctx, pgconn.Local(r.layout.OwnSocketDir(), r.layout.PostgresPort, database))
}
