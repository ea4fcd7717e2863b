package harunner

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/ha"
	"github.com/caretaker-dev/caretaker/internal/instance/term"
)

const (
	tick        = 100 * time.Millisecond
	readTimeout = time.Second
	swapTimeout = 2 * time.Second
	eventBuffer = 1024
)

// ErrNotRunning says that an action has no server to be carried out on.
var ErrNotRunning = errors.New("PostgreSQL does not run")

// Executor carries out what concerns PostgreSQL and the pod, one action after the other. Its context ends when a Fence
// cuts the action off.
type Executor interface {
	// Do carries out an action with an Op and says how it ended.
	Do(ctx context.Context, action ha.Action) (ha.Done, error)
	// Apply carries out an action that reports nothing. It is called again after an error that is not ErrNotRunning.
	Apply(ctx context.Context, action ha.Action) error
}

// Options of a Driver.
type Options struct {
	Executor Executor
	Store    term.Store
	// Transport sends a message without waiting.
	Transport func(to string, message ha.Message)
	// StateDir on the volume.
	StateDir string
	// Now is CLOCK_BOOTTIME.
	Now   func() time.Duration
	Clock clock.WithTicker
	Log   *slog.Logger
	// Recorded is called with every live read and write.
	Recorded func(record term.Record, err error)
	// Changed is called when the phase, the term or the leader is another.
	Changed func()
	// KillBy is called with the watchdog's deadline before the actions of a step are carried out; 0 is none.
	KillBy func(by time.Duration)
	// Stopped is called when an orderly stop is complete.
	Stopped func()
}

// Snapshot is what others may know of the state.
type Snapshot struct {
	Self   ha.Instance
	Phase  ha.Phase
	Since  time.Duration
	Halted ha.HaltReason
	// Term of the record, and who leads by it; Led is the last term that this instance was promoted in.
	Term    uint64
	Led     uint64
	Primary ha.Holder
	Voters  []ha.MemberID
	Acks    int
	Pending bool
	Leader  ha.Leader
	// Word of a primary beside this instance.
	Word ha.Word
	// Names of the members that were heard of.
	Names map[ha.MemberID]string
	// SystemID of the record.
	SystemID  string
	Authority ha.Authority
	// Heartbeat interval.
	Heartbeat time.Duration
	// Contacts are when those that this instance has to hear were last heard, by name: the voters by a primary, the primary
	// by the others.
	Contacts map[string]time.Duration
	Counters Counters
	// Tip is the end of the own log, as it was last seen.
	Tip ha.Tip
	// Diverged: the log went on beyond where the leader took over.
	Diverged bool
	// Dying: PostgreSQL ends by itself again and again.
	Dying ha.Dying
}

// Driver owns the protocol's state.
type Driver struct {
	opts   Options
	state  ha.State
	events chan ha.Event
	view   atomic.Pointer[Snapshot]
	work   *worker
	saves  chan ha.Save
	record recordKeeper
	// counters and silent belong to the driver's goroutine.
	counters Counters
	silent   int
}

// NewDriver starts from a state of ha.New.
func NewDriver(opts Options, state ha.State) *Driver {
	d := &Driver{
		opts: opts, state: state, events: make(chan ha.Event, eventBuffer), saves: make(chan ha.Save, eventBuffer),
		record: recordKeeper{store: opts.Store},
	}
	d.work = newWorker(d)
	d.publish()

	return d
}

// Post brings an event in; it is dropped when the driver is far behind, as a lost message would be.
func (d *Driver) Post(in ha.Input) {
	select {
	case d.events <- ha.Event{At: d.opts.Now(), Input: in}:
	default:
		d.opts.Log.Warn("an event was dropped: the protocol is far behind")
	}
}

// MustPost brings an event in that must not be lost.
func (d *Driver) MustPost(ctx context.Context, in ha.Input) {
	select {
	case d.events <- ha.Event{At: d.opts.Now(), Input: in}:
	case <-ctx.Done():
	}
}

// Snapshot of the state.
func (d *Driver) Snapshot() Snapshot { return *d.view.Load() }

// Run steps the protocol until the context ends.
func (d *Driver) Run(ctx context.Context) {
	go d.work.run(ctx)
	go d.saving(ctx)

	ticker := d.opts.Clock.NewTicker(tick)
	defer ticker.Stop()

	d.step(ctx, ha.Event{At: d.opts.Now(), Input: ha.Tick{}})

	for {
		select {
		case event := <-d.events:
			// Time never stands still between events that waited.
			event.At = d.opts.Now()
			d.step(ctx, event)
		case <-ticker.C():
			d.step(ctx, ha.Event{At: d.opts.Now(), Input: ha.Tick{}})
		case <-ctx.Done():
			return
		}
	}
}

func (d *Driver) step(ctx context.Context, event ha.Event) {
	before, pledge := d.state.Phase, d.state.Pledge.Term

	next, actions := ha.Step(d.state, event)
	d.countActions(actions)
	d.state = next
	d.countState(pledge)
	d.opts.KillBy(next.KillBy())

	for _, action := range actions {
		d.act(ctx, action)
	}

	if d.state.Phase != before {
		d.opts.Log.Info("phase changed", "from", before.String(), "to", d.state.Phase.String(), "term", d.state.Disk.Led,
			"record", d.state.View.Record.String())
	}

	d.publish()
}

func (d *Driver) publish() {
	s := &d.state
	v := Snapshot{
		Self: s.Self, Phase: s.Phase, Since: s.Entered, Halted: s.Halted, Led: s.Disk.Led, Leader: s.Leader,
		Names: map[ha.MemberID]string{}, Contacts: d.contacts(), Counters: d.counters, Authority: s.Authority(), Word: s.Word(),
		Heartbeat: s.Settings.Timing.Heartbeat, Tip: s.Obs.Tip, Diverged: s.HasDiverged(), Dying: s.Dying(),
	}

	if r := s.View.Record; r != nil {
		v.Term, v.Primary, v.Voters, v.Acks, v.Pending, v.SystemID = r.Term, r.Primary, r.Voters, r.Acks, r.Pending != nil, r.SystemID
	}

	for _, p := range s.Peers {
		if p.ID != "" {
			v.Names[p.ID] = p.Name
		}
	}

	old := d.view.Swap(&v)
	if old != nil && (old.Phase != v.Phase || old.Term != v.Term || old.Leader.ID != v.Leader.ID || old.Halted != v.Halted) {
		d.opts.Changed()
	}
}

func (d *Driver) act(ctx context.Context, action ha.Action) {
	switch a := action.(type) {
	case ha.ReadRecord:
		go d.read(ctx)
	case ha.CompareAndSwap:
		d.opts.Log.Info("writing the record", "why", a.Why, "record", a.Record.String())
		go d.swap(ctx, a)
	case ha.Send:
		d.opts.Transport(a.To, a.Message)
	case ha.Save:
		d.saves <- a
	case ha.Notice:
		d.opts.Log.Info(a.Text, "phase", d.state.Phase.String())
	case ha.Stopped:
		d.opts.Stopped()
	case ha.Halt:
		if a.Reason != "" {
			d.opts.Log.Error("halted: a person must decide", "reason", a.Reason, "record", d.state.View.Record.String())
		}
	default:
		d.work.add(action)
	}
}

// saving writes the volume's state; what is superseded meanwhile is left out.
func (d *Driver) saving(ctx context.Context) {
	for {
		var last ha.Save

		select {
		case last = <-d.saves:
		case <-ctx.Done():
			return
		}

		for more := true; more; {
			select {
			case last = <-d.saves:
			default:
				more = false
			}
		}

		for ctx.Err() == nil {
			err := SaveDisk(d.opts.StateDir, last.Disk)
			if err == nil {
				d.MustPost(ctx, ha.Saved{N: last.N})

				break
			}

			d.opts.Log.Error("the protocol's state cannot be written", "error", err)

			select {
			case <-d.opts.Clock.After(readTimeout):
			case <-ctx.Done():
			}
		}
	}
}

func (d *Driver) read(ctx context.Context) {
	sent := d.opts.Now()

	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()

	record, err := d.record.get(ctx)
	d.opts.Recorded(record.Record, err)

	if err != nil && !errors.Is(err, term.ErrMissing) {
		d.Post(ha.RecordFailed{})

		return
	}

	d.Post(ha.RecordRead{Sent: sent, Version: record.Version, Record: record.known, Live: true})
}

func (d *Driver) swap(parent context.Context, a ha.CompareAndSwap) {
	ctx, cancel := context.WithTimeout(parent, swapTimeout)
	defer cancel()

	written, err := d.record.swap(ctx, a.Expect, a.Record)

	out := ha.Swapped{ID: a.ID, Version: written.Version}

	switch {
	case err == nil:
		d.opts.Recorded(written, nil)
	case errors.Is(err, term.ErrConflict):
		out.Outcome = ha.Conflict
	default:
		out.Outcome = ha.Unknown
	}

	if err != nil {
		d.opts.Log.Info("the record was not written", "why", a.Why, "error", err)
	}

	d.MustPost(parent, out)
}
