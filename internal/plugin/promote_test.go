package plugin_test

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/plugin"
)

func TestPromoteRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		member string
		change func(*v1.Cluster)
		want   string
	}{
		"unknown":    {"shop-9", nil, "shop-9 is no instance of Cluster shop, which has shop-0 (the primary), shop-1 and shop-2"},
		"hibernated": {"shop-1", func(c *v1.Cluster) { c.Annotations[naming.AnnotationHibernate] = "on" }, "is hibernated"},
		"paused":     {"shop-1", func(c *v1.Cluster) { c.Annotations[naming.AnnotationPaused] = "true" }, "is paused"},
		"not ready": {"shop-1", func(c *v1.Cluster) {
			c.Status.Members[1].Ready, c.Status.Members[1].Message = false, "PostgreSQL is starting"
		}, "shop-1 is not ready: PostgreSQL is starting"},
		"not in sync":     {"shop-1", func(c *v1.Cluster) { c.Status.Members[1].SyncState = "async" }, "shop-1 is not in sync (async)"},
		"does not stream": {"shop-1", func(c *v1.Cluster) { c.Status.Members[1].Streaming = nil }, "shop-1 does not stream from shop-0"},
		"another under way": {"shop-1", func(c *v1.Cluster) {
			c.Status.LastSwitchover = &v1.SwitchoverStatus{Request: "shop-2/1", Result: v1.SwitchoverInProgress}
		}, "another switchover is under way"},
		"being made":    {"shop-1", func(c *v1.Cluster) { c.Status = v1.ClusterStatus{} }, "has no primary yet"},
		"being deleted": {"shop-1", func(c *v1.Cluster) { c.DeletionTimestamp = new(ago(0)) }, "is being deleted"},
	} {
		t.Run(name, func(t *testing.T) {
			f := whole()
			if test.change != nil {
				test.change(f.cluster)
			}

			err := promotion(f, test.member, &strings.Builder{}).Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}

			if f.annotated != nil {
				t.Errorf("it was asked for all the same: %v", f.annotated)
			}
		})
	}
}

func promotion(f *fake, member string, out *strings.Builder) plugin.Promotion {
	return plugin.Promotion{
		API: f, Clock: &stepping{FakeClock: testclock.NewFakeClock(now)}, Out: out, Cluster: key, Member: member, Nonce: "n1", Timeout: time.Minute,
	}
}

// stepping is a clock on which every wait is over at once, and has taken its time.
type stepping struct{ *testclock.FakeClock }

func (s *stepping) After(d time.Duration) <-chan time.Time {
	s.Step(d)
	done := make(chan time.Time, 1)
	done <- s.Now()

	return done
}

func TestPromoteThePrimary(t *testing.T) {
	f, out := whole(), &strings.Builder{}
	if err := promotion(f, "shop-0", out).Run(t.Context()); err != nil || f.annotated != nil {
		t.Errorf("got %v, asked for %v", err, f.annotated)
	}

	if want := "shop-0 is the primary already, in term 4. There is nothing to do.\n"; out.String() != want {
		t.Errorf("got %q", out)
	}
}

// TestPromoteWaitsForTheMember: what the operator has written of it is some seconds old.
func TestPromoteWaitsForTheMember(t *testing.T) {
	f, out := whole(), &strings.Builder{}
	f.cluster.Status.Members[1].SyncState = "async"
	f.react = script

	p := promotion(f, "shop-1", out)
	p.API = &soonInSync{fake: f}

	if err := p.Run(t.Context()); err != nil || f.annotated[naming.AnnotationSwitchover] != "shop-1/n1" {
		t.Errorf("got %v, asked for %v", err, f.annotated)
	}
}

// soonInSync has the operator write at the tenth look that shop-1 is.
type soonInSync struct {
	*fake

	asked int
}

func (s *soonInSync) Cluster(ctx context.Context, key types.NamespacedName) (*v1.Cluster, error) {
	if s.asked++; s.asked == 10 {
		s.cluster.Status.Members[1].SyncState = "quorum"
	}

	return s.fake.Cluster(ctx, key)
}

func TestPromoteNoWait(t *testing.T) {
	f, out := whole(), &strings.Builder{}
	p := promotion(f, "shop-1", out)
	p.NoWait = true

	if err := p.Run(t.Context()); err != nil || f.annotated[naming.AnnotationSwitchover] != "shop-1/n1" || f.looks > 0 {
		t.Errorf("got %v, asked for %v, %d looks", err, f.annotated, f.looks)
	}
}

// script of a switchover as the status shows it.
func script(look int, c *v1.Cluster) {
	s := &c.Status
	last := v1.SwitchoverStatus{Request: "shop-1/n1", From: "shop-0", Result: v1.SwitchoverInProgress}

	switch {
	case look <= 2:
		set(c, metav1.Condition{Type: v1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1.ReasonConfiguring, Message: "Configuring"})

		return
	case look <= 5:
		s.Members[0].Ready, s.Members[0].State, s.Members[0].Message = false, "Stopping", "another instance takes over"
	case look <= 8:
		s.Members[0].State, s.Members[0].Message = "Starting", "PostgreSQL is starting"
		s.Primary, s.Term, s.TimelineID = "shop-1", 5, 5
		last.Result, last.To = v1.SwitchoverCompleted, "shop-1"
		s.Members[1].Role = v1.RolePrimary
	default:
		s.Members[0].Ready, s.Members[0].Role, s.Members[0].State, s.Members[0].Message = true, v1.RoleReplica, "Running", ""
		last.Result, last.To = v1.SwitchoverCompleted, "shop-1"
	}

	s.LastSwitchover = &last
}

func TestPromote(t *testing.T) {
	f, out := whole(), &strings.Builder{}
	f.react = script

	if err := promotion(f, "shop-1", out).Run(t.Context()); err != nil {
		t.Fatal(err)
	}

	compare(t, "promote", out.String())
}

func TestPromoteThatEndsBadly(t *testing.T) {
	for name, test := range map[string]struct {
		result  v1.SwitchoverResult
		message string
		want    string
	}{
		"refused":   {v1.SwitchoverRefused, "shop-1 is not ready", "refused: shop-1 is not ready"},
		"failed":    {v1.SwitchoverFailed, "the primary has not handed over within 1m0s", "failed: the primary has not handed over within 1m0s; shop-0 is the primary"},
		"never":     {v1.SwitchoverInProgress, "", "gave up waiting"},
		"to others": {v1.SwitchoverCompleted, "", "shop-2 leads, not shop-1"},
	} {
		t.Run(name, func(t *testing.T) {
			f := whole()
			f.react = func(_ int, c *v1.Cluster) {
				c.Status.LastSwitchover = &v1.SwitchoverStatus{Request: "shop-1/n1", From: "shop-0", Result: test.result, Message: test.message}
				if test.result == v1.SwitchoverCompleted {
					c.Status.Primary = "shop-2"
				}
			}

			p := promotion(f, "shop-1", &strings.Builder{})
			p.Timeout = 50 * time.Millisecond

			if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
