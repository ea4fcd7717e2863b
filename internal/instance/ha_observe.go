package instance

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caretaker-dev/caretaker/internal/ha"
	"github.com/caretaker-dev/caretaker/internal/instance/serverconf"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

const (
	observeInterval = 100 * time.Millisecond
	// observeSoon is for a primary whose clients wait for what replicas have flushed.
	observeSoon    = 25 * time.Millisecond
	observeTimeout = 2 * time.Second
	// wakeTimeout is less than what the others take for silence.
	wakeTimeout = 500 * time.Millisecond
	// proofPause is before a checkpoint that failed is asked for again.
	proofPause = time.Second
	// copyName is the application name of connections that copy a server: never a standby's.
	copyName = "caretaker copy"
)

// generation is a setting of synchronous_standby_names, and the configuration that brought it.
type generation struct{ gen, conf uint64 }

// generations are which setting which process has loaded.
type generations struct {
	wanted generation
	// loaded by the postmaster; old are the walsenders from before, with theirs.
	loaded uint64
	old    map[string]uint64
	// checkpointer's; it only switches waiting on and off: isWaiting is what it is known to have done.
	checkpointer            uint64
	isWaiting, wantsWaiting bool
}

func (p *protocol) setGens(g generations) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.gens = g
}

func (p *protocol) getGens() generations {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.gens
}

// observing asks PostgreSQL how it is as long as it runs. An answer that does not come is not sent, and so the
// heartbeats stop.
func (p *protocol) observing(ctx context.Context) {
	for ctx.Err() == nil {
		if p.r.server.IsUp() {
			if err := p.observe(ctx); err != nil {
				p.r.log.Debug("PostgreSQL was not observed", "error", err)
			}
		}

		interval := observeInterval
		if phase := p.driver.Snapshot().Phase; phase == ha.Establishing || phase == ha.Gated {
			interval = observeSoon
		}

		select {
		case <-p.r.clock.After(interval):
		case <-ctx.Done():
		}
	}
}

func (p *protocol) observe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, observeTimeout)
	defer cancel()

	asked := p.r.opts.Boottime()
	seen := ha.Observed{Asked: asked}

	err := p.watch.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		var inRecovery bool
		if err := conn.QueryRow(ctx, "SELECT pg_catalog.pg_is_in_recovery()").Scan(&inRecovery); err != nil {
			return err
		}

		if !inRecovery {
			return p.observePrimary(ctx, conn, &seen)
		}

		end, isReceiving, err := p.askStandbyEnd(ctx, conn)
		if err != nil {
			return err
		}

		seen.Receiving = isReceiving
		seen.Tip, err = p.observedEnd(end)

		return err
	})
	if err != nil {
		return err
	}

	p.driver.Post(seen)

	return nil
}

// isMember is a condition for the walsenders of members. Whoever else receives the log (pg_receivewal, a copy of somebody's
// own, logical replication) is never waited for, nor ended: no name but a member's is in synchronous_standby_names, which
// PostgreSQL compares without case.
const isMember = `application_name ~* '^[0-9a-f]{16}$'`

// sendersQuery counts what a standby that streams has flushed. One that connects tells its own position, whatever log it
// is of, before it has received anything: more than it was sent is of another log.
const sendersQuery = `SELECT pid::text || ' ' || backend_start::text, application_name,
       CASE WHEN state = 'streaming' AND flush_lsn <= sent_lsn THEN flush_lsn ELSE '0/0' END::text
  FROM pg_catalog.pg_stat_replication WHERE ` + isMember

type senderRow struct {
	key   string
	name  string
	flush string
}

func listSenders(ctx context.Context, conn *pgx.Conn) ([]senderRow, error) {
	rows, err := conn.Query(ctx, sendersQuery)
	if err != nil {
		return nil, fmt.Errorf("list the walsenders: %w", err)
	}

	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (senderRow, error) {
		var s senderRow
		err := row.Scan(&s.key, &s.name, &s.flush)

		return s, err
	})
}

// observePrimary: the end of the log is read after the senders.
func (p *protocol) observePrimary(ctx context.Context, conn *pgx.Conn, seen *ha.Observed) error {
	if gens := p.getGens(); gens.wanted.gen > gens.loaded {
		if err := p.confirm(ctx); err != nil {
			return err
		}
	}

	gens := p.getGens()

	// One that was being let in while the door was closed shows up late.
	if p.isClosed() {
		if _, err := terminateClients(ctx, conn); err != nil {
			return err
		}
	}

	rows, err := listSenders(ctx, conn)
	if err != nil {
		return err
	}

	for _, row := range rows {
		lsn, err := postgres.ParseLSN(row.flush)
		if err != nil {
			return err
		}

		gen, isOld := gens.old[row.key]
		if !isOld {
			gen = gens.loaded
		}

		seen.Senders = append(seen.Senders, ha.Sender{Member: ha.MemberID(row.name), Flush: uint64(lsn), Gen: gen})
	}

	if p.isClosed() {
		err := conn.QueryRow(ctx, "SELECT count(*) > 0 FROM pg_catalog.pg_stat_replication WHERE application_name = $1", copyName).Scan(&seen.Copied)
		if err != nil {
			return err
		}
	}

	seen.CheckpointerGen = gens.checkpointer
	seen.Tip, err = p.askPrimaryTip(ctx, conn)

	return err
}

// isClosed: clients are not to be let in (yet).
func (p *protocol) isClosed() (closed bool) {
	p.r.conf.Set(func(in *serverconf.Input) { closed = in.Closed })

	return closed
}

// confirm looks whether the wanted setting is loaded. Walsenders from before cannot be asked whether they have: they are
// ended, and come back with it.
func (p *protocol) confirm(ctx context.Context) error {
	before := p.getGens()

	loaded, err := p.loaded(ctx)
	if err != nil || loaded < before.wanted.conf {
		return err
	}

	return p.confirmLoaded(ctx, before)
}

// confirmLoaded takes note that the postmaster has loaded the setting that was wanted.
func (p *protocol) confirmLoaded(ctx context.Context, before generations) error {
	if before.wanted.gen <= before.loaded {
		return nil
	}

	var rows []senderRow

	err := p.work.Do(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
		if rows, err = listSenders(ctx, conn); err != nil {
			return err
		}

		_, err = conn.Exec(ctx, `SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_replication WHERE `+isMember)

		return err
	})
	if err != nil {
		return err
	}

	if len(rows) > 0 {
		p.wakeStandbys(ctx)
	}

	old := map[string]uint64{}
	for _, row := range rows {
		old[row.key] = before.loaded
	}

	p.mu.Lock()
	defer p.mu.Unlock()

	if p.gens.wanted != before.wanted {
		return nil // another came meanwhile
	}

	p.gens.loaded, p.gens.old = before.wanted.gen, old
	if p.gens.isWaiting && p.gens.wantsWaiting {
		p.gens.checkpointer = before.wanted.gen

		return nil
	}

	p.gens.isWaiting = false

	go p.checkpointed(before.wanted, before.wantsWaiting)

	return nil
}

// wakeStandbys writes a little log. A standby that comes back has nothing to tell until it gets some, or until its status interval
// of a second is over; commits whose log it had, but whose acknowledgement was lost with the walsender, would wait for that.
func (p *protocol) wakeStandbys(ctx context.Context) {
	// The observation that this is part of must not wait for a disk that stalls: the others would miss heartbeats.
	ctx, cancel := context.WithTimeout(ctx, wakeTimeout)
	defer cancel()

	err := p.work.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		var isStandby bool
		if err := conn.QueryRow(ctx, "SELECT pg_catalog.pg_is_in_recovery()").Scan(&isStandby); err != nil || isStandby {
			return err
		}

		return writeWake(ctx, conn)
	})
	if err != nil {
		p.r.log.Debug("the standbys tell what they have a second later", "error", err)
	}
}

// checkpointed proves the checkpointer: a checkpoint that was asked for after the reload is made by one that has loaded
// it. It is asked for until it succeeds, or the setting is another: without the proof the rule could never be changed.
func (p *protocol) checkpointed(g generation, isWaiting bool) {
	for p.getGens().wanted == g && p.r.server.IsUp() {
		err := p.checkpoint(p.life)
		if err == nil {
			p.proved(g, isWaiting)

			return
		}

		p.r.log.Warn("the checkpoint that proves a new setting failed; it is asked for again", "error", err)

		select {
		case <-p.r.clock.After(proofPause):
		case <-p.life.Done():
			return
		}
	}
}

func (p *protocol) proved(g generation, isWaiting bool) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.gens.wanted == g {
		p.gens.checkpointer, p.gens.isWaiting = g.gen, isWaiting
	}
}

// checkpoint has no limit of time: it takes as long as the disk needs, and a second one would not be faster.
func (p *protocol) checkpoint(ctx context.Context) error {
	conn, err := p.r.connectWhenUp(ctx, postgresDatabase)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is left to say

	// Limits that the Cluster sets for its clients, and that not every version has.
	_, err = conn.Exec(ctx, `SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout'`)
	if err != nil {
		return err
	}

	_, err = conn.Exec(ctx, "CHECKPOINT")

	return err
}
