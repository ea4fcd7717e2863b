package instance

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/caretaker-dev/caretaker/internal/ha"
	"github.com/caretaker-dev/caretaker/internal/instance/harunner"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// passProtocol is the main loop's round while the protocol decides: it looks after what runs, and says what goes on.
func (r *runner) passProtocol(ctx context.Context, p *protocol) {
	seen := p.driver.Snapshot()
	r.orphan.hear(r.clock.Now(), seen.Word)

	if seen.Phase == ha.Standby && r.conf.HasFloor() && r.clock.Since(r.floorLooked) > floorInterval {
		r.floorLooked = r.clock.Now()
		r.lookAtFloor(ctx)
	}

	if seen.Phase == ha.Standby {
		r.lookAtPause(ctx, p)
	}

	r.view.change(func(s *instanceapi.Status) {
		s.MemberID, s.Major, s.Version = string(seen.Self.ID), r.programs.Major, r.programs.Version
		s.Term = int64(seen.Term) //nolint:gosec // small

		if role := roleOf(seen); role != "" {
			s.Role = role
		}

		if seen.SystemID != "" {
			s.SystemID = seen.SystemID
		}
	})

	r.adoptIfNamed(ctx, p, seen)

	state, reason, message := r.protocolState(ctx, seen)
	if state == "" {
		return
	}

	was := r.view.get().State
	if r.view.say(state, reason, message) {
		r.log.Info("state changed", "state", state, "reason", reason, "message", message)
	}

	if state == instanceapi.StateRunning && was != state {
		r.chores.now()
	}
}

// adoptIfNamed begins a new term from this volume where a person has named it in a record that was lost.
func (r *runner) adoptIfNamed(ctx context.Context, p *protocol, seen harunner.Snapshot) {
	record := r.term.facts()
	if !record.Known || record.Spec.Term > 0 || record.Spec.Bootstrap != r.opts.Instance || roleOf(seen) == instanceapi.RolePrimary ||
		r.clock.Now().Before(r.retryAt) {
		return
	}

	control, err := r.programs.ControlData(ctx, r.layout.DataDir)
	if err != nil {
		r.log.Error("the control file cannot be read", "error", err)

		return
	}

	p.learn(control)

	facts := Facts{
		Instance: r.opts.Instance, PodUID: r.opts.PodUID, Member: string(seen.Self.ID),
		// As a standby's data: others may know of later terms, and this volume may have led an earlier one.
		Data: DataFacts{SystemID: strconv.FormatUint(control.SystemIdentifier, 10), IsStandby: true},
	}

	timeline := int64(control.Timeline)
	r.start(ctx, DoAdopt, func(ctx context.Context) error { return r.adopt(ctx, facts, timeline) })
}

func roleOf(s harunner.Snapshot) instanceapi.Role {
	switch s.Phase {
	case ha.Primary, ha.Establishing, ha.Gated, ha.Restarting:
		return instanceapi.RolePrimary
	case ha.Standby, ha.Starting, ha.Rewinding, ha.Cloning, ha.Promoting:
		return instanceapi.RoleReplica
	case ha.Idle, ha.Stopping, ha.Resigned, ha.Fencing, ha.Halted, ha.Gone:
		return ""
	default:
		return ""
	}
}

// protocolStarting is the state of an instance whose PostgreSQL does not run yet.
func (r *runner) protocolStarting(s harunner.Snapshot) (instanceapi.State, string, string) {
	if s.Phase != ha.Idle {
		return r.starting()
	}

	if facts := r.term.facts(); facts.Missing || facts.Known && facts.Spec.Term == 0 {
		return instanceapi.StateWaiting, "RecordMissing", "the ClusterTerm was lost: the primary writes it again, or a person names an instance to go on from"
	}

	return instanceapi.StateWaiting, "Undecided", "PostgreSQL is stopped; the record and the other instances are asked for its role"
}

// protocolState is the state in words; empty if an operation says it.
func (r *runner) protocolState(ctx context.Context, s harunner.Snapshot) (instanceapi.State, string, string) {
	state, reason, message := r.phaseState(ctx, s)
	if s.Dying.Deaths > 0 && state != instanceapi.StateFailed {
		return state, "KeepsDying", dyingMessage(s)
	}

	return state, reason, message
}

// dyingMessage is the same in all phases that such an instance goes through.
func dyingMessage(s harunner.Snapshot) string {
	why := "no other instance can lead without it"

	switch {
	case s.Dying.Inherited:
		why = "the primary before was given up for the same, so that it comes from the data or from clients"
	case s.Acks == 0:
		why = "no replica has all that was committed"
	}

	return fmt.Sprintf("PostgreSQL ended by itself %d times within ten minutes and is started again here, since %s; look at its log", s.Dying.Deaths, why)
}

func (r *runner) phaseState(ctx context.Context, s harunner.Snapshot) (instanceapi.State, string, string) {
	switch s.Phase {
	case ha.Primary, ha.Standby:
		if _, err := r.monitor.Health(ctx); err != nil {
			return instanceapi.StateRunning, "NotAnswering", notAnswering(err)
		}

		return r.protocolRunning(s)
	case ha.Idle, ha.Starting, ha.Restarting:
		if failing := r.protocolRuns().failing(); failing != "" {
			return instanceapi.StateFailed, "PostgreSQLFails", "PostgreSQL does not start, and is tried again: " + failing
		}

		return r.protocolStarting(s)
	case ha.Promoting, ha.Establishing:
		return instanceapi.StateStarting, "Promoting", fmt.Sprintf("taking over in term %d; clients wait until replicas have followed", s.Led)
	case ha.Gated:
		return instanceapi.StateStarting, "AwaitingReplicas", "clients wait until a replica has what was recovered"
	case ha.Stopping, ha.Resigned:
		return instanceapi.StateStopping, "HandingOver", "another instance takes over"
	case ha.Fencing:
		return instanceapi.StateStopping, "Fencing", "PostgreSQL is being stopped: this instance no longer leads"
	case ha.Halted:
		return instanceapi.StateFailed, string(s.Halted), haltMessage(s.Halted)
	case ha.Rewinding, ha.Cloning, ha.Gone:
		return "", "", ""
	default:
		return "", "", ""
	}
}

// protocolRunning is the state of a PostgreSQL that runs: what keeps a replica from following is said.
func (r *runner) protocolRunning(s harunner.Snapshot) (instanceapi.State, string, string) {
	if s.Phase != ha.Standby {
		return instanceapi.StateRunning, "", ""
	}

	if s.Diverged {
		return instanceapi.StateRunning, "Diverged", fmt.Sprintf("its log went on beyond where %s took over; it is rewound as soon as "+
			"%s is established", s.Leader.Name, s.Leader.Name)
	}

	if lost := r.isLost(); lost != "" {
		return instanceapi.StateRunning, "ReplicaLost", r.lostMessage(lost)
	}

	return instanceapi.StateRunning, "", ""
}

func haltMessage(reason ha.HaltReason) string {
	switch reason {
	case ha.RecordBehind:
		return "the ClusterTerm is older than what this volume knows: etcd was restored, or the record was made anew. " +
			"A person must decide which volume counts: see the page on how instances fail over"
	case ha.VolumeBehind:
		return "the ClusterTerm says that this volume led a term which it knows nothing of: the volume was restored. " +
			"Delete this instance's volume to have it copied anew"
	case ha.OtherDatabase:
		return "the data have another system identifier than the Cluster: they are another database's. " +
			"Delete this instance's volume to have it copied anew"
	default:
		return string(reason)
	}
}

// unready says why the instance does not serve in its phase; nil if PostgreSQL is to be asked. The kubelet forgives a few
// seconds, so that a failover does not wait for it.
func unready(seen harunner.Snapshot) error {
	if seen.Diverged {
		return errors.New("its log went on beyond where " + seen.Leader.Name + " took over")
	}

	if seen.Phase == ha.Primary || seen.Phase == ha.Standby {
		return nil
	}

	return fmt.Errorf("this instance is %s", strings.ToLower(seen.Phase.String()))
}

// tookOver keeps on the volume how this instance came to lead.
func (p *protocol) tookOver(a ha.AdmitClients) {
	now, took := p.r.clock.Now(), a.Took
	seen := instanceapi.Takeover{
		Term: int64(a.Term), TimelineID: int64(took.Tip.Timeline), From: took.From, Reason: took.Why, OpenedAt: now.UTC(), //nolint:gosec // small
	}

	// A pod that is stopped in order hands over too, as does a primary that is out of order, and nobody asked for that.
	if !ha.IsOwnRequest(took.Request) {
		seen.Request = took.Request
	}

	if n := len(took.Tip.History); n > 0 {
		seen.ForkLSN = postgres.LSN(took.Tip.History[n-1].End).String()
	}

	if took.Heard != 0 {
		seen.LastHeard = now.Add(took.Heard - p.r.opts.Boottime()).UTC()
	}

	p.r.log.Info("leads", "term", seen.Term, "from", seen.From, "why", seen.Reason, "timeline", seen.TimelineID, "fork", seen.ForkLSN)

	if err := p.r.rejoins.tookOver(seen); err != nil {
		p.r.log.Error("the evidence of the takeover cannot be kept", "error", err)
	}
}

// restartServer restarts PostgreSQL in place: its end is told as one that nobody asked for.
func (p *protocol) restartServer(ctx context.Context) {
	// It makes the stop itself short: the others are patient for three heartbeats.
	p.r.chores.checkpointBeforeStop(ctx, p.r.server.IsUp(), promoteTimeout/2)
	p.r.suspend(ctx)
	p.ordered.Store(true)

	if err := p.r.stopWithinUnclaimed(); err != nil {
		p.r.log.Error("PostgreSQL did not stop for a restart", "error", err)
	}
}
