package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// ErrNothingArchived says that there is no archive where one was looked for: not even "not there" can be said then, since it
// would end a recovery.
var ErrNothingArchived = errors.New("nothing was ever archived there; check bucket, path and server name")

// fetcher answers restore_command, and fetches ahead into the spool what recovery will ask for next.
type fetcher struct {
	sources []*Archive
	config  settings
	clock   clock.Clock
	log     *slog.Logger

	mu sync.Mutex
	// queue of the transfers that nobody waits for yet, in the order in which recovery will ask for them; so many run.
	queue   []func()
	running int

	jobs   map[string]*fetchJob
	status archiveapi.FetchStatus
	// history of the newest timeline that recovery asked for.
	history postgres.History
	// segmentBytes is the size of a segment, known from the first; last is the one that recovery was given last.
	segmentBytes int64
	last         string
	// end is the first segment that was not there, and when; asked again by prefetching after a second.
	end      string
	endSince time.Time
	// buffers that transfers work in (*Buffers): recovery competes with the collection of garbage for memory and time.
	buffers sync.Pool

	// begun is closed when something is to be spooled: from then on the spool is watched.
	begun     chan struct{}
	beginOnce sync.Once
}

// fetchJob is one file on its way into the spool. done is closed when err is set; without an error the file is there.
type fetchJob struct {
	done   chan struct{}
	cancel context.CancelFunc
	err    error
}

func newFetcher(sources []*Archive, config settings, clk clock.Clock, log *slog.Logger) *fetcher {
	return &fetcher{
		sources: sources, config: config, clock: clk, log: log,
		jobs: map[string]*fetchJob{}, begun: make(chan struct{}),
	}
}

// prepare empties the spool: files there may be half written.
func (f *fetcher) prepare() error {
	if err := os.RemoveAll(f.config.SpoolDir); err != nil {
		return fmt.Errorf("empty the spool: %w", err)
	}

	if err := os.MkdirAll(f.config.SpoolDir, 0o700); err != nil {
		return fmt.Errorf("make the spool: %w", err)
	}

	return nil
}

func (f *fetcher) spooled(name string) string { return filepath.Join(f.config.SpoolDir, name) }

// Fetch is restore_command: the file is at dest when it returns nil. The error wraps objectstore.ErrNotFound only if each source
// says so, and one of them is an archive.
func (f *fetcher) Fetch(ctx context.Context, name, dest string) error {
	patience := time.Duration(f.config.FetchPatience)
	if f.config.isStandby() {
		patience = standbyPatience

		if err := f.recentFailure(); err != nil {
			return err
		}
	}

	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	isHit, err := f.obtain(ctx, name)

	// What is not a job any more is not taken for one that PostgreSQL has helped itself to.
	f.mu.Lock()
	delete(f.jobs, name)
	f.mu.Unlock()

	if err == nil {
		err = moveInto(f.spooled(name), dest)
	}

	if err := f.note(name, isHit, err); err != nil {
		return err
	}

	f.learn(name, dest)

	if info, err := os.Stat(dest); err == nil && postgres.IsWALName(name) {
		f.mu.Lock()
		f.segmentBytes = info.Size()
		f.mu.Unlock()

		f.prefetch(ctx, name)
	}

	return nil
}

// recentFailure spares a standby the wait, where the last attempt failed a moment ago.
func (f *fetcher) recentFailure() error {
	f.mu.Lock()
	defer f.mu.Unlock()

	if failing := f.status.Failing; failing != nil && f.clock.Since(failing.Last) < 3*time.Second {
		return errors.New(failing.Message)
	}

	return nil
}

// obtain brings a file into the spool. isHit: it was there, or on its way.
func (f *fetcher) obtain(ctx context.Context, name string) (isHit bool, err error) {
	f.mu.Lock()
	job := f.jobs[name]
	f.mu.Unlock()

	if job != nil {
		select {
		case <-job.done:
			// PostgreSQL may have taken it before, and ask for it again.
			if _, gone := os.Lstat(f.spooled(name)); job.err == nil && gone == nil {
				return true, nil
			}
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}

	// Nothing, or a prefetch that failed: what counts is what the store says now.
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		err := f.download(ctx, name)
		if err == nil || isAnswer(err) {
			return false, err
		}

		select {
		case <-ctx.Done():
			return false, err
		case <-f.clock.After(pause):
		}
	}
}

// isAnswer says whether an error is the store's last word.
func isAnswer(err error) bool {
	for _, last := range []error{objectstore.ErrNotFound, objectstore.ErrNoBucket, objectstore.ErrInvalid, ErrDamaged, ErrNothingArchived, syscall.ENOSPC} {
		if errors.Is(err, last) {
			return true
		}
	}

	return false
}

// download from the first source that has the file.
func (f *fetcher) download(ctx context.Context, name string) error {
	buffers, _ := f.buffers.Get().(*Buffers)
	if buffers == nil {
		buffers = &Buffers{}
	}
	defer f.buffers.Put(buffers)

	var damaged error

	for _, source := range f.sources {
		content, err := source.FetchInto(ctx, name, buffers)
		if err == nil {
			return f.spool(name, content)
		}

		switch {
		case errors.Is(err, ErrDamaged):
			// Another source may have it whole.
			damaged = errors.Join(damaged, fmt.Errorf("%s: %w", source, err))
		case !errors.Is(err, objectstore.ErrNotFound):
			return fmt.Errorf("%s: %w", source, err)
		default:
		}
	}

	if damaged != nil {
		return damaged
	}

	return f.confirmNotFound(ctx, name)
}

// confirmNotFound makes sure that there is an archive at all before "not there" is said.
func (f *fetcher) confirmNotFound(ctx context.Context, name string) error {
	for _, source := range f.sources {
		_, isArchive, err := source.Identity(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", source, err)
		}

		if isArchive {
			return fmt.Errorf("%s: %w", name, objectstore.ErrNotFound)
		}
	}

	return fmt.Errorf("%s: %w", f.sources[0], ErrNothingArchived)
}

// spool a file: whole under its name, or not at all. It is not synced: the spool does not outlive the process, and PostgreSQL
// syncs what it keeps.
func (f *fetcher) spool(name string, content []byte) error {
	temporary := f.spooled(name) + ".part"
	if err := os.WriteFile(temporary, content, 0o600); err != nil {
		return errors.Join(fmt.Errorf("spool: %w", err), os.Remove(temporary))
	}

	if err := os.Rename(temporary, f.spooled(name)); err != nil {
		return fmt.Errorf("spool: %w", err)
	}

	return nil
}

// moveInto gives a spooled file its place, by a rename, or by a copy and a rename where that is another file system.
func moveInto(from, dest string) error {
	err := os.Rename(from, dest)
	if err == nil || !errors.Is(err, syscall.EXDEV) {
		return err
	}

	temporary := dest + ".caretaker-part"
	if err := copyFile(from, temporary); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}

	return errors.Join(os.Rename(temporary, dest), os.Remove(from))
}

func copyFile(from, to string) (err error) {
	source, err := os.Open(from) //nolint:gosec // the spool
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()

	target, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // PostgreSQL's %p
	if err != nil {
		return err
	}

	_, err = io.Copy(target, source)

	return errors.Join(err, target.Close())
}

// learn the way of timelines from a history that recovery asked for.
func (f *fetcher) learn(name, dest string) {
	timeline, err := postgres.ParseHistoryName(name)
	if err != nil {
		return
	}

	text, err := os.ReadFile(dest) //nolint:gosec // just written there
	if err != nil {
		return
	}

	history, err := postgres.ParseHistory(timeline, string(text))
	if err != nil {
		return
	}

	f.mu.Lock()
	defer f.mu.Unlock()

	if history.Timeline >= f.history.Timeline {
		f.history = history
	}
}

// following names the segments that recovery will ask for after this one. PostgreSQL asks for each segment on the newest
// timeline that had begun by its end.
func following(history postgres.History, segment postgres.WALSegment, segmentBytes int64, n int) []string {
	names := make([]string, 0, n)

	for i := range uint64(n) { //nolint:gosec // a small count
		next := postgres.WALSegment{Timeline: segment.Timeline, Number: segment.Number + 1 + i}
		isOnLine := segment.Timeline == history.Timeline

		for _, entry := range history.Entries {
			isOnLine = isOnLine || entry.Parent == segment.Timeline
		}

		if isOnLine {
			next.Timeline = history.TimelineAt(next.Next().Start(segmentBytes) - 1)
		}

		names = append(names, next.Name(segmentBytes))
	}

	return names
}

// prefetch what comes after a segment, and drop from the spool what does not.
func (f *fetcher) prefetch(ctx context.Context, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()

	segment, err := postgres.ParseWALName(name, f.segmentBytes)
	if err != nil {
		return
	}

	f.last = name
	f.beginOnce.Do(func() { close(f.begun) })

	wanted := following(f.history, segment, f.segmentBytes, f.room(f.segmentBytes))
	f.keepOnly(wanted)

	isAtEnd := f.clock.Since(f.endSince) < time.Second

	for _, next := range wanted {
		if isAtEnd && next == f.end {
			return
		}

		if f.jobs[next] == nil {
			f.startAhead(context.WithoutCancel(ctx), next)
		}
	}
}

// room is how many segments may be spooled.
func (f *fetcher) room(segmentBytes int64) int {
	limit := f.config.PrefetchBytes

	var disk unix.Statfs_t
	if err := unix.Statfs(f.config.SpoolDir, &disk); err == nil {
		limit = min(limit, int64(disk.Bavail)*disk.Bsize/4) //nolint:gosec // no disk has so many blocks
	}

	return int(min(int64(f.config.PrefetchSegments), limit/segmentBytes))
}

// keepOnly drops all jobs and files but these. Called with mu held.
func (f *fetcher) keepOnly(wanted []string) {
	keep := make(map[string]bool, len(wanted))
	for _, name := range wanted {
		keep[name] = true
	}

	for name, job := range f.jobs {
		if !keep[name] {
			job.cancel()
			delete(f.jobs, name)

			_ = os.Remove(f.spooled(name)) // the next start removes it otherwise
		}
	}
}

// startAhead has a transfer that nobody waits for yet begin in its turn. Called with mu held.
func (f *fetcher) startAhead(ctx context.Context, name string) {
	ctx, cancel := context.WithCancel(ctx)
	job := &fetchJob{done: make(chan struct{}), cancel: cancel}
	f.jobs[name] = job

	f.queue = append(f.queue, func() {
		defer cancel()

		if job.err = ctx.Err(); job.err == nil {
			job.err = f.download(ctx, name)
		}

		close(job.done)
		f.ended(name, job)
	})
	f.advance()
}

// advance begins as many transfers as may run. Called with mu held.
func (f *fetcher) advance() {
	for f.running < f.config.MaxParallel && len(f.queue) > 0 {
		next := f.queue[0]
		f.queue = f.queue[1:]
		f.running++

		go next()
	}
}

// ended notes the end of a transfer that was begun ahead.
func (f *fetcher) ended(name string, job *fetchJob) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.running--
	f.advance()

	if job.err == nil {
		return
	}

	if errors.Is(job.err, objectstore.ErrNotFound) && (f.end == "" || name < f.end || f.clock.Since(f.endSince) > time.Second) {
		f.end, f.endSince = name, f.clock.Now()
	}

	if f.jobs[name] == job {
		delete(f.jobs, name)
	}
}

// note counts what came of a fetch.
func (f *fetcher) note(name string, isHit bool, err error) error { //nolint:revive // a fact that is counted
	f.mu.Lock()
	defer f.mu.Unlock()

	s := &f.status

	switch {
	case errors.Is(err, objectstore.ErrNotFound):
		s.Failing = nil
	case err != nil:
		s.Failures++

		if s.Failing == nil {
			f.log.Error("fetching WAL fails", "file", name, "error", err)
		}

		s.Failing = failed(s.Failing, name, f.clock.Now(), err)
	default:
		s.Failing = nil
		s.Given++
		s.LastFetched, s.LastFetchedTime = name, f.clock.Now()

		if isHit {
			s.Hits++
		}
	}

	return err
}

// Status now.
func (f *fetcher) Status() archiveapi.FetchStatus {
	f.mu.Lock()
	defer f.mu.Unlock()

	status := f.status

	for _, job := range f.jobs {
		select {
		case <-job.done:
			status.Prefetched++
		default:
		}
	}

	return status
}
