package instance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caretaker-dev/caretaker/internal/instance/pgbin"
	"github.com/caretaker-dev/caretaker/internal/instance/provision"
	"github.com/caretaker-dev/caretaker/internal/instance/server"
	"github.com/caretaker-dev/caretaker/internal/instance/serverconf"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/pgconn"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

const (
	// connectInterval is how often a starting server is tried.
	connectInterval = 50 * time.Millisecond
	// bootstrapStop is how long the server of the bootstrap may take to stop.
	bootstrapStop = time.Minute
	// bootstrapPause is the least time until a bootstrap that failed is tried again.
	bootstrapPause = 10 * time.Second
	// defaultStartTimeout where the configuration names none.
	defaultStartTimeout = time.Hour
)

// bootstrap makes the data of a new Cluster.
type bootstrap struct {
	r        *runner
	programs *pgbin.Programs
	config   instanceapi.Config
	lock     *os.File
}

func (r *runner) startBootstrap(ctx context.Context) {
	b := bootstrap{r: r, programs: r.programs, config: r.conf.Config(), lock: r.lock}

	if err := r.measureVolume(); err != nil {
		r.log.Warn("the volume's size is not known", "error", err)
	}

	r.conf.Set(func(in *serverconf.Input) { in.Upstream, in.Control = nil, nil })
	r.start(ctx, DoBootstrap, b.run)
}

// run makes the data, populates them with a server that only we can reach, and gives them their real name at the end.
func (b bootstrap) run(ctx context.Context) error {
	dir, replays, err := b.makeData(ctx)
	if err != nil {
		return errors.Join(err, b.abandon())
	}

	if err := b.populate(ctx, dir, replays); err != nil {
		return errors.Join(err, b.abandon())
	}

	if b.isOfSnapshot() {
		return volume.CommitSnapshot(b.r.layout.DataDir)
	}

	return volume.Commit(b.r.layout.DataDir)
}

// abandon what an attempt has left. The data of a snapshot are kept: they cannot be had again, and a recovery goes on with them.
func (b bootstrap) abandon() error {
	if b.isOfSnapshot() {
		return nil
	}

	return volume.Abandon(b.r.layout.DataDir)
}

func (b bootstrap) isOfSnapshot() bool {
	return b.config.Bootstrap.Recovery != nil && b.config.Bootstrap.Recovery.Snapshot
}

// finishBootstrap takes the result over, and says when the next attempt may begin. What the user wrote does not change by
// itself; an external server may come back.
func (r *runner) finishBootstrap(ended *job) {
	r.bootstrapFailed = nil

	if ended.err == nil || isCancelled(ended.err) {
		r.attempts = 0

		return
	}

	r.attempts++
	pause := max(bootstrapPause, backoff(r.attempts))
	r.bootstrapFailed, r.retryAt = ended.err, r.clock.Now().Add(pause)
	r.log.Error("making the data failed", "error", ended.err, "again", pause.String())
}

// makeData gives back where they are, and what their first server is to replay; nil if nothing.
func (b bootstrap) makeData(ctx context.Context) (dir string, replays *replay, err error) {
	if err := b.checkWish(); err != nil {
		return "", nil, err
	}

	if in := b.config.Bootstrap.Recovery; in != nil {
		return b.recover(ctx, *in)
	}

	if in := b.config.Bootstrap.InitDB; in != nil {
		b.r.view.say(instanceapi.StateInitializing, "", "making an empty database")
		b.setSegment(int64(in.WalSegmentSizeMB) << 20)

		dir, err = provision.InitDB(ctx, b.programs, b.r.layout.DataDir, *in, b.r.opts.Log.With("logger", "initdb"))

		return dir, nil, err
	}

	dir, err = b.copyExternal(ctx)

	return dir, nil, err
}

// checkWish makes sure that the configuration is as new as the record: the data of a recovery in place must not be made as those of
// the Cluster once were, nor to the target of an earlier one.
func (b bootstrap) checkWish() error {
	wanted, has := "", ""

	if first := b.r.term.facts().Spec.Pending; first != nil {
		wanted = first.Request
	}

	if in := b.config.Bootstrap.Recovery; in != nil {
		has = in.InPlace
	}

	if wanted != has {
		return fmt.Errorf("the record is of recovery in place %q, the configuration here of %q: the newer one is on its way", wanted, has)
	}

	return nil
}

func (b bootstrap) copyExternal(ctx context.Context) (string, error) {
	in := b.config.Bootstrap.PgBaseBackup
	b.r.view.say(instanceapi.StateInitializing, "", "copying the external server "+in.Source)

	external, err := b.external(*in)
	if err != nil {
		return "", err
	}

	dir, err := provision.BaseBackup(ctx, b.programs, external)
	if err != nil {
		return "", err
	}

	if err := b.learn(ctx, dir, "the external server "+in.Source); err != nil {
		return "", err
	}

	return dir, provision.Disown(dir)
}

// learn looks at data that came from elsewhere.
func (b bootstrap) learn(ctx context.Context, dir, origin string) error {
	look, err := volume.Inspect(dir)
	if err != nil {
		return err
	}

	if look.Major != b.programs.Major {
		return fmt.Errorf("%s is PostgreSQL %d, the image is %d: use an image of major version %d",
			origin, look.Major, b.programs.Major, look.Major)
	}

	control, err := b.programs.ControlData(ctx, dir)
	if err != nil {
		return err
	}

	b.setSegment(control.WALSegmentBytes)

	return nil
}

func (b bootstrap) setSegment(bytes int64) {
	b.r.conf.Set(func(in *serverconf.Input) { in.WALSegmentBytes = bytes })
}

// external describes the copy of an external server. Its key is copied to where only we can read it: libpq refuses one
// that others can.
func (b bootstrap) external(in instanceapi.PgBaseBackup) (provision.Copy, error) {
	dir := filepath.Join(b.r.layout.ExternalDir, in.Source)
	words := make([]string, 0, len(in.ConnectionParameters)+3)

	for _, key := range sortedKeys(in.ConnectionParameters) {
		words = append(words, provision.ConnWord(key, in.ConnectionParameters[key]))
	}

	for key, name := range map[string]string{"sslcert": "tls.crt", "sslkey": "tls.key", "sslrootcert": "ca.crt"} {
		content, err := os.ReadFile(filepath.Join(dir, name)) //nolint:gosec // our own path
		if errors.Is(err, os.ErrNotExist) {
			continue
		}

		if err != nil {
			return provision.Copy{}, fmt.Errorf("read the certificates of %s: %w", in.Source, err)
		}

		target := filepath.Join(b.r.layout.TLSDir(), "external-"+name)
		if err := volume.WriteFile(target, content, 0o600); err != nil {
			return provision.Copy{}, err
		}

		words = append(words, provision.ConnWord(key, target))
	}

	var env []string

	password, err := os.ReadFile(filepath.Join(dir, "password")) //nolint:gosec // our own path
	if err == nil {
		env = append(env, "PGPASSWORD="+string(password))
	} else if !errors.Is(err, os.ErrNotExist) {
		return provision.Copy{}, fmt.Errorf("read the password of %s: %w", in.Source, err)
	}

	return provision.Copy{
		ConnInfo: strings.Join(words, " "), Env: env, DataDir: b.r.layout.DataDir,
		Progress: b.r.progress, Log: b.r.opts.Log.With("logger", "pg_basebackup"),
	}, nil
}

// populate runs the new data's server, closed to everyone but us, and stops it again.
func (b bootstrap) populate(ctx context.Context, dir string, replays *replay) error {
	var settings []string
	if replays != nil {
		settings = replays.settings
	} else {
		b.r.view.say(instanceapi.StateInitializing, "", "making roles and databases")
	}

	b.setPrivate(true)
	defer b.setPrivate(false)

	if err := b.r.conf.Start(); err != nil {
		return err
	}

	// Until the data are whole nothing needs to survive a crash, unless they cannot be had again: everything is synced at once at
	// the end. What there is to archive waits for that, too.
	if !b.isOfSnapshot() {
		settings = append([]string{"fsync=off", "full_page_writes=off", "synchronous_commit=off"}, settings...)
	}

	err := b.r.server.Start(ctx, server.Start{
		Programs: b.programs, DataDir: dir, ConfFile: b.r.layout.ConfFile(), Lock: b.lock,
		SocketDir: b.r.layout.OwnSocketDir(),
		Settings:  append([]string{"archive_command="}, settings...),
	})
	if err != nil {
		return err
	}

	if replays != nil {
		err = b.awaitRecovery(ctx, replays.reach)
	}

	if err == nil {
		err = b.fill(ctx)
	}

	// Smart first: our own session of a moment ago may still be leaving, and is not to be cut off with an error in the log.
	plan := server.StopPlan(bootstrapStop/12, bootstrapStop)
	if err != nil {
		plan = []server.Phase{{Signal: syscall.SIGQUIT, Wait: bootstrapStop / 12}}
	}

	err = errors.Join(err, b.r.server.Stop(ctx, plan))

	exit, _, _ := b.r.server.TakeEnd()
	if err == nil && !exit.OK() {
		return fmt.Errorf("the new database's server did not stop in order: %s", exit)
	}

	return err
}

func (b bootstrap) setPrivate(private bool) {
	b.r.conf.Set(func(in *serverconf.Input) { in.Private = private })
}

func (b bootstrap) fill(ctx context.Context) error {
	connect := func(ctx context.Context, database string) (*pgx.Conn, error) {
		return b.r.connectWhenUp(ctx, database)
	}

	if in := b.config.Bootstrap.InitDB; in != nil {
		if err := provision.Populate(ctx, connect, *in); err != nil {
			return err
		}
	}

	conn, err := connect(ctx, postgres.Superuser)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the server is stopped next

	if b.config.Bootstrap.InitDB == nil {
		if err := provision.Roles(ctx, conn); err != nil {
			return err
		}
	}

	// The chores would do these too, a moment after the start; here nobody has to wait for them.
	if err := b.r.chores.passwords(ctx, conn, b.config); err != nil {
		return err
	}

	return b.r.chores.slots(ctx, conn, b.config)
}

// connectWhenUp connects over the socket as soon as the server that was just started accepts connections.
func (r *runner) connectWhenUp(ctx context.Context, database string) (*pgx.Conn, error) {
	limit := time.Duration(r.conf.Config().StartTimeout) * time.Second
	if limit <= 0 {
		limit = defaultStartTimeout
	}

	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()

	for {
		conn, err := pgconn.Connect(ctx, pgconn.Local(r.layout.OwnSocketDir(), r.layout.PostgresPort, database))
		if err == nil {
			return conn, nil
		}

		if !r.server.IsUp() {
			return nil, fmt.Errorf("PostgreSQL ended at its start; it said: %s", r.server.LastWords())
		}

		if isFinal(err) {
			return nil, err
		}

		select {
		case <-r.clock.After(connectInterval):
		case <-ctx.Done():
			return nil, fmt.Errorf("PostgreSQL does not accept connections within %s: %w", limit, err)
		}
	}
}
