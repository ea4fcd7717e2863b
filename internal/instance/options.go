package instance

import (
	"context"
	"log/slog"
	"time"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/instance/layout"
	"github.com/caretaker-dev/caretaker/internal/instance/term"
)

// Options are what an instance runs with.
type Options struct {
	// Cluster, Instance (the pod's name) and PodUID are who we are.
	Cluster, Instance, PodUID string
	// BinaryVersion of this program.
	BinaryVersion string
	// OSUser is the name that our uid has in /etc/passwd.
	OSUser string
	// Path is where programs are looked for first, Env what they are given.
	Path string
	Env  []string

	Layout layout.Layout
	Clock  clock.WithTicker
	// Log is our own; ServerLog is for PostgreSQL's messages and may block.
	Log, ServerLog *slog.Logger

	// Term keeps the term record.
	Term term.Store
	// Labels labels the pod.
	Labels Labeler
	// Peer is where another member's PostgreSQL listens.
	Peer func(instance string) (host string, port int)
	// PeerStatus is the address of another member's status server; Address is our own as told to them, if that is not
	// what they find by name.
	PeerStatus func(instance string) string
	Address    string
	// Watchdog is the program, with its arguments, that runs watchdog.Run.
	Watchdog []string
	// Boottime is CLOCK_BOOTTIME.
	Boottime func() time.Duration
}

// Labeler says to Kubernetes what role this instance has.
type Labeler interface {
	// SetRole labels the own pod; it may be called again with the same role.
	SetRole(ctx context.Context, role string) error
	// StripPrimary makes the label of another pod that of a replica, if there is such a pod.
	StripPrimary(ctx context.Context, instance string) error
}
