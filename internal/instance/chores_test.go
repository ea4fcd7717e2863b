package instance

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/caretaker-dev/caretaker/internal/instance/serverconf"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// labels is an API server that can be cut off.
type labels struct {
	mu    sync.Mutex
	isCut bool
	role  string
}

func (l *labels) SetRole(_ context.Context, role string) error {
	l.mu.Lock()
	defer l.mu.Unlock()

	if l.isCut {
		return errors.New("no route to host")
	}

	l.role = role

	return nil
}

func (l *labels) Role(context.Context) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()

	if l.isCut {
		return "", errors.New("no route to host")
	}

	return l.role, nil
}

func (l *labels) StripPrimary(context.Context, string) error { return nil }

func (l *labels) change(isCut bool, role string) {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.isCut, l.role = isCut, role
}

// A primary that lost its term while it could not reach the API server has lost its label to another. When it leads again,
// the label must come back: the read-write Service leads by it.
func TestLabelComesBack(t *testing.T) {
	t.Parallel()

	l := &labels{}
	r := &runner{clock: clock.RealClock{}, opts: Options{Log: slog.New(slog.DiscardHandler), Labels: l}}
	r.conf = newConfiguration(serverconf.Input{}, func() error { return nil })
	c := newChores(r, nil)

	go c.runLabels(t.Context())

	await := func(what string, is func() bool) {
		t.Helper()

		for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("not within 10 s: %s", what)
			}
		}
	}
	labelled := func(role string) func() bool {
		return func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			c.mu.Lock()
			defer c.mu.Unlock()

			return l.role == role && c.setRole == instanceapi.Role(role)
		}
	}

	c.label(instanceapi.RolePrimary)
	await("the pod is labelled", labelled("primary"))

	l.change(true, "") // another leads, and has taken the label off
	c.label(instanceapi.RoleReplica)
	c.label(instanceapi.RolePrimary)
	l.change(false, "")
	await("the pod is labelled again", labelled("primary"))
}

// An earlier primary's request to take the label off may be late: it then takes it off the one that leads now.
func TestLabelThatIsTakenOffComesBack(t *testing.T) {
	t.Parallel()

	now := clocktesting.NewFakeClock(time.Now())
	l := &labels{}
	r := &runner{clock: now, opts: Options{Log: slog.New(slog.DiscardHandler), Labels: l}}
	r.conf = newConfiguration(serverconf.Input{}, func() error { return nil })
	c := newChores(r, nil)

	go c.runLabels(t.Context())

	for _, role := range []instanceapi.Role{instanceapi.RolePrimary, instanceapi.RoleReplica} {
		c.label(role)

		for _, other := range []string{"", "primary", "replica"} {
			l.change(false, other)

			for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				now.Step(labelInterval)

				if found, err := l.Role(t.Context()); err == nil && found == string(role) {
					break
				}

				if time.Now().After(end) {
					t.Fatalf("the label stays %q, and is to be %q", other, role)
				}
			}
		}
	}
}
