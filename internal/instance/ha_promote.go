package instance

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caretaker-dev/caretaker/internal/ha"
	"github.com/caretaker-dev/caretaker/internal/instance/harunner"
	"github.com/caretaker-dev/caretaker/internal/instance/serverconf"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/pgconn"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

const (
	pollInterval = 20 * time.Millisecond
	// quietFor is how long there must be no WAL receiver: a startup process that was about to start one more when the
	// configuration came has done so by then, and has ended it again.
	quietFor = 250 * time.Millisecond
	// loadTimeout bounds the loading of a configuration.
	loadTimeout = 5 * time.Second
)

// poll asks until done, in short intervals.
func (p *protocol) poll(ctx context.Context, ask func(ctx context.Context) (done bool, err error)) error {
	for {
		if !p.r.server.IsUp() {
			return errors.New("PostgreSQL does not run")
		}

		done, err := ask(ctx)
		if err != nil || done {
			return err
		}

		select {
		case <-p.r.clock.After(pollInterval):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// awaitLoaded waits until the postmaster has loaded a configuration and has told its children: a new connection shows it.
func (p *protocol) awaitLoaded(ctx context.Context, conf uint64) error {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()

	return p.poll(ctx, func(ctx context.Context) (bool, error) {
		loaded, err := p.loaded(ctx)

		return loaded >= conf, err
	})
}

// loaded is the configuration that a new connection shows.
func (p *protocol) loaded(ctx context.Context) (uint64, error) {
	conn, err := pgconn.Connect(ctx, pgconn.Local(p.r.layout.OwnSocketDir(), p.r.layout.PostgresPort, postgresDatabase))
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // only read from

	var value string
	if err := conn.QueryRow(ctx, "SELECT COALESCE(pg_catalog.current_setting($1, true), '0')", serverconf.GenParameter).Scan(&value); err != nil {
		return 0, fmt.Errorf("ask which configuration is loaded: %w", err)
	}

	if value == "" {
		return 0, nil
	}

	return strconv.ParseUint(value, 10, 64)
}

func (p *protocol) query(ctx context.Context, sql string, into ...any) error {
	return p.work.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, sql).Scan(into...)
	})
}

// stopReceiving takes the upstream away and waits until the WAL receiver is really gone: a while longer, unless nobody sends.
func (p *protocol) stopReceiving(ctx context.Context, nobodySends bool) error { //nolint:revive // a fact, not a mode
	n, err := p.apply(func(in *serverconf.Input) { in.Upstream = nil })
	if err != nil {
		return err
	}

	if err := p.awaitLoaded(ctx, n); err != nil {
		return err
	}

	var (
		quiet time.Duration
		watch replayWatch
	)

	return p.poll(ctx, func(ctx context.Context) (bool, error) {
		// Replay that is held back does not read its configuration, and so does not end the receiver.
		sample, err := p.sampleReplay(ctx)
		if err != nil {
			return false, err
		}

		watch.done(sample)

		if err := p.helpReplay(ctx, &watch, sample); err != nil {
			return false, err
		}

		var receivers int

		err = p.query(ctx, `SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'walreceiver'`, &receivers)
		if err != nil {
			return false, err
		}

		if receivers == 0 && nobodySends {
			return true, nil
		}

		now := p.r.opts.Boottime()
		if receivers > 0 || quiet == 0 {
			quiet = now

			return false, nil
		}

		return now-quiet >= quietFor, nil
	})
}

// promote ends recovery on the reserved timeline, with no client connected.
func (p *protocol) promote(ctx context.Context, a ha.Promote) (ha.Done, error) {
	ctx, cancel := context.WithTimeout(ctx, promoteTimeout)
	defer cancel()

	n, err := p.apply(func(in *serverconf.Input) { in.Upstream, in.Closed, in.Control = nil, a.Closed, nil })
	if err != nil {
		return ha.Done{}, err
	}

	// Read before, so that what is loaded then has it.
	gens := p.getGens()

	if err := p.awaitLoaded(ctx, max(n, gens.wanted.conf)); err != nil {
		return ha.Done{}, err
	}

	if err := p.confirmLoaded(ctx, gens); err != nil {
		return ha.Done{}, err
	}

	if a.Closed {
		if err := p.dropClients(ctx); err != nil {
			return ha.Done{}, err
		}
	}

	if err := reserve(p.walDir(), postgres.Timeline(a.Timeline)); err != nil {
		return ha.Done{}, err
	}

	// The others come back by their slots, which a copy that was made or rewound a moment ago does not have yet.
	err = p.work.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error { return p.r.chores.slots(ctx, conn, p.r.conf.Config()) })
	if err != nil {
		p.r.log.Warn("the replicas' slots could not be made before the promotion; they are, after it", "error", err)
	}

	if err := p.endRecovery(ctx); err != nil {
		return ha.Done{}, err
	}

	p.r.monitor.Forget()
	p.mendLineage(postgres.Timeline(a.Timeline))

	tip, err := p.primaryTip(ctx)
	if err == nil && tip.Timeline != a.Timeline {
		err = fmt.Errorf("PostgreSQL took timeline %d, not the reserved %d", tip.Timeline, a.Timeline)
	}

	// Who rewinds onto this server goes by its last checkpoint.
	go p.r.chores.checkpoint(p.life, true, time.Minute) //nolint:contextcheck // it outlives the promotion

	return ha.Done{Tip: tip}, err
}

func (p *protocol) endRecovery(ctx context.Context) error {
	var asked bool
	if err := p.query(ctx, "SELECT pg_catalog.pg_promote(false)", &asked); err != nil {
		return fmt.Errorf("promote: %w", err)
	}

	return p.poll(ctx, func(ctx context.Context) (bool, error) {
		var inRecovery bool

		err := p.query(ctx, "SELECT pg_catalog.pg_is_in_recovery()", &inRecovery)

		return !inRecovery, err
	})
}

// dropClients ends every session of a client, and waits until they are gone.
func (p *protocol) dropClients(ctx context.Context) error {
	return p.poll(ctx, func(ctx context.Context) (done bool, err error) {
		err = p.work.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			left, err := terminateClients(ctx, conn)
			done = left == 0

			return err
		})

		return done, err
	})
}

// commitTerm writes the term into the log, without waiting for replicas: their flush is counted.
func (p *protocol) commitTerm(ctx context.Context, a ha.CommitTermMessage) (ha.Done, error) {
	var tip ha.Tip

	err := p.work.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		err := writeLog(ctx, conn, "caretaker.term", strconv.FormatUint(a.Term, 10))
		if err != nil {
			return fmt.Errorf("write the term into the log: %w", err)
		}

		tip, err = p.askPrimaryTip(ctx, conn)

		return err
	})

	return ha.Done{Tip: tip}, err
}

// writeLog writes a message into the log and flushes it here, without waiting for replicas.
func writeLog(ctx context.Context, conn *pgx.Conn, prefix, content string) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL synchronous_commit = 'local'"); err != nil {
			return err
		}

		_, err := tx.Exec(ctx, "SELECT pg_catalog.pg_logical_emit_message(true, $1, $2::text)", prefix, content)

		return err
	})
}

// writeWake writes a little log that means nothing, for those who wait for more.
func writeWake(ctx context.Context, conn *pgx.Conn) error {
	return writeLog(ctx, conn, "caretaker.wake", "")
}

// follow streams from a leader.
func (p *protocol) follow(leader ha.Instance) error {
	upstream := p.upstream(leader.Name)
	p.r.log.Info("following", "leader", leader.Name, "at", upstream.Host)

	if _, err := p.apply(func(in *serverconf.Input) { in.Upstream = &upstream }); err != nil {
		return err
	}

	return p.followed()
}

// followed remembers that this member could go on behind a new primary from what it had.
func (p *protocol) followed() error {
	seen, last := p.driver.Snapshot(), p.r.rejoins.get().Last
	if seen.Tip.Timeline == 0 || seen.Tip.Timeline >= seen.Leader.Tip.Timeline || last != nil && uint64(last.Term) >= seen.Leader.Term { //nolint:gosec // never negative
		return nil
	}

	_, fork := seen.Tip.Fork(seen.Leader.Tip)

	return p.r.rejoins.followed(instanceapi.Rejoin{
		TimelineID: int64(seen.Tip.Timeline), ForkLSN: postgres.LSN(fork).String(), EndLSN: postgres.LSN(seen.Tip.LSN).String(),
	}, seen.Leader.Term, p.r.clock.Now())
}

// configureSync sets synchronous_standby_names; the observation sees to it that it is loaded.
func (p *protocol) configureSync(gen uint64, sync ha.Sync) error {
	names := harunner.SyncNames(sync)
	p.r.log.Info("synchronous replication", "standbys", names, "generation", gen)

	n, err := p.apply(func(in *serverconf.Input) { in.Sync = names })
	if err != nil {
		return err
	}

	p.mu.Lock()
	defer p.mu.Unlock()

	p.gens.wanted, p.gens.wantsWaiting = generation{gen: gen, conf: n}, names != ""

	return nil
}
