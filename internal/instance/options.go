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

	// Snapshot is this volume's own mark if it was made of a snapshot, of the volume of another instance; empty if it was not.
	Snapshot string

	Layout layout.Layout
	Clock  clock.WithTicker
	// Log is our own; ServerLog is for PostgreSQL's messages and may block.
	Log, ServerLog *slog.Logger

	// Term keeps the term record.
	Term term.Store
	// Labels labels the pod.
	Labels Labeler
	// Terminations is what the kubelet says of other instances' containers, and TerminationLog the file that it copies into
	// its word on ours; empty for none.
	Terminations   Terminations
	TerminationLog string
	// Peer is where another member's PostgreSQL listens.
	Peer func(instance string) (host string, port int)
	// PeerStatus is the address of another member's status server; Address is our own as told to them, if that is not
	// what they find by name.
	PeerStatus func(instance string) string
	Address    string
	// Watchdog is the program, with its arguments, that runs watchdog.Run.
	Watchdog []string
	// ArchiveProgram is caretaker-archive, of which the archiver and backups are commands, and WALHelper the program that
	// PostgreSQL runs for each WAL segment.
	ArchiveProgram, WALHelper string
	// Boottime is CLOCK_BOOTTIME.
	Boottime func() time.Duration
}

// Terminations is what the kubelet says of containers that have ended.
type Terminations interface {
	// Terminations reads a pod live: its UID, and what its containers that have ended had written to their termination
	// logs.
	Terminations(ctx context.Context, instance string) (podUID string, messages []string, err error)
}

// Labeler says to Kubernetes what role this instance has.
type Labeler interface {
	// SetRole labels the own pod; it may be called again with the same role.
	SetRole(ctx context.Context, role string) error
	// Role reads the own pod's label; empty if there is none.
	Role(ctx context.Context) (string, error)
	// StripPrimary takes the label off another pod, if there is such a pod and it is labelled primary.
	StripPrimary(ctx context.Context, instance string) error
}
