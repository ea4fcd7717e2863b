package instance

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/instance/exposure"
	"github.com/caretaker-dev/caretaker/internal/instance/process"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/pgconn"
	"github.com/caretaker-dev/caretaker/internal/postgres"
	"github.com/caretaker-dev/caretaker/internal/walclient"
)

const (
	// archiverLook is how often the archiver is asked how it goes.
	archiverLook = 2 * time.Second
	// archiverPatience with its answer.
	archiverPatience = time.Second
	// archiverPause before one that ended is started again, growing with each.
	archiverPause, archiverMaxPause = time.Second, 30 * time.Second
	// archiverParallel is how many transfers run at a time where nothing else is asked for: each needs memory for two and a half
	// segments, which is PostgreSQL's. archiverMemory is a soft limit to what its collector leaves lying about.
	archiverParallel = 2
	archiverMemory   = "GOMEMLIMIT=96MiB"
	// archiverStop is how long it may take to end.
	archiverStop = 5 * time.Second
)

// archiving looks after what this instance has to do with the archive. PID 1 itself never talks to a store: WAL goes through
// the archiver, a process that lives as long as PID 1 does, and backups are processes of their own. Nothing of PID 1 waits for
// any of them.
type archiving struct {
	r       *runner
	log     *slog.Logger
	session *pgconn.Session
	kick    chan struct{}

	// child and what it was started with belong to run.
	child   *process.Child
	with    []byte
	since   time.Time
	retryAt time.Time
	fails   int

	mu sync.Mutex
	// work ends when PID 1 begins to stop.
	work context.Context //nolint:containedctx // of tasks, which outlive the request that orders them
	// status of the archiver; nil while it has not answered.
	status *archiveapi.Status
	// down is since when the archiver has not answered, and why.
	down     time.Time
	downWhy  string
	lastFail instanceapi.Archiving
	task     *instanceapi.ArchiveRun
	switched string
	// tracker knows of the changes of a server that leads, archived is up to where the archive has all.
	tracker  exposure.Tracker
	leads    bool
	archived postgres.LSN
}

func newArchiving(r *runner, session *pgconn.Session) *archiving {
	return &archiving{r: r, session: session, log: r.opts.Log.With("logger", "archiving"), kick: make(chan struct{}, 1)}
}

// now has the configuration looked at.
func (a *archiving) now() {
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// run supervises the archiver until life ends; tasks end with work.
func (a *archiving) run(work, life context.Context) {
	a.mu.Lock()
	a.work = work
	a.mu.Unlock()

	for life.Err() == nil {
		a.pass(life)

		var ended <-chan struct{}
		if a.child != nil {
			ended = a.child.Done()
		}

		select {
		case <-a.kick:
		case <-ended:
		case <-a.r.clock.After(archiverLook):
		case <-life.Done():
		}
	}

	a.stopChild()
}

func (a *archiving) pass(ctx context.Context) {
	wanted, err := a.archiverConfig()
	if err != nil {
		a.isDown(err)

		return
	}

	if a.child != nil && a.child.HasEnded() {
		exit := a.child.Exit()
		a.child = nil
		a.fails++
		a.retryAt = a.r.clock.Now().Add(min(archiverPause<<min(a.fails-1, 10), archiverMaxPause))
		a.isDown(fmt.Errorf("the archiver ended: %s", exit))
		a.log.Error("the archiver ended and is started again", "how", exit.String())
	}

	if a.child != nil && !bytes.Equal(a.with, wanted) {
		a.stopChild()
		a.retryAt = time.Time{}
	}

	if wanted == nil {
		a.forget()

		return
	}

	if a.child == nil {
		if a.r.clock.Now().Before(a.retryAt) {
			return
		}

		if err := a.startChild(wanted); err != nil { //nolint:contextcheck // the child, and what it says, outlive the pass
			a.fails++
			a.retryAt = a.r.clock.Now().Add(archiverMaxPause)
			a.isDown(err)

			return
		}
	}

	a.ask(ctx)
	a.noteExposure(ctx)
}

// archiverConfig is what the archiver is to be started with; nil for none. Its Sources are for recovery only: a replica streams
// or is copied, see ADR 0080.
func (a *archiving) archiverConfig() ([]byte, error) {
	config := a.r.conf.Config()
	l := a.r.layout
	wanted := archiveapi.Config{Socket: l.ArchiverSocket(), DataDir: l.DataDir, SpoolDir: l.SpoolDir()}

	if config.Archive != nil {
		own, err := a.target(*config.Archive, "own")
		if err != nil {
			return nil, fmt.Errorf("spec.backup: %w", err)
		}

		wanted.Archive, wanted.MaxParallel = &own, cmp.Or(config.Archive.WALParallel, archiverParallel)
	}

	if recovery := config.Bootstrap.Recovery; recovery != nil && recovery.Archive.URL != "" {
		from, err := a.target(recovery.Archive, "recovery")
		if err != nil {
			return nil, fmt.Errorf("spec.bootstrap.recovery: %w", err)
		}

		wanted.Sources = []archiveapi.Target{from}
	}

	if wanted.Archive == nil && len(wanted.Sources) == 0 {
		return nil, nil
	}

	return json.MarshalIndent(wanted, "", "  ")
}

func (a *archiving) startChild(config []byte) error {
	file := filepath.Join(a.r.layout.RunDir, "archiver.json")
	if err := volume.WriteFile(file, config, 0o600); err != nil {
		return err
	}

	output, _, err := process.Lines(func(line string) { a.pass2log(line) })
	if err != nil {
		return err
	}
	defer output.Close() //nolint:errcheck // the child has it

	// Fencing kills what may acknowledge commits; the archiver only copies what is on the volume.
	child, err := a.r.table.Start(process.Command{
		Path: a.r.opts.ArchiveProgram, Args: []string{"archiver", "--config", file}, Env: append(slices.Clone(a.r.opts.Env), archiverMemory),
		Stdout: output, Stderr: output, Group: true, Spare: true,
	})
	if err != nil {
		return err
	}

	a.child, a.with, a.since = child, config, a.r.clock.Now()
	a.log.Info("started the archiver")

	return nil
}

// pass2log passes a line of a child on. Its own machinery is JSON already.
func (a *archiving) pass2log(line string) {
	var entry struct {
		Level string `json:"level"`
		Msg   string `json:"msg"`
		Error string `json:"error"`
	}

	if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Msg == "" {
		a.log.Info(line)

		return
	}

	level := slog.LevelInfo
	_ = level.UnmarshalText([]byte(entry.Level)) // info if it is none

	if entry.Error != "" {
		entry.Msg += ": " + entry.Error
	}

	a.log.Log(context.Background(), level, entry.Msg)
}

func (a *archiving) stopChild() {
	if a.child == nil {
		return
	}

	_ = a.child.Signal(sigTerm)

	select {
	case <-a.child.Done():
	case <-a.r.clock.After(archiverStop):
		_ = a.child.Signal(sigKill)
		<-a.child.Done()
	}

	a.child, a.with = nil, nil
}

func (a *archiving) ask(ctx context.Context) {
	answer, err := walclient.Client{Socket: a.r.layout.ArchiverSocket(), Patience: archiverPatience}.Status(ctx)
	if err != nil {
		// One that has just been started is not down yet.
		if a.r.clock.Since(a.since) > archiverStop {
			a.isDown(fmt.Errorf("the archiver does not answer: %w", err))
		}

		return
	}

	var status archiveapi.Status
	if err := json.Unmarshal(answer, &status); err != nil {
		a.isDown(fmt.Errorf("the archiver's status cannot be read: %w", err))

		return
	}

	a.fails = 0

	a.mu.Lock()
	defer a.mu.Unlock()

	a.status, a.down, a.downWhy = &status, time.Time{}, ""
}

func (a *archiving) isDown(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()

	if a.down.IsZero() {
		a.down = a.r.clock.Now()
	}

	a.downWhy = err.Error()
}

func (a *archiving) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()

	a.status, a.down, a.downWhy, a.lastFail = nil, time.Time{}, "", instanceapi.Archiving{}
	a.leads, a.archived = false, 0
	a.tracker.Forget()
}

// report is how archiving goes; nil if there is no archive, or if it is not known yet.
func (a *archiving) report() *instanceapi.Archiving {
	config := a.r.conf.Config().Archive
	if config == nil {
		return nil
	}

	a.mu.Lock()
	defer a.mu.Unlock()

	if a.status == nil && a.down.IsZero() {
		return nil
	}

	out := instanceapi.Archiving{Server: config.Server}

	if a.status != nil && a.status.Push != nil {
		fill(&out, *a.status.Push)
	}

	if !a.down.IsZero() {
		since := a.down
		out.FailingSince, out.Failure, out.Missing = &since, a.downWhy, ""
	}

	if out.FailingSince != nil {
		now := a.r.clock.Now()
		a.lastFail = instanceapi.Archiving{Failure: out.Failure, FailureTime: &now}
	}

	out.Failure, out.FailureTime = a.lastFail.Failure, a.lastFail.FailureTime
	out.Exposure = a.exposure()

	return &out
}

func fill(out *instanceapi.Archiving, push archiveapi.PushStatus) {
	out.LastWAL, out.Waiting = push.LastArchived, push.Backlog.Files
	out.Uploaded, out.UploadedBytes, out.Retries = push.Sent, push.StoredBytes, push.Failures

	if !push.LastArchivedTime.IsZero() {
		at := push.LastArchivedTime
		out.LastTime = &at
	}

	switch {
	case push.Failing != nil:
		since := push.Failing.Since
		out.FailingSince, out.FailedWAL, out.Failure = &since, push.Failing.Name, push.Failing.Message
	case push.Gap != nil:
		at := push.LastArchivedTime
		out.FailingSince, out.FailedWAL = &at, push.Gap.First
		out.Missing = fmt.Sprintf("%s to %s on timeline %d", push.Gap.First, push.Gap.Last, push.Gap.Timeline)
		out.Failure = fmt.Sprintf("WAL is missing in the archive: %s; take a backup, so that recovery need not cross the gap", out.Missing)
	}
}

// switchWAL has the primary end its segment.
func (a *archiving) switchWAL(request string) error {
	a.mu.Lock()
	work, done := a.work, a.switched == request
	a.mu.Unlock()

	if done || work == nil {
		return nil
	}

	ctx, cancel := context.WithTimeout(work, choreTimeout)
	defer cancel()

	err := a.session.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SELECT pg_catalog.pg_switch_wal()")

		return err
	})
	if err != nil {
		return fmt.Errorf("end the WAL segment: %w", err)
	}

	a.mu.Lock()
	defer a.mu.Unlock()

	a.switched = request

	return nil
}

// errNoArchive says that there is nothing to order.
var errNoArchive = errors.New("there is no archive: spec.backup names none, or this instance was not told yet")
