package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/instance/credentials"
	"github.com/caretaker-dev/caretaker/internal/instance/keeper"
	"github.com/caretaker-dev/caretaker/internal/instance/serverconf"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/pgconn"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

const (
	choreInterval = 2 * time.Second
	choreTimeout  = 10 * time.Second
	// filesInterval is how often mounted files are looked at; the kubelet takes up to a minute to change them anyway.
	filesInterval = 5 * time.Second
	// labelInterval is how often the pod's label is looked at.
	labelInterval = 10 * time.Second
	// checkpointShare of the time to stop may go into the checkpoint before, which makes the stop itself short.
	checkpointShare = 3
	// shortStop is how much log since the last checkpoint makes a stop longer by less than a checkpoint before it would.
	shortStop = 16 << 20
	// promoteTimeout is how long PostgreSQL's own promotion may take.
	promoteTimeout = 60 * time.Second
)

// chores are what goes on beside a PostgreSQL that runs: slots, passwords, certificates, the pod's label.
type chores struct {
	r       *runner
	session *pgconn.Session
	clock   clock.WithTicker
	log     *slog.Logger
	kick    chan struct{}

	mu sync.Mutex
	// wantRole is the label to be set, setRole the one that was.
	wantRole, setRole instanceapi.Role
	labelKick         chan struct{}
	// passwordsSet are what was applied last, so that a look costs nothing while nothing changes.
	passwordsSet []keeper.Password
	advanced     time.Time
	lastError    string
	// waits counts the passes of a primary that waits for replicas.
	waits int
}

func newChores(r *runner, session *pgconn.Session) *chores {
	return &chores{
		r: r, session: session, clock: r.clock, log: r.opts.Log.With("logger", "chores"),
		kick: make(chan struct{}, 1), labelKick: make(chan struct{}, 1),
	}
}

// run does the chores until the context ends.
func (c *chores) run(ctx context.Context) {
	for ctx.Err() == nil {
		switch status, isUp := c.r.view.get(), c.r.server.IsUp(); {
		case isUp && status.State == instanceapi.StateRunning:
			c.waits = 0
			c.note(c.pass(ctx, status.Role))
		case isUp && status.Role == instanceapi.RolePrimary:
			c.note(c.beforeItOpens(ctx))
		default:
			c.waits = 0
		}

		select {
		case <-c.kick:
		case <-c.clock.After(choreInterval):
		case <-ctx.Done():
		}
	}
}

// now asks for a pass at once.
func (c *chores) now() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// note logs an error when it is new.
func (c *chores) note(err error) {
	text := ""
	if err != nil && !errors.Is(err, pgconn.ErrSuspended) && !isCancelled(err) {
		text = err.Error()
	}

	if text != "" && text != c.lastError {
		c.log.Warn("a chore failed and is tried again", "error", err)
	}

	c.lastError = text
}

// beforeItOpens does what a primary that waits for replicas can do for them to come, see ADR 0121. It writes nothing that a
// replica would have to confirm.
func (c *chores) beforeItOpens(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, choreTimeout)
	defer cancel()

	if _, err := c.r.monitor.Health(ctx); err != nil {
		return err
	}

	c.waits++

	return c.session.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		// Without their slots they never come.
		if err := c.slots(ctx, conn, c.r.conf.Config()); err != nil || c.waits != firstSwitch && c.waits != secondSwitch {
			return err
		}

		return switchSegment(ctx, conn)
	})
}

// The passes, counted while a primary waits for replicas, after which it ends its segment. More often would only fill the volume.
const firstSwitch, secondSwitch = 2, 8

// switchSegment ends the segment and writes a little into the next one. A replica whose log ends in the middle of a record, where that
// goes on in the next segment, asks for the latter; it only looks again at where the record begins once it has seen that the
// record does not go on there. A server that writes finds it out in time, one that waits for its replicas writes nothing.
func switchSegment(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "SELECT pg_catalog.pg_switch_wal()"); err != nil {
		return fmt.Errorf("end the segment that no replica asks for: %w", err)
	}

	return writeWake(ctx, conn)
}

func (c *chores) pass(ctx context.Context, role instanceapi.Role) error {
	ctx, cancel := context.WithTimeout(ctx, choreTimeout)
	defer cancel()

	health, err := c.r.monitor.Health(ctx)
	if err != nil {
		return err
	}

	config := c.r.conf.Config()
	isPrimary := role == instanceapi.RolePrimary && !health.InRecovery

	return c.session.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if isPrimary {
			if err := c.passwords(ctx, conn, config); err != nil {
				return err
			}
		}

		if err := c.slots(ctx, conn, config); err != nil || isPrimary || !config.Slots {
			return err
		}

		return c.advance(ctx, conn)
	})
}

func (c *chores) passwords(ctx context.Context, conn *pgx.Conn, config instanceapi.Config) error {
	wanted, err := c.wantedPasswords(config)
	if err != nil {
		return err
	}

	if slices.Equal(wanted, c.passwordsSet) {
		return nil
	}

	changed, err := keeper.EnsurePasswords(ctx, conn, wanted)
	if len(changed) > 0 {
		c.log.Info("set passwords", "roles", changed)
	}

	if err != nil {
		return err
	}

	c.passwordsSet = wanted
	c.r.view.change(func(s *instanceapi.Status) { s.PasswordsHash = passwordsHash(wanted) })

	return nil
}

func passwordsHash(passwords []keeper.Password) string {
	byRole := map[string]string{}
	for _, password := range passwords {
		byRole[password.Role] = password.Password
	}

	return instanceapi.HashPasswords(byRole)
}

// wantedPasswords: the application's owner has the password of its Secret; the superuser too, or none.
func (c *chores) wantedPasswords(config instanceapi.Config) ([]keeper.Password, error) {
	var wanted []keeper.Password

	owner := ""

	switch {
	case config.Bootstrap.InitDB != nil:
		owner = config.Bootstrap.InitDB.Owner
	case config.Bootstrap.PgBaseBackup != nil:
		owner = config.Bootstrap.PgBaseBackup.Owner
	case config.Bootstrap.Recovery != nil:
		owner = config.Bootstrap.Recovery.Owner
	}

	app, ok, err := credentials.Read(filepath.Join(c.r.layout.CredentialsDir, "app"))
	if err != nil {
		return nil, err
	}

	if ok && owner != "" {
		wanted = append(wanted, keeper.Password{Role: owner, Password: app.Password})
	}

	superuser := keeper.Password{Role: postgres.Superuser}

	if config.SuperuserAccess {
		login, ok, err := credentials.Read(filepath.Join(c.r.layout.CredentialsDir, "superuser"))
		if err != nil {
			return nil, err
		}

		if !ok {
			return wanted, nil
		}

		superuser.Password = login.Password
	}

	return append(wanted, superuser), nil
}

// slots: one for each other member.
func (c *chores) slots(ctx context.Context, conn *pgx.Conn, config instanceapi.Config) error {
	var wanted []string

	if config.Slots {
		for _, member := range config.Members {
			if member != c.r.opts.Instance {
				wanted = append(wanted, serverconf.SlotName(member))
			}
		}
	}

	change, err := keeper.EnsureSlots(ctx, conn, wanted)
	if len(change.Drop)+len(change.Create) > 0 {
		c.log.Info("changed replication slots", "created", change.Create, "dropped", change.Drop)
	}

	return err
}

// advanceInterval is how often a standby moves its slots.
const advanceInterval = 5 * time.Second

func (c *chores) advance(ctx context.Context, conn *pgx.Conn) error {
	record := c.r.term.facts()
	if record.Spec.Primary == nil || c.clock.Since(c.advanced) < advanceInterval {
		return nil
	}

	host, port := c.r.opts.Peer(record.Spec.Primary.Name)

	primary, err := c.r.connectReplica(ctx, serverconf.Upstream{Host: host, Port: port})
	if err != nil {
		return fmt.Errorf("ask the primary for its slots: %w", err)
	}

	slots, err := keeper.ListSlots(ctx, primary)

	// Only read from; the server ends the backend either way.
	_ = primary.Close(ctx)

	if err != nil {
		return err
	}

	c.advanced = c.clock.Now()

	return keeper.AdvanceSlots(ctx, conn, slots,
		serverconf.SlotName(c.r.opts.Instance), serverconf.SlotName(record.Spec.Primary.Name))
}

// sinceCheckpoint is how many bytes of log there are behind the last checkpoint.
const sinceCheckpoint = `SELECT pg_catalog.pg_wal_lsn_diff(
  CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_insert_lsn() END, redo_lsn)::bigint
  FROM pg_catalog.pg_control_checkpoint()`

// checkpointBeforeStop shortens the stop that follows, if there is something to write.
func (c *chores) checkpointBeforeStop(ctx context.Context, isUp bool, limit time.Duration) {
	c.checkpointAbove(ctx, isUp, limit, shortStop)
}

// checkpoint makes one, whatever there is to write.
func (c *chores) checkpoint(ctx context.Context, isUp bool, limit time.Duration) {
	c.checkpointAbove(ctx, isUp, limit, 0)
}

// checkpointAbove makes one if there are more bytes of log behind the last one; with 0 it does not ask.
func (c *chores) checkpointAbove(ctx context.Context, isUp bool, limit time.Duration, bytes int64) { //nolint:revive // a state, not a switch
	if !isUp {
		return
	}

	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()

	err := c.session.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if bytes > 0 {
			var since int64
			if err := conn.QueryRow(ctx, sinceCheckpoint).Scan(&since); err != nil || since <= bytes {
				return err
			}
		}

		_, err := conn.Exec(ctx, "CHECKPOINT")

		return err
	})
	if err != nil {
		c.log.Warn("no checkpoint; a stop takes longer for it", "error", err)
	}
}

// label asks for the pod's label to be set; it is tried until it is.
func (c *chores) label(role instanceapi.Role) {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.wantRole == role {
		return
	}

	// What is set is not certain from here on: another primary may have taken the label off meanwhile.
	c.wantRole, c.setRole = role, ""

	select {
	case c.labelKick <- struct{}{}:
	default:
	}
}

// runLabels sets the pod's label whenever another is wanted, and again where somebody has changed it: a request of an earlier primary
// to take it off may arrive late.
func (c *chores) runLabels(ctx context.Context) {
	for ctx.Err() == nil {
		var retry <-chan time.Time

		c.mu.Lock()
		want := c.wantRole
		set := c.setRole
		c.mu.Unlock()

		if want != set {
			if err := c.setLabel(ctx, want); err != nil {
				c.log.Warn("the pod could not be labelled; it is tried again", "role", want, "error", err)
				retry = c.clock.After(time.Second)
			}
		}

		select {
		case <-c.labelKick:
		case <-retry:
		case <-c.clock.After(labelInterval):
			c.lookAtLabel(ctx, set)
		case <-ctx.Done():
		}
	}
}

// lookAtLabel has the label set again if it is not what it was set to.
func (c *chores) lookAtLabel(ctx context.Context, set instanceapi.Role) {
	if set == "" {
		return
	}

	ctx, cancel := context.WithTimeout(ctx, termTimeout)
	defer cancel()

	found, err := c.r.opts.Labels.Role(ctx)
	if err != nil || found == string(set) {
		return // an API server that is down is told of elsewhere
	}

	c.mu.Lock()
	defer c.mu.Unlock()

	if c.setRole == set {
		c.setRole = ""
		c.log.Warn("somebody has changed the pod's role label; it is set again", "found", found, "role", set)
	}
}

func (c *chores) setLabel(ctx context.Context, role instanceapi.Role) error {
	ctx, cancel := context.WithTimeout(ctx, termTimeout)
	defer cancel()

	if err := c.r.opts.Labels.SetRole(ctx, string(role)); err != nil {
		return err
	}

	if role == instanceapi.RolePrimary {
		if err := c.stripOthers(ctx); err != nil {
			return err
		}
	}

	c.mu.Lock()
	if c.wantRole == role {
		c.setRole = role
	}
	c.mu.Unlock()
	c.log.Info("labelled the pod", "role", role)

	return nil
}

// stripOthers takes the primary's label off pods whose PID 1 cannot do it any more.
func (c *chores) stripOthers(ctx context.Context) error {
	var failed []error

	isWanted := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()

		return c.wantRole == instanceapi.RolePrimary
	}

	for _, member := range c.r.conf.Config().Members {
		if member != c.r.opts.Instance && isWanted() {
			failed = append(failed, c.r.opts.Labels.StripPrimary(ctx, member))
		}
	}

	return errors.Join(failed...)
}

// runFiles follows the mounted certificates; passwords are read at each pass.
func (c *chores) runFiles(ctx context.Context) {
	said := ""

	for ctx.Err() == nil {
		changed, err := c.r.tls.Sync()

		switch {
		case err != nil && err.Error() != said:
			said = err.Error()
			c.log.Error("the certificates cannot be used; those from before stay in use", "error", err)
		case err == nil:
			said = ""
		}

		if changed && c.r.server.IsUp() {
			c.log.Info("certificates changed; PostgreSQL reads them again")

			if err := c.r.server.Reload(); err != nil {
				c.log.Error("PostgreSQL could not be told to reload", "error", err)
			}
		}

		select {
		case <-c.clock.After(filesInterval):
		case <-ctx.Done():
		}
	}
}
