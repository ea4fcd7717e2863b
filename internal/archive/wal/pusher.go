package wal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// pusher archives what PostgreSQL asks for, and what it will ask for next: the .ready files in archive_status, in
// PostgreSQL's own order, MaxParallel at a time. A file that was archived ahead is acknowledged when its turn comes.
type pusher struct {
	archive *Archive
	config  settings
	clock   clock.Clock
	log     *slog.Logger
	// slots hold the buffers of the workers.
	slots chan []byte

	mu     sync.Mutex
	jobs   map[string]*pushJob
	status archiveapi.PushStatus
	// segmentBytes is known once a segment was seen.
	segmentBytes int64
	gapChecked   time.Time
}

// pushJob is one file on its way. done is closed when err is set.
type pushJob struct {
	done chan struct{}
	err  error
}

func newPusher(archive *Archive, config settings, clk clock.Clock, log *slog.Logger) *pusher {
	p := &pusher{
		archive: archive, config: config, clock: clk, log: log,
		slots: make(chan []byte, config.MaxParallel), jobs: map[string]*pushJob{},
	}
	for range config.MaxParallel {
		p.slots <- nil
	}

	return p
}

// Push is archive_command: it returns nil when the file is durable in the archive.
func (p *pusher) Push(ctx context.Context, name string) error {
	if filepath.Base(name) != name {
		return fmt.Errorf("%q is not the name of a file in pg_wal", name)
	}

	job := p.start(ctx, name)
	p.readAhead(ctx)

	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-job.done:
	}

	p.mu.Lock()
	delete(p.jobs, name)
	p.mu.Unlock()

	if job.err != nil {
		return job.err
	}

	p.acknowledge(ctx, name)

	return nil
}

// start a job, or find the one that is under way or done.
func (p *pusher) start(ctx context.Context, name string) *pushJob {
	p.mu.Lock()
	defer p.mu.Unlock()

	if job, ok := p.jobs[name]; ok {
		return job
	}

	job := &pushJob{done: make(chan struct{})}
	p.jobs[name] = job

	// A job outlives the command that asked for it: PostgreSQL asks again.
	go p.run(context.WithoutCancel(ctx), name, job)

	return job
}

func (p *pusher) run(ctx context.Context, name string, job *pushJob) {
	defer close(job.done)

	buffer := <-p.slots
	defer func() { p.slots <- buffer }()

	isStandby := p.config.isStandby()
	if isStandby {
		if isArchived, err := p.waitForPrimary(ctx, name, &buffer); isArchived || err != nil {
			job.err = p.note(name, Pushed{WasThere: isArchived}, len(buffer), err)

			return
		}
	}

	var (
		pushed Pushed
		err    error
	)

	pushed, buffer, err = p.archive.PushFile(ctx, filepath.Join(p.config.WALDir, name), isStandby, buffer)
	job.err = p.note(name, pushed, len(buffer), err)
}

// waitForPrimary is what a standby does: it looks whether the file is archived, again and again for a while. False: it is not,
// and this server should do it.
func (p *pusher) waitForPrimary(ctx context.Context, name string, buffer *[]byte) (isArchived bool, err error) {
	deadline := p.clock.Now().Add(time.Duration(p.config.StandbyGrace))

	for pause := 250 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		file := File{Name: name}
		if file.Content, err = readFile(filepath.Join(p.config.WALDir, name), *buffer); err != nil {
			return false, err
		}

		*buffer = file.Content

		if err := file.fit(p.config.WALDir); err != nil {
			return false, err
		}

		isArchived, err := p.archive.Has(ctx, file)
		if isArchived || err != nil {
			return isArchived, err
		}

		if !p.config.isStandby() || p.clock.Now().After(deadline) {
			return false, nil
		}

		if p.config.isStopping() {
			return false, fmt.Errorf("%s is not archived yet, and this server is stopping", name)
		}

		p.clock.Sleep(pause)
	}
}

// readAhead starts jobs for what PostgreSQL will ask for next. Twice as many as there are workers keep them busy.
func (p *pusher) readAhead(ctx context.Context) {
	names, err := p.ready()
	if err != nil {
		p.log.Warn("cannot read archive_status", "error", err)

		return
	}

	p.forget(names)

	for _, name := range names {
		p.mu.Lock()
		isEnough := len(p.jobs) >= 2*p.config.MaxParallel
		p.mu.Unlock()

		if isEnough {
			return
		}

		p.start(ctx, name)
	}
}

// forget jobs that are over and whose files PostgreSQL does not wait for any more, and those that failed: they are tried anew
// when it is their turn.
func (p *pusher) forget(ready []string) {
	p.mu.Lock()
	defer p.mu.Unlock()

	for name, job := range p.jobs {
		select {
		case <-job.done:
			if job.err != nil || !slices.Contains(ready, name) {
				delete(p.jobs, name)
			}
		default:
		}
	}
}

// ready lists what waits to be archived, in PostgreSQL's order: histories first, then by name.
func (p *pusher) ready() ([]string, error) {
	return readyFiles(p.config.WALDir)
}

func readyFiles(walDir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(walDir, "archive_status"))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}

		return nil, err
	}

	var names []string

	for _, entry := range entries {
		if name, ok := strings.CutSuffix(entry.Name(), ".ready"); ok {
			names = append(names, name)
		}
	}

	slices.SortFunc(names, compareReady)

	return names, nil
}

func compareReady(a, b string) int {
	switch isA, isB := postgres.IsHistoryName(a), postgres.IsHistoryName(b); {
	case isA && !isB:
		return -1
	case isB && !isA:
		return 1
	default:
		return strings.Compare(a, b)
	}
}

// note counts what came of a job.
func (p *pusher) note(name string, pushed Pushed, plain int, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()

	s := &p.status
	if err != nil {
		s.Failures++

		if s.Failing == nil {
			p.log.Error("archiving fails", "file", name, "error", err)
		}

		s.Failing = failed(s.Failing, name, p.clock.Now(), err)

		return err
	}

	if s.Failing != nil {
		p.log.Info("archiving works again", "file", name, "failedFor", p.clock.Since(s.Failing.Since).Round(time.Second).String())
	}

	s.Failing = nil

	if pushed.WasThere {
		s.WereThere++

		return nil
	}

	s.Sent++
	s.PlainBytes += int64(plain)
	s.StoredBytes += pushed.StoredBytes

	if postgres.IsWALName(name) {
		p.segmentBytes = int64(plain)
	}

	return nil
}

// acknowledge is called in PostgreSQL's order, right before it is told that a file is archived.
func (p *pusher) acknowledge(ctx context.Context, name string) {
	p.mu.Lock()
	previous, segmentBytes := p.status.LastArchived, p.segmentBytes
	p.status.LastArchived, p.status.LastArchivedTime = name, p.clock.Now()
	p.mu.Unlock()

	if !postgres.IsWALName(name) || segmentBytes == 0 {
		return
	}

	segment, err := postgres.ParseWALName(name, segmentBytes)
	if err != nil {
		return
	}

	if before, err := postgres.ParseWALName(previous, segmentBytes); err == nil && before.Next() == segment {
		return
	}

	go p.checkGap(context.WithoutCancel(ctx), segment, segmentBytes)
}

func (p *pusher) checkGap(ctx context.Context, segment postgres.WALSegment, segmentBytes int64) {
	missing, err := p.archive.missingBefore(ctx, segment, segmentBytes)
	if err != nil {
		p.log.Warn("cannot look for a gap in the archive", "before", segment.Name(segmentBytes), "error", err)

		return
	}

	if !p.config.isStandby() {
		missing = slices.DeleteFunc(missing, func(name string) bool { return p.archives(ctx, name) })
	}

	if len(missing) == 0 {
		return
	}

	gap := &archiveapi.Gap{Timeline: segment.Timeline, First: missing[0], Last: missing[len(missing)-1]}
	p.log.Error("the archive has a gap: recovery cannot pass it; take a new backup", "first", gap.First, "last", gap.Last)

	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Gap = gap
}

// archives what is missing and lies in pg_wal all the same, and says whether it did. PostgreSQL asks for a segment that was streamed only once the
// next one's first byte has come: where the old primary ended with a switch to the next segment, it does not.
func (p *pusher) archives(ctx context.Context, name string) bool {
	path := filepath.Join(p.config.WALDir, name)
	if !IsSegment(path) {
		return false
	}

	if _, _, err := p.archive.PushFile(ctx, path, true, nil); err != nil {
		p.log.Warn("a segment that nobody asked to archive cannot be", "segment", name, "error", err)

		return false
	}

	p.log.Info("archived a segment that nobody asked to archive", "segment", name)

	return true
}

// recheckGap forgets a gap that was filled, or that a backup was taken behind: from there recovery goes on.
func (p *pusher) recheckGap(ctx context.Context) {
	p.mu.Lock()
	gap := p.status.Gap
	isDue := gap != nil && p.clock.Since(p.gapChecked) >= time.Minute

	if isDue {
		p.gapChecked = p.clock.Now()
	}
	p.mu.Unlock()

	if !isDue {
		return
	}

	if !p.archive.isFilled(ctx, *gap) {
		isBehind, err := p.archive.hasBackupBehind(ctx, *gap)
		if err != nil {
			p.log.Warn("cannot look for a backup behind the gap", "last", gap.Last, "error", err)
		}

		if !isBehind {
			return
		}
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Gap = nil
}

// Status now.
func (p *pusher) Status(ctx context.Context) archiveapi.PushStatus {
	p.recheckGap(ctx)

	names, err := p.ready()
	if err != nil {
		p.log.Warn("cannot read archive_status", "error", err)
	}

	p.mu.Lock()
	status, segmentBytes := p.status, p.segmentBytes
	p.mu.Unlock()

	status.Standby = p.config.isStandby()
	status.Backlog.Files = len(names)

	for _, name := range names {
		if status.Backlog.Oldest == "" && postgres.IsWALName(name) {
			status.Backlog.Oldest = name

			if info, err := os.Stat(filepath.Join(p.config.WALDir, "archive_status", name+".ready")); err == nil {
				status.Backlog.OldestSince = info.ModTime()
			}
		}

		size := segmentBytes
		if size == 0 || !postgres.IsWALName(name) {
			if info, err := os.Stat(filepath.Join(p.config.WALDir, name)); err == nil {
				size = info.Size()
			}
		}

		status.Backlog.Bytes += size
	}

	if found := p.archive.known(); found != nil {
		status.Unconditional = !found.PutIfAbsent
	}

	return status
}
