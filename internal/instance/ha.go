package instance

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/ha"
	"github.com/caretaker-dev/caretaker/internal/instance/harunner"
	"github.com/caretaker-dev/caretaker/internal/instance/serverconf"
	"github.com/caretaker-dev/caretaker/internal/instance/term"
	"github.com/caretaker-dev/caretaker/internal/instance/watchdog"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/pgconn"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// errNotProtected is the answer while this instance takes no part in the protocol.
var errNotProtected = errors.New("this instance does not take part in failover (yet)")

// protocol carries out, for one PostgreSQL, what package ha decides. From its start on it alone starts, stops and
// promotes PostgreSQL; the main loop looks after what runs.
type protocol struct {
	r         *runner
	driver    *harunner.Driver
	transport *harunner.Transport
	// work is for operations, watch for the observation.
	work, watch *pgconn.Session
	life        context.Context //nolint:containedctx // of what reports back
	dog         *watchdog.Watchdog
	gone        chan struct{}
	goneOnce    sync.Once

	// ordered: the server's next end was asked for, and begins a restart in place.
	ordered atomic.Bool

	// telling keeps what the protocol is told of its settings in order: an older answer would stay.
	telling sync.Mutex

	mu sync.Mutex
	// failures of operations in a row, and why the last one did.
	failures int
	failure  string
	// ends is the claim on the end of the server that runs: who takes it tells of it.
	ends *atomic.Bool
	gens generations
	// unfinished is where what was received ends, if that is in the middle of a record that never came whole; or 0.
	unfinished postgres.LSN
	// systemID of the data.
	systemID string
	// conf numbers what was rendered.
	conf uint64
}

// bits of a run's number, so that it fits any JSON.
const runBits = 48

// startProtocol hands PostgreSQL over to the protocol.
func (r *runner) startProtocol(ctx context.Context, facts Facts) error {
	disk, found, err := harunner.LoadDisk(r.layout.StateDir)
	if err != nil {
		return err
	}

	if !found {
		disk = firstDisk(facts)
	}

	disk.Member = ha.MemberID(facts.Member)
	disk.Empty = !facts.Data.Present

	var seed [8]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return fmt.Errorf("number this run: %w", err)
	}

	run := binary.LittleEndian.Uint64(seed[:])>>(64-runBits) | 1
	local := pgconn.Local(r.layout.OwnSocketDir(), r.layout.PostgresPort, postgres.Superuser)
	p := &protocol{
		r: r, systemID: facts.Data.SystemID, work: pgconn.NewSession(local), watch: pgconn.NewSession(local), life: ctx, gone: make(chan struct{}),
	}
	if p.dog, err = watchdog.New(r.table, r.opts.Watchdog, r.opts.Env, r.clock, r.log.With("logger", "watchdog")); err != nil {
		return err
	}

	self := ha.Instance{ID: disk.Member, Name: r.opts.Instance}
	settings := r.protocolSettings(facts.Data.SystemID)
	p.transport = &harunner.Transport{
		Self:    func() ha.Instance { return p.driver.Snapshot().Self },
		Address: r.opts.Address, Resolve: r.opts.PeerStatus, TLS: r.tls.ReplicaConfig,
		Log: r.log.With("logger", "peers"),
	}
	p.transport.Start(ctx)
	p.driver = harunner.NewDriver(harunner.Options{
		Executor: p, Store: r.opts.Term, Transport: p.transport.Send, StateDir: r.layout.StateDir,
		Now: r.opts.Boottime, Clock: r.clock, Log: r.opts.Log.With("logger", "ha"),
		Recorded: func(record term.Record, err error) { r.term.take(record, err) },
		Changed:  r.wake,
		KillBy:   func(by time.Duration) { p.dog.Set(ctx, by) },
		Stopped:  func() { p.goneOnce.Do(func() { close(p.gone) }) },
	}, ha.New(self, r.opts.PodUID, run, disk, settings, r.opts.Boottime()))

	r.sessions = append(r.sessions, p.work, p.watch)
	r.conf.Set(func(in *serverconf.Input) { in.Member, in.Upstream = string(disk.Member), nil })
	r.setProtocol(p)
	r.term.setPassive()
	r.markRun(run)
	r.log.Info("takes part in failover", "member", disk.Member, "run", run, "led", disk.Led, "pledged", disk.Pledged, "empty", disk.Empty)

	go p.driver.Run(ctx)
	go p.observing(ctx)
	go p.watchEnded(ctx)

	return nil
}

// firstDisk is the state of a volume that never took part: by the record that it goes on from.
func firstDisk(facts Facts) ha.Disk {
	spec := facts.Record.Spec
	if spec.Primary == nil || spec.Primary.MemberID != facts.Member || !facts.Data.Present {
		return ha.Disk{}
	}

	t := uint64(spec.Term) //nolint:gosec // never negative

	return ha.Disk{Pledged: t, Led: t, Established: t, Opened: t}
}

// protocolSettings are the Cluster's wishes.
func (r *runner) protocolSettings(systemID string) ha.Settings {
	config := r.conf.Config()
	set := ha.Settings{SystemID: systemID, Timing: ha.DefaultTiming()}

	for _, member := range config.Members {
		if member != r.opts.Instance {
			set.Peers = append(set.Peers, member)
		}
	}

	// More than there are replicas for would stop every write for good.
	set.Acks, set.Preferred = min(config.HA.Acks, len(set.Peers)), config.HA.Preferred
	if millis := config.HA.HeartbeatMillis; millis > 0 {
		set.Timing.Heartbeat = time.Duration(millis) * time.Millisecond
	}

	if millis := config.HA.PromiseMillis; millis > 0 {
		set.Timing.Promise = time.Duration(millis) * time.Millisecond
	}

	return set
}

func (r *runner) setProtocol(p *protocol) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.ha = p
}

// protocolRuns is the protocol; nil while this instance takes no part.
func (r *runner) protocolRuns() *protocol {
	r.mu.Lock()
	defer r.mu.Unlock()

	return r.ha
}

// Message takes a message of another PID 1 over.
func (r *runner) Message(encoded []byte) error {
	envelope, message, err := harunner.Decode(encoded)
	if err != nil {
		return err
	}

	if envelope.To != r.opts.Instance {
		return fmt.Errorf("this is %s, the message is for %s", r.opts.Instance, envelope.To)
	}

	if p := r.protocolRuns(); p != nil {
		p.transport.Learn(envelope.From.Name, envelope.Address)
		p.driver.Post(ha.Received{From: envelope.From, Message: message})
	}

	return nil
}

// Switchover takes an order to hand over.
func (r *runner) Switchover(request instanceapi.SwitchoverRequest) error {
	p := r.protocolRuns()
	if p == nil {
		return errNotProtected
	}

	if phase := p.driver.Snapshot().Phase; phase != ha.Primary {
		return fmt.Errorf("this instance is not the primary: it is %s", phase)
	}

	go func() {
		// It makes the stop itself short.
		r.chores.checkpointBeforeStop(p.life, r.server.IsUp(), promoteTimeout/2)
		p.driver.Post(ha.Switchover{Request: request.Request, Target: ha.MemberID(request.Target)})
	}()

	return nil
}

// byHandGap is how far a term that a person's decision begins is above all that this volume knows of.
const byHandGap = 1000

// byHandWrites is the same for the number of the record's writes.
const byHandWrites = 1000 * byHandGap

// byHandTimelines is the same for timelines, each of which leaves a file.
const byHandTimelines = 16

// firstTerm is the term that a record of term 0 begins with: the one that it has pending, above all that volumes which were set
// aside know of, or else 1.
func firstTerm(spec postgresqlv1.ClusterTermSpec) uint64 {
	if spec.Term == 0 && spec.Pending != nil {
		return uint64(max(1, spec.Pending.Term))
	}

	return 1
}

// adopt makes the data on this volume the Cluster's. Those of a new Cluster begin the first term at once. Others may be
// a standby's, or of later terms than a record that was made anew: this member then elects itself, in a term and on a
// timeline that nobody had.
func (r *runner) adopt(ctx context.Context, facts Facts, timeline int64) error {
	disk, found, err := harunner.LoadDisk(r.layout.StateDir)
	if err != nil {
		return err
	}

	first := firstTerm(r.term.facts().Spec)

	isNew := !found && !facts.Data.IsStandby
	if isNew {
		// Before the record: a volume that knows less than the record would halt.
		disk = ha.Disk{Member: ha.MemberID(facts.Member), Pledged: first, Led: first, Established: first, Opened: first}
		if err := harunner.SaveDisk(r.layout.StateDir, disk); err != nil {
			return err
		}
	}

	return r.term.swap(ctx, func(spec *postgresqlv1.ClusterTermSpec) bool {
		if spec.Term != 0 || spec.Bootstrap != facts.Instance {
			return false
		}

		spec.Term, spec.Timeline, spec.SystemID, spec.Established = int64(first), timeline, facts.Data.SystemID, true //nolint:gosec // small
		spec.Pending = nil
		spec.Primary = &postgresqlv1.TermHolder{MemberID: facts.Member, Name: facts.Instance, PodUID: facts.PodUID}

		isFirst := disk.Led == first && disk.Pledged == first && disk.Seen == 0 && !facts.Data.IsStandby
		if !isNew && !isFirst {
			spec.Term = int64(max(disk.Pledged, disk.Led)) + byHandGap //nolint:gosec // small
			spec.Seq = int64(disk.Seen) + byHandWrites                 //nolint:gosec // it counts
			spec.Pending = &postgresqlv1.PendingTerm{Term: spec.Term + 1, Timeline: timeline + byHandTimelines}
		}

		return true
	})
}
