package instance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	pgproto "github.com/jackc/pgx/v5/pgconn"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instance/keeper"
	"github.com/caretaker-dev/caretaker/internal/instance/pgbin"
	"github.com/caretaker-dev/caretaker/internal/instance/provision"
	"github.com/caretaker-dev/caretaker/internal/instance/serverconf"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/pgconn"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

const (
	// preflightTimeout bounds the questions to the primary before a clone.
	preflightTimeout = 5 * time.Second
	// preflightInterval is how often a primary that is not ready is asked again.
	preflightInterval = 300 * time.Millisecond
)

// notReadyError says that the primary cannot be cloned yet.
type notReadyError struct{ err error }

func (e *notReadyError) Error() string { return e.err.Error() }
func (e *notReadyError) Unwrap() error { return e.err }

// clone copies the primary.
type clone struct {
	r        *runner
	programs *pgbin.Programs
	spec     postgresqlv1.ClusterTermSpec
	input    serverconf.Input
	upstream serverconf.Upstream
}

func (c clone) run(ctx context.Context) error {
	if err := c.preflight(ctx); err != nil {
		return err
	}

	dataDir := c.r.layout.DataDir

	c.r.view.say(instanceapi.StateCloning, "", "copying the primary "+c.spec.Primary.Name)

	info := serverconf.CopyConnInfo(c.input, c.upstream, copyName)

	backup := provision.Copy{
		ConnInfo: info.String(),
		DataDir:  dataDir, Progress: c.r.progress, Log: c.r.opts.Log.With("logger", "pg_basebackup"),
	}
	if c.input.Config.Slots {
		backup.Slot = serverconf.SlotName(c.r.opts.Instance)
	}

	dir, err := provision.BaseBackup(ctx, c.programs, backup)
	if err == nil {
		err = volume.SetStandby(dir)
	}

	if err != nil {
		return errors.Join(err, volume.Abandon(dataDir))
	}

	if err := volume.Commit(dataDir); err != nil {
		return err
	}

	// The first copy of all is none that tells of trouble.
	if c.r.rejoins.begun() == "" {
		return nil
	}

	return c.r.rejoins.done(instanceapi.RejoinCloned, uint64(c.spec.Term), c.r.clock.Now()) //nolint:gosec // never negative
}

// preflight asks the primary whether it is the right system and ready to be copied: pg_basebackup would find out too,
// but slowly and with poor words.
func (c clone) preflight(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, preflightTimeout)
	defer cancel()

	conn, err := c.r.connectReplica(ctx, c.upstream)
	if err != nil {
		if isCancelled(err) {
			return err
		}

		c.r.log.Debug("the primary cannot be copied yet", "error", err)

		return &notReadyError{err: fmt.Errorf("waiting for the primary %s: %s", c.spec.Primary.Name, pgconn.Reason(err))}
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // only read from

	var (
		systemID   string
		inRecovery bool
	)

	err = conn.QueryRow(ctx, `SELECT system_identifier::text, pg_catalog.pg_is_in_recovery()
		FROM pg_catalog.pg_control_system()`).Scan(&systemID, &inRecovery)

	switch {
	case err != nil:
		return fmt.Errorf("ask the primary %s who it is: %w", c.spec.Primary.Name, err)
	case systemID != c.spec.SystemID:
		return fmt.Errorf("the server at %s has the system identifier %s, the Cluster has %s: it is another database",
			c.upstream.Host, systemID, c.spec.SystemID)
	case inRecovery:
		return &notReadyError{err: fmt.Errorf("waiting for %s to be a primary", c.spec.Primary.Name)}
	case !c.input.Config.Slots:
		return nil
	}

	slots, err := keeper.ListSlots(ctx, conn)
	if err != nil {
		return err
	}

	name := serverconf.SlotName(c.r.opts.Instance)
	if !slices.ContainsFunc(slots, func(slot keeper.Slot) bool { return slot.Name == name && slot.Status != "lost" }) {
		return &notReadyError{err: fmt.Errorf("waiting for the primary %s to make the replication slot %s", c.spec.Primary.Name, name)}
	}

	return nil
}

// connectReplica connects to another member as a replica does, for ordinary queries.
func (r *runner) connectReplica(ctx context.Context, upstream serverconf.Upstream) (*pgx.Conn, error) {
	config, err := r.tls.ReplicaConfig()
	if err != nil {
		return nil, err
	}

	return pgconn.Connect(ctx, pgconn.Params{
		Host: upstream.Host, Port: upstream.Port, User: postgres.ReplicationUser, Database: postgres.Superuser,
		TLS: config, ApplicationName: "caretaker " + r.opts.Instance,
	})
}

// mayReclone says whether the budget allows to throw the data away, also across restarts.
func (r *runner) mayReclone() bool {
	now := r.clock.Now()

	return !r.rejoins.mayDiscard(now).After(now)
}

func (r *runner) progress(percent int) {
	r.view.change(func(s *instanceapi.Status) { s.Progress = &percent })
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// isFinal says whether waiting will not make a connection succeed: PostgreSQL answered, and not that it is starting.
func isFinal(err error) bool {
	var answer *pgproto.PgError

	const startingUp = "57P03"

	return errors.As(err, &answer) && answer.Code != startingUp && !strings.HasPrefix(answer.Code, "53")
}
