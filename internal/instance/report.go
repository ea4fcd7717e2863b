package instance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caretaker-dev/caretaker/internal/instance/monitor"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/pgconn"
)

// beatLimit is how long the main loop may take for one round before PID 1 counts as stuck.
const beatLimit = 20 * time.Second

// stateOf is the state that a step puts the instance in; empty if a job or the protocol says it.
func stateOf(step Step) instanceapi.State {
	switch step.Do {
	case DoWait:
		return instanceapi.StateWaiting
	case DoFail:
		return instanceapi.StateFailed
	case DoAdopt:
		return instanceapi.StateStarting
	case DoBootstrap, DoTakePart:
		return ""
	default:
		return ""
	}
}

// reportStep makes a decision visible, and logs it when it is new.
func (r *runner) reportStep(facts Facts, step Step) {
	r.view.change(func(s *instanceapi.Status) {
		s.MemberID, s.Major, s.Term = facts.Member, facts.ImageMajor, facts.Record.Spec.Term
		if r.programs != nil {
			s.Version = r.programs.Version
		}

		if facts.Data.SystemID != "" {
			s.SystemID = facts.Data.SystemID
		}
	})

	state, reason, message := stateOf(step), step.Reason, step.Message
	if state == instanceapi.StateStarting {
		message = "PostgreSQL is starting"
	}

	if state == "" {
		return
	}

	if r.view.say(state, reason, message) {
		r.log.Info("state changed", "state", state, "reason", reason, "message", message)
	}
}

// lostMessage says what becomes of a replica that cannot go on from its data.
func (r *runner) lostMessage(why string) string {
	now := r.clock.Now()

	at := r.rejoins.mayDiscard(now)
	if !at.After(now) {
		return why + "; it is copied anew"
	}

	return fmt.Sprintf("%s; it was copied anew %d times within the hour, so that waits until %s: find out what is wrong, "+
		"or delete this instance's pod and volume to have it copied now", why, recloneBudget, at.UTC().Format("15:04 MST"))
}

// notAnswering says of a PostgreSQL that runs why it could not be asked.
func notAnswering(err error) string { return "PostgreSQL cannot be asked: " + pgconn.Reason(err) }

// starting is the state of a PostgreSQL that does not accept connections yet. One that takes longer than it should is
// left alone: crash recovery would begin again from its start.
func (r *runner) starting() (state instanceapi.State, reason, message string) {
	limit := time.Duration(r.conf.Config().StartTimeout) * time.Second
	if limit > 0 && r.server.IsUp() && r.clock.Since(r.server.Started()) > limit {
		return instanceapi.StateStarting, "SlowStart", fmt.Sprintf("PostgreSQL does not accept connections after %s "+
			"(startDelay): it is recovering, or waits for WAL; its log says more", limit)
	}

	return instanceapi.StateStarting, "", "PostgreSQL is starting"
}

// serves says whether PostgreSQL runs as a server of the Cluster, and not only to make its data.
func (r *runner) serves() bool { return r.server.IsUp() && r.view.get().Role != "" }

// Ready says why no client should be sent to this instance; nil if clients may come.
func (r *runner) Ready(ctx context.Context) error {
	if err := r.healthy(ctx); !errors.Is(err, errOrphaned) {
		return err
	}

	return nil
}

// healthy says why the instance does not serve as its role should; nil if it does.
func (r *runner) healthy(ctx context.Context) error {
	status := r.view.get()

	switch {
	case r.view.isStopping():
		return errors.New("PostgreSQL is being stopped")
	case r.restartAsked() != "":
		return errors.New("PostgreSQL is being restarted")
	case !r.serves():
		return fmt.Errorf("%s %s: %s", status.State, status.Reason, status.Message)
	}

	if p := r.protocolRuns(); p != nil {
		if err := unready(p.driver.Snapshot()); err != nil {
			return err
		}
	}

	health, err := r.monitor.Health(ctx)

	switch {
	case err != nil:
		return errors.New(notAnswering(err))
	case status.Role == instanceapi.RolePrimary && health.InRecovery:
		return errors.New("this primary is in recovery")
	case status.Role == instanceapi.RoleReplica && !health.InRecovery:
		return errors.New("this replica is not in recovery")
	case status.Role == instanceapi.RoleReplica && !health.Streaming:
		return r.notStreaming()
	case status.Role == instanceapi.RoleReplica:
		return r.notReplaying(health)
	default:
		return nil
	}
}

// stuckAfter is how long replay may stand still while there is something to replay: longer than a query may hold it up by
// default (max_standby_streaming_delay).
const stuckAfter = time.Minute

// notReplaying says why a replica that streams falls behind all the same.
func (r *runner) notReplaying(health monitor.Health) error {
	since := r.monitor.Stuck()
	if since.IsZero() || r.clock.Since(since) < stuckAfter {
		return nil
	}

	at := since.UTC().Format("15:04:05 MST")
	if health.Paused {
		return fmt.Errorf("this replica receives WAL but has replayed none since %s: replay is paused, by pg_wal_replay_pause() or "+
			"since a parameter is lower here than on the primary (its log says which): resume it by pg_wal_replay_resume()", at)
	}

	return fmt.Errorf("this replica receives WAL but has replayed none since %s: a query on it may hold replay up "+
		"(pg_stat_activity shows it), or its disk is slow", at)
}

// notStreaming says how a replica stands that receives nothing: why it must not serve reads, or errOrphaned, or nil while
// that may pass within a moment.
func (r *runner) notStreaming() error {
	_, streamed := r.monitor.Streaming()

	judged := r.orphan.judge(r.clock.Now(), streamed)
	if judged == verdictWait {
		return nil
	}

	if lost := r.isLost(); lost != "" {
		return errors.New(lost)
	}

	switch judged {
	case verdictServe:
		return errOrphaned
	case verdictIsolated:
		return errors.New("this replica reaches neither the primary, nor another instance, nor the API server")
	case verdictWait, verdictBehind:
	}

	r.mu.Lock()
	defer r.mu.Unlock()

	if r.unconnected != "" {
		return errors.New("this replica does not stream from the primary: " + r.unconnected)
	}

	return errors.New("this replica does not stream from the primary")
}

// Alive says why PID 1 itself counts as stuck; nil if it does not. It says nothing of PostgreSQL: killing PID 1 would
// not help it.
func (r *runner) Alive() error {
	if r.view.isStopping() {
		return nil
	}

	if age := r.clock.Since(r.view.lastBeat()); age > beatLimit {
		return fmt.Errorf("the main loop has not come round for %s", age.Round(time.Second))
	}

	return nil
}

// Status is everything that the operator asks.
func (r *runner) Status(ctx context.Context) instanceapi.Status {
	status := r.view.get()
	status.Now = r.clock.Now()
	status.ConfigHash, status.PendingRestart = r.conf.Applied()
	status.Archiving, status.ArchiveRun = r.archiving.report(), r.archiving.ran()
	status.Copies = r.copying.report()
	status.Disk, status.Protocol = r.space.disk(), r.protocolStatus()

	kept := r.rejoins.get()
	status.Rejoin, status.Takeover, status.Rewinds, status.Reclones = kept.Last, kept.Takeover, kept.Rewinds, kept.Reclones

	if err := r.healthy(ctx); err != nil {
		if status.Message == "" && status.State == instanceapi.StateRunning {
			status.Message = err.Error()
		}
	} else {
		status.Ready = true
	}

	if !r.serves() {
		status.PendingRestart = nil

		return status
	}

	if health, err := r.monitor.Health(ctx); err == nil {
		started := health.Started
		status.StartedAt, status.SystemID, status.TimelineID = &started, health.SystemID, health.Timeline
	}

	if since, _ := r.monitor.Streaming(); !since.IsZero() && status.Role == instanceapi.RoleReplica {
		status.Streaming = &since
	}

	details, err := r.monitor.Details(ctx, status.Major, r.applicationNames())
	if err != nil {
		return status
	}

	status.ConfigErrors = details.Errors
	status.PendingRestart = append(details.Pending, status.PendingRestart...)

	status.Log = &details.Log
	if status.Role == instanceapi.RolePrimary {
		status.Replicas = details.Replicas
	}

	if status.Protocol != nil {
		status.Protocol.SyncWaiters = details.SyncWaiters
	}

	return status
}

// applicationNames are the members by the names that their replication connections show.
func (r *runner) applicationNames() map[string]string {
	names := map[string]string{}
	for _, member := range r.conf.Config().Members {
		names[member] = member
	}

	if p := r.protocolRuns(); p != nil {
		for id, name := range p.driver.Snapshot().Names {
			names[string(id)] = name
		}
	}

	return names
}

// PutConfig takes a configuration over.
func (r *runner) PutConfig(encoded []byte) error {
	before := r.conf.Hash()

	err := r.conf.Put(encoded, r.serves())
	if r.conf.Hash() != before {
		// What did not work before may work now.
		r.mu.Lock()
		r.retryNow = true
		r.mu.Unlock()
	}

	if p := r.protocolRuns(); p != nil {
		p.configured()
	}

	r.chores.now()
	r.archiving.now()
	r.copying.now()
	r.wake()

	return err
}

// Restart takes an order to restart; from then on the instance is not ready. An order that comes while PostgreSQL is not
// running, or is being restarted, has nothing to do.
func (r *runner) Restart(request instanceapi.RestartRequest) error {
	if !r.serves() {
		return errors.New("PostgreSQL is not running")
	}

	if r.restartAsked() != "" {
		return errors.New("PostgreSQL is being restarted already")
	}

	reason := request.Reason
	if reason == "" {
		reason = "asked for"
	}

	r.view.say(instanceapi.StateStopping, "", "PostgreSQL is being restarted: "+reason)
	r.setRestart(reason)
	r.wake()

	if p := r.protocolRuns(); p != nil {
		go p.restartServer(p.life)
	}

	return nil
}
