package scenario

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/caretaker-dev/caretaker/test/chaos/fault"
	"github.com/caretaker-dev/caretaker/test/chaos/history"
	"github.com/caretaker-dev/caretaker/test/chaos/target"
	"github.com/caretaker-dev/caretaker/test/chaos/workload"
)

// The times of a run.
const (
	// StuckAfter is how long after healing a cluster that is not whole is called stuck.
	StuckAfter = 2 * time.Minute

	logLines  = 20000
	settle    = 1500 * time.Millisecond
	happenBy  = 10 * time.Second
	pollEvery = 100 * time.Millisecond
	interval  = 20 * time.Millisecond
	// The clients beside the one that ticks.
	appenders, registers = 3, 4
)

// Runner runs cases.
type Runner struct {
	// Artifacts is the folder that histories and verdicts go to.
	Artifacts string
	// Slack multiplies the times that a case allows: machines with other work to do are slow.
	Slack float64
	// KeepTables leaves the rows of each run in the database.
	KeepTables bool
	// Tell is given lines for people.
	Tell func(format string, a ...any)
}

// run is a case in progress.
type run struct {
	*Runner
	*target.Target

	c      Case
	result Result

	primary, victim *corev1.Pod
	workload        *workload.Workload
	fault           fault.Fault
	// client is the node on which the clients are.
	client string
	// backupEnded waits for the backup that is under way; nil if none is.
	backupEnded func(context.Context) error
}

// Run runs a case. An error means that it could not be run; what the case found is in the result.
func (r *Runner) Run(ctx context.Context, t *target.Target, c Case) (Result, error) {
	x := &run{Runner: r, Target: t, c: c}
	x.result = Result{Case: c.Name(), Began: time.Now(), Run: fmt.Sprintf("r%d", time.Now().UnixMicro())}

	err := x.execute(ctx)
	x.result.Took = time.Since(x.result.Began)

	if saving := WriteJSON(filepath.Join(x.folder(), "result.json"), x.result); err == nil {
		err = saving
	}

	if err != nil {
		return x.result, fmt.Errorf("%s: %w", c.Name(), err)
	}

	return x.result, nil
}

// Folder is where a result's history is.
func (r *Runner) Folder(result Result) string {
	return filepath.Join(r.Artifacts, strings.ReplaceAll(result.Case, "/", "_")+"-"+result.Run)
}

func (x *run) folder() string { return x.Folder(x.result) }

func (x *run) execute(ctx context.Context) error {
	if err := x.prepare(ctx); err != nil {
		return err
	}

	x.tellBeginning()

	narrating, stop := context.WithCancel(ctx)
	defer stop()

	go x.narrate(narrating)

	striking := x.strike(ctx)
	// Whatever happened: nothing stays broken.
	x.tell("the fault is over; waiting until every instance streams again")

	healing := x.heal(ctx)

	if err := errors.Join(striking, healing); err != nil {
		x.save(x.workload.Stop())

		return err
	}

	wholeAt, stuck := x.waitWhole(ctx)
	x.result.Whole = wholeAt

	if stuck != nil {
		x.result.violate("stuck: not whole %s after healing: %v", StuckAfter, stuck)
		x.dump(ctx)
	}

	x.tell("the cluster is whole")
	pause(ctx, settle)
	stop()

	ops := x.workload.Stop()
	x.save(ops)
	x.result.count(ops)

	if err := x.undoActivity(ctx); err != nil {
		return err
	}

	if term, err := x.Term(ctx); err == nil {
		x.result.TermAfter = term
	}

	x.judge(ctx, ops)

	if x.result.Passed() && !x.KeepTables {
		return x.workload.Drop(ctx)
	}

	return nil
}

// prepare waits for a whole cluster, chooses who is struck, and starts the clients.
func (x *run) prepare(ctx context.Context) error {
	if _, err := x.waitWhole(ctx); err != nil {
		return fmt.Errorf("not whole before anything was done: %w", err)
	}

	var err error

	if x.result.TermBefore, err = x.Term(ctx); err != nil {
		return err
	}

	if x.primary, err = x.Primary(ctx); err != nil {
		return err
	}

	x.victim = x.primary

	if x.c.Victim == Replica {
		replicas, err := x.Replicas(ctx)
		if err != nil {
			return err
		}

		if len(replicas) == 0 {
			return errors.New("there is no replica to strike")
		}

		x.victim = &replicas[len(replicas)-1]
	}

	return x.startClients(ctx)
}

// startClients on a node that is not struck, and preferably not the primary's; and two on the victim's node, which stay with the victim.
func (x *run) startClients(ctx context.Context) error {
	if x.Nodes != nil {
		x.client = x.Nodes.Other(x.victim.Spec.NodeName, x.primary.Spec.NodeName)
		if x.client == "" {
			x.client = x.Nodes.Other(x.victim.Spec.NodeName)
		}
	}

	endpoint, err := x.Endpoint(ctx, x.client)
	if err != nil {
		return err
	}

	config := workload.Config{
		Endpoint: endpoint, Run: x.result.Run, Interval: interval, Appenders: appenders, Registers: registers,
	}

	if x.c.Alone {
		config.Appenders, config.Registers = 1, 0
	}

	if x.Nodes != nil && (!x.c.Alone || x.c.Fault == "cut-all") {
		pinned, err := x.Direct(x.primary, x.primary.Spec.NodeName)
		if err != nil {
			return err
		}

		config.Pinned = &pinned
	}

	// A Service may lag a little behind a label.
	var last error

	// The clients outlive the wait, so its own context is not for them.
	_ = wait.PollUntilContextTimeout(ctx, pollEvery, 10*time.Second, true, func(context.Context) (bool, error) {
		x.workload, last = workload.Start(ctx, config)

		return last == nil, nil
	})

	if last != nil {
		return fmt.Errorf("clients cannot write before anything was done: %w", last)
	}

	pause(ctx, settle)

	return nil
}

// strike begins the activity, injects the fault, and lets it last.
func (x *run) strike(ctx context.Context) error {
	// The gap may be the activity's as well.
	x.result.FaultAt = x.workload.Now()

	if err := x.beginActivity(ctx); err != nil {
		return err
	}

	x.tellFault()

	injected, err := fault.Inject(ctx, x.c.Fault, fault.Victim{Target: x.Target, Pod: x.victim})
	x.fault = injected

	if err != nil {
		return err
	}

	var not error

	_ = wait.PollUntilContextTimeout(ctx, pollEvery, happenBy, true, func(ctx context.Context) (bool, error) {
		not = injected.Happened(ctx)

		return not == nil, nil
	})

	if not != nil {
		x.result.violate("the run does not count: %v", not)
	}

	x.hold(ctx)

	return nil
}

// hold lets the fault last; where a failover is expected, until clients write again, so that it is not the healing that helped.
func (x *run) hold(ctx context.Context) {
	left := x.c.Hold - (x.workload.Now() - x.result.FaultAt)
	pause(ctx, left)

	limit := x.limit() - x.c.Hold
	if x.c.Expect != Failover || limit <= 0 {
		return
	}

	_ = wait.PollUntilContextTimeout(ctx, pollEvery, limit, true, func(context.Context) (bool, error) {
		return x.acknowledgedSince(x.workload.Now() - time.Second), nil
	})
}

func (x *run) acknowledgedSince(since time.Duration) bool {
	ops := x.workload.Ops()
	for i := len(ops) - 1; i >= 0 && ops[i].Complete > since; i-- {
		if ops[i].Client == 0 && ops[i].Outcome == history.OK {
			return true
		}
	}

	return false
}

func (x *run) heal(ctx context.Context) error {
	if x.fault.Heal == nil {
		return nil
	}

	// Also when the run was interrupted.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), StuckAfter)
	defer cancel()

	if err := x.fault.Heal(ctx); err != nil {
		return fmt.Errorf("heal: %w", err)
	}

	return nil
}

// limit is how long a gap may be here.
func (x *run) limit() time.Duration {
	return time.Duration(float64(x.c.Max) * max(x.Slack, 1))
}

// waitWhole waits until the cluster is whole, and stays so for a moment.
func (x *run) waitWhole(ctx context.Context) (time.Duration, error) {
	var (
		last  = errors.New("no answer")
		began = time.Now()
		since time.Time
	)

	err := wait.PollUntilContextTimeout(ctx, pollEvery, StuckAfter, true, func(ctx context.Context) (bool, error) {
		err := x.Whole(ctx)
		if err == nil || ctx.Err() == nil { // one that was cut short says nothing
			last = err
		}

		switch {
		case err != nil:
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		}

		return err == nil && time.Since(since) > time.Second, nil
	})
	if err != nil {
		return time.Since(began), last
	}

	return since.Sub(began), nil
}

func (x *run) save(ops []history.Op) {
	if err := history.Save(filepath.Join(x.folder(), "history.jsonl"), ops); err != nil {
		x.result.violate("%v", err)
	}
}

// dump keeps what a reader of a failure wants to see.
func (x *run) dump(ctx context.Context) {
	files := map[string]string{"cluster.txt": x.Describe(ctx, x.Namespace)}

	pods, _ := x.Pods(ctx)
	for _, pod := range pods {
		files[pod.Name+".log"] = x.Log(ctx, pod, x.Container, logLines)
	}

	for name, content := range files {
		if err := WriteText(filepath.Join(x.folder(), name), content); err != nil {
			x.result.violate("%v", err)
		}
	}
}

func pause(ctx context.Context, duration time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(duration):
	}
}
