package instance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caretaker-dev/caretaker/internal/ha"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

const (
	// replayPatience is how long replay may stand still before it is helped on.
	replayPatience = time.Second
	// parkedFor and parkedRounds are how long, and how often, the startup process must have looked for more in vain
	// before what was received and not replayed is the beginning of a record whose end never comes.
	parkedFor    = 300 * time.Millisecond
	parkedRounds = 3
)

// replaySample is what can be seen of replay at a moment.
type replaySample struct {
	now time.Duration
	// received is in bytes, and may end in the middle of a record; replayed is the end of a whole one.
	received, replayed postgres.LSN
	// isIdle: the startup process has found nothing more to replay, and sleeps until it looks again.
	isIdle bool
	// sleeps counts how often it has gone to sleep.
	sleeps uint64
}

// replayWatch decides, sample by sample, whether everything is replayed that ever can be.
type replayWatch struct {
	before postgres.LSN
	// moved is when replay was seen to move last.
	moved time.Duration
	// parked is since when it has been idle at this place, after that many sleeps; nil while it is not.
	parked *replaySample
}

// done: what is idle at the same place twice and has replayed all that was received is at the end. A primary that dies
// while it writes much leaves less than a whole record behind: then it must have looked for more several times.
func (w *replayWatch) done(s replaySample) bool {
	if s.replayed != w.before || w.moved == 0 {
		w.before, w.moved, w.parked = s.replayed, s.now, nil
	}

	if !s.isIdle {
		return false
	}

	if w.parked == nil {
		w.parked = &s

		return false
	}

	return s.replayed >= s.received ||
		s.now-w.parked.now >= parkedFor && s.sleeps >= w.parked.sleeps+parkedRounds
}

// stuck tells, once per replayPatience, that replay does not get on and is not at its end.
func (w *replayWatch) stuck(s replaySample) bool {
	if s.isIdle || s.now-w.moved < replayPatience {
		return false
	}

	w.moved = s.now

	return true
}

// sampleReplay asks for the sleeps first: an idle process with more of them has looked once more.
func (p *protocol) sampleReplay(ctx context.Context) (replaySample, error) {
	var pid int
	if err := p.query(ctx, `SELECT COALESCE(min(pid), 0) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'startup'`, &pid); err != nil {
		return replaySample{}, err
	}

	sleeps := voluntarySwitches(pid)

	var received, replayed, waits string
	if err := p.query(ctx, replayState, &received, &replayed, &waits); err != nil {
		return replaySample{}, err
	}

	in, err := postgres.ParseLSN(received)
	if err != nil {
		return replaySample{}, err
	}

	at, err := postgres.ParseLSN(replayed)

	return replaySample{
		now: p.r.opts.Boottime(), received: in, replayed: at, sleeps: sleeps,
		isIdle: waits == "RecoveryRetrieveRetryInterval" || waits == "RecoveryWalStream",
	}, err
}

// voluntarySwitches is how often a process has gone to sleep; 0 if that cannot be told.
func voluntarySwitches(pid int) uint64 {
	content, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0
	}

	for line := range strings.Lines(string(content)) {
		if count, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
			n, _ := strconv.ParseUint(strings.TrimSpace(count), 10, 64)

			return n
		}
	}

	return 0
}

const replayState = `SELECT COALESCE(pg_catalog.pg_last_wal_receive_lsn(), '0/0')::text,
       COALESCE(pg_catalog.pg_last_wal_replay_lsn(), '0/0')::text,
       COALESCE((SELECT wait_event FROM pg_catalog.pg_stat_activity WHERE backend_type = 'startup'), '')`

// waitReplayEnd waits until the startup process has replayed everything and looks for more. The end of the log is the end
// of what was replayed: every commit that was acknowledged is a whole record, and promotion goes on from there.
func (p *protocol) waitReplayEnd(ctx context.Context) (ha.Done, error) {
	var (
		watch replayWatch
		last  replaySample
	)

	err := p.poll(ctx, func(ctx context.Context) (done bool, err error) {
		if last, err = p.sampleReplay(ctx); err != nil {
			return false, err
		}

		if done = watch.done(last); done {
			return true, nil
		}

		return false, p.helpReplay(ctx, &watch, last)
	})
	if err != nil {
		return ha.Done{}, err
	}

	if last.replayed < last.received {
		p.r.log.Info("the log ends in the middle of a record that never came whole", "received", last.received, "replayed", last.replayed)
		p.setUnfinished(last.received)
	}

	tip, err := p.logEnd(uint64(last.replayed))

	return ha.Done{Tip: tip}, err
}

// helpReplay takes away what may hold replay back: a pause, and sessions that read what the log takes away. A Cluster
// without a primary does not wait for either.
func (p *protocol) helpReplay(ctx context.Context, watch *replayWatch, s replaySample) error {
	if !watch.stuck(s) {
		return nil
	}

	return p.work.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		var paused string
		if err := conn.QueryRow(ctx, "SELECT pg_catalog.pg_get_wal_replay_pause_state()").Scan(&paused); err != nil {
			return fmt.Errorf("ask whether replay is paused: %w", err)
		}

		if paused != "not paused" {
			p.r.log.Warn("replay is paused, and is waited for: it goes on", "state", paused)

			_, err := conn.Exec(ctx, "SELECT pg_catalog.pg_wal_replay_resume()")

			return err
		}

		left, err := terminateClients(ctx, conn)
		if left > 0 {
			p.r.log.Warn("replay stands still, and is waited for: sessions that may hold it back are ended", "sessions", left)
		}

		return err
	})
}

// terminateClients tells every session of a client to end, those of replication that are connected to a database and run SQL
// among them, and how many there were. Ours are those of the superuser that came by the socket and say so; a name alone anybody
// may choose.
func terminateClients(ctx context.Context, conn *pgx.Conn) (left int, err error) {
	err = conn.QueryRow(ctx, `SELECT count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity
		WHERE (backend_type = 'client backend' OR backend_type = 'walsender' AND datid IS NOT NULL) AND pid <> pg_catalog.pg_backend_pid()
		  AND NOT (application_name = 'caretaker' AND usename = $1 AND client_addr IS NULL)`, postgres.Superuser).Scan(&left)
	if err != nil {
		return 0, fmt.Errorf("end the sessions of clients: %w", err)
	}

	return left, nil
}
