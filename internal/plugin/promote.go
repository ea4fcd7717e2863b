package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

const (
	// pollInterval between two looks at the Cluster.
	pollInterval = 200 * time.Millisecond
	// fitPatience is how long a member may take until it is fit to lead: what the operator has written of it is some seconds old, and
	// one that has just come back is in sync soon.
	fitPatience = 10 * time.Second
)

// Promotion is a wish to make a member the primary.
type Promotion struct {
	API     API
	Clock   clock.Clock
	Out     io.Writer
	Cluster types.NamespacedName
	Member  string
	// Nonce makes the request another than every one before.
	Nonce string
	// NoWait: ask, and do not follow.
	NoWait bool
	// Timeout of following.
	Timeout time.Duration
}

// Run asks for the switchover and follows it until the new primary leads and the old one follows.
func (p Promotion) Run(ctx context.Context) error {
	cluster, err := p.find(ctx)
	if err != nil {
		return err
	}

	if p.Member != "" && p.Member == cluster.Status.Primary {
		return p.say("%s is the primary already, in term %d. There is nothing to do.", p.Member, cluster.Status.Term)
	}

	request := p.Member + "/" + p.Nonce
	if err := p.API.Annotate(ctx, p.Cluster, naming.AnnotationSwitchover, request); err != nil {
		return fmt.Errorf("ask for the switchover: %w", err)
	}

	if p.NoWait {
		return p.say("Asked for a switchover from %s to %s. What becomes of it:\n  kubectl -n %s get pgc %s -o jsonpath='{.status.lastSwitchover}'",
			cluster.Status.Primary, p.Member, p.Cluster.Namespace, p.Cluster.Name)
	}

	f := &following{Promotion: p, steps: newSteps(p.Out, p.Clock), request: request, from: cluster.Status.Primary}
	f.step("asked for a switchover from %s to %s", f.from, p.Member)

	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()

	return f.run(ctx)
}

// find the Cluster, in which the member leads or could.
func (p Promotion) find(ctx context.Context) (*v1.Cluster, error) {
	for deadline := p.Clock.Now().Add(fitPatience); ; {
		cluster, err := find(ctx, p.API, p.Cluster)
		if err != nil || p.Member != "" && p.Member == cluster.Status.Primary {
			return cluster, err
		}

		if err := refusal(cluster, p.Member); err != nil {
			return nil, err
		}

		err = unfit(cluster, p.Member)
		if err == nil || p.Clock.Now().After(deadline) {
			return cluster, err
		}

		select {
		case <-p.Clock.After(pollInterval):
		case <-ctx.Done():
			return nil, err
		}
	}
}

func (p Promotion) say(format string, args ...any) error { return say(p.Out, format, args...) }

// refusal says why a switchover to the member cannot be asked for; nil if it can. The operator and the primary judge again
// when they do it.
func refusal(cluster *v1.Cluster, name string) error {
	status := cluster.Status
	on := "kubectl -n " + cluster.Namespace + " annotate pgc " + cluster.Name + " "

	switch {
	case cluster.DeletionTimestamp != nil:
		return fmt.Errorf("Cluster %s is being deleted", cluster.Name)
	case hibernated(cluster):
		return fmt.Errorf("Cluster %s is hibernated, no instance runs; wake it first: %s%s-", cluster.Name, on, naming.AnnotationHibernate)
	case paused(cluster):
		return fmt.Errorf("Cluster %s is paused, its operator does nothing; let it go on first: %s%s-", cluster.Name, on, naming.AnnotationPaused)
	case status.Primary == "":
		return fmt.Errorf("Cluster %s has no primary yet", cluster.Name)
	case memberOf(cluster, name) == nil:
		return fmt.Errorf("%s is no instance of Cluster %s, which has %s", name, cluster.Name, roster(status))
	case status.LastSwitchover != nil && status.LastSwitchover.Result == v1.SwitchoverInProgress:
		return fmt.Errorf("another switchover is under way, asked for by %s=%s", naming.AnnotationSwitchover, status.LastSwitchover.Request)
	default:
		return nil
	}
}

func memberOf(cluster *v1.Cluster, name string) *v1.MemberStatus {
	for i := range cluster.Status.Members {
		if member := &cluster.Status.Members[i]; member.Name == name {
			return member
		}
	}

	return nil
}

// unfit says why a member cannot take over without loss now; nil if it can.
func unfit(cluster *v1.Cluster, name string) error {
	member := memberOf(cluster, name)
	isSynchronous := isTrue(cluster, v1.ConditionSyncReplication)

	switch {
	case !member.Ready:
		return fmt.Errorf("%s is not ready: %s", member.Name, orElse(member.Message, orElse(member.State, "it has no pod")))
	case member.Streaming == nil:
		return fmt.Errorf("%s does not stream from %s", member.Name, cluster.Status.Primary)
	case isSynchronous && member.SyncState != "quorum" && member.SyncState != "sync":
		return fmt.Errorf("%s is not in sync (%s): its acknowledgement does not count yet; see kubectl caretaker status %s -n %s",
			member.Name, orElse(member.SyncState, "unknown"), cluster.Name, cluster.Namespace)
	default:
		return nil
	}
}

// roster are the members, the primary marked.
func roster(status v1.ClusterStatus) string {
	names := make([]string, 0, len(status.Members))

	for _, member := range status.Members {
		if member.Name == status.Primary {
			names = append(names, member.Name+" (the primary)")
		} else {
			names = append(names, member.Name)
		}
	}

	return list(names)
}

// following is a switchover that was asked for.
type following struct {
	Promotion
	*steps

	request, from string
	// states are the members' as last told.
	states map[string]string
}

func (f *following) run(ctx context.Context) error {
	for {
		cluster, err := f.API.Cluster(ctx, f.Cluster)
		if err == nil {
			done, err := f.look(cluster)
			if done || err != nil {
				return err
			}
		} else if ctx.Err() == nil {
			// The API server may be away for a moment: the switchover goes on without it.
			f.step("the Cluster cannot be read: %v", err)
		}

		select {
		case <-f.Clock.After(pollInterval):
		case <-ctx.Done():
			return f.gaveUp(ctx)
		}
	}
}

func (f *following) gaveUp(ctx context.Context) error {
	what := "stopped waiting"
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		what = "gave up waiting after " + f.Timeout.String()
	}

	return fmt.Errorf("%s; the request stays: kubectl caretaker status %s -n %s shows what becomes of it", what, f.Cluster.Name, f.Cluster.Namespace)
}

// look tells what has changed; done when the new primary leads and the old one follows it.
func (f *following) look(cluster *v1.Cluster) (done bool, err error) {
	last := cluster.Status.LastSwitchover
	if last == nil || last.Request != f.request {
		f.waiting(cluster)

		return false, nil
	}

	f.tellMembers(cluster)

	switch last.Result {
	case v1.SwitchoverRefused:
		return false, fmt.Errorf("refused: %s", last.Message)
	case v1.SwitchoverFailed:
		return false, fmt.Errorf("failed: %s; %s is the primary", last.Message, cluster.Status.Primary)
	case v1.SwitchoverInProgress:
		return false, nil
	case v1.SwitchoverCompleted:
	}

	f.step("%s leads, term %d, timeline %d", cluster.Status.Primary, cluster.Status.Term, cluster.Status.TimelineID)

	if cluster.Status.Primary != f.Member {
		return false, fmt.Errorf("%s leads, not %s, which had not all of %s's log in time; nothing is lost, and it can be asked for again",
			cluster.Status.Primary, f.Member, f.from)
	}

	if old := memberOf(cluster, f.from); old == nil || !old.Ready || old.Role != v1.RoleReplica {
		return false, nil
	}

	f.step("%s follows it; done", f.from)

	return true, nil
}

// waiting for the operator to begin.
func (f *following) waiting(cluster *v1.Cluster) {
	ready := condition(cluster, v1.ConditionReady)

	switch {
	case ready != nil && ready.Reason != v1.ReasonReady:
		f.step("the operator finishes something else first: %s", ready.Message)
	default:
		f.doubt()
	}
}

// tellMembers tells of the two whose roles change, each state once.
func (f *following) tellMembers(cluster *v1.Cluster) {
	if f.states == nil {
		f.states = map[string]string{f.from: "Running", f.Member: "Running"}
		f.step("the operator has told %s to hand over", f.from)
	}

	for _, member := range cluster.Status.Members {
		before, isConcerned := f.states[member.Name]
		now := strings.TrimSpace(member.State)

		if !isConcerned || now == "" || now == before {
			continue
		}

		f.states[member.Name] = now
		f.step("%s: %s", member.Name, orElse(member.Message, strings.ToLower(now)))
	}
}
