package instance

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

const (
	// pausePatience is how long replay must have been paused; a person who pauses it has nothing to fear anyway.
	pausePatience = 2 * time.Second
	// pauseSpread lies between the restarts of replicas that all meet the same record at once: commits wait for one of them.
	pauseSpread = 10 * time.Second
)

// pauseWatch says when it is worth a look why replay is paused.
type pauseWatch struct{ since, looked time.Time }

// due, for the replica that is the n-th of the members.
func (w *pauseWatch) due(now time.Time, paused bool, n int) bool { //nolint:revive // a state, not a switch
	if !paused {
		*w = pauseWatch{}

		return false
	}

	if w.since.IsZero() {
		w.since = now
	}

	if now.Sub(w.since) < pausePatience+time.Duration(n)*pauseSpread || now.Sub(w.looked) < floorInterval {
		return false
	}

	w.looked = now

	return true
}

// tooLow are the parameters of which the primary had more, when it wrote what is to be replayed, than this server runs
// with. PostgreSQL notes the primary's values in the control file before it pauses replay over them.
func tooLow(control, running map[string]string) []string {
	var found []string

	for name, theirs := range control {
		wanted, err := strconv.ParseInt(theirs, 10, 64)
		if err != nil {
			continue
		}

		if has, err := strconv.ParseInt(running[name], 10, 64); err == nil && has < wanted {
			found = append(found, fmt.Sprintf("%s = %d, the primary's is %d", name, has, wanted))
		}
	}

	slices.Sort(found)

	return found
}

// lookAtPause restarts PostgreSQL where replay is paused since parameters are too low: it starts with the primary's
// values then, and nothing else makes it go on. Going on as it is would end it.
func (r *runner) lookAtPause(ctx context.Context, p *protocol) {
	health, err := r.monitor.Health(ctx)
	if err != nil || r.restartAsked() != "" {
		return
	}

	place := max(0, slices.Index(r.conf.Config().Members, r.opts.Instance))
	if !r.paused.due(r.clock.Now(), health.InRecovery && health.Paused, place) {
		return
	}

	control, err := r.programs.ControlData(ctx, r.layout.DataDir)
	if err != nil {
		r.log.Warn("the control file cannot be read", "error", err)

		return
	}

	running := map[string]string{}

	err = p.watch.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		var name, value string

		rows, err := conn.Query(ctx, "SELECT name, setting FROM pg_catalog.pg_settings")
		if err != nil {
			return err
		}

		_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error {
			running[name] = value

			return nil
		})

		return err
	})
	if err != nil {
		r.log.Warn("it is not known why replay is paused", "error", err)

		return
	}

	low := tooLow(control.Settings, running)
	if len(low) == 0 {
		return // somebody has paused it on purpose
	}

	why := "replay is paused, as a parameter is lower than the primary's: " + strings.Join(low, "; ")
	r.log.Warn("PostgreSQL is restarted", "why", why)

	if err := r.Restart(instanceapi.RestartRequest{Reason: why}); err != nil {
		r.log.Warn("PostgreSQL could not be restarted, and it is tried again", "error", err)
	}
}
