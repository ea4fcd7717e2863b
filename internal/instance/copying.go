package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

const (
	// copyLook is how often it is looked whether this instance leads, and what is to be copied.
	copyLook = 2 * time.Second
	// copyRetry is the wait after a turn that failed, doubled with each up to the copy's interval.
	copyRetry = 15 * time.Second
	// copyMount is how often it is looked for credentials that have not reached the pod yet.
	copyMount = 2 * time.Second
	// copyExpire is how often the retention of a copy is followed.
	copyExpire = time.Hour
	// copyProblems are named in a failure; more are counted.
	copyProblems = 3
)

// copying brings the archive to further stores, on the instance that leads: a loop for each of them, which runs the archive's
// program once a turn. Nothing of PID 1 waits for any of them (see ADR 0123).
type copying struct {
	r    *runner
	log  *slog.Logger
	kick chan struct{}

	// loops by the names of the copies belong to run.
	loops map[string]*copyLoop

	mu sync.Mutex
	// states of the copies that this instance makes, by name.
	states map[string]copyState
}

// copyJob is what a loop does.
type copyJob struct {
	from instanceapi.Archive
	copy instanceapi.Copy
}

type copyLoop struct {
	job  copyJob
	stop context.CancelFunc
	done chan struct{}
}

// copyState is how far a copy is. It is of one place.
type copyState struct {
	place   string
	copied  instanceapi.Copied
	fails   int
	expired time.Time
}

func newCopying(r *runner) *copying {
	return &copying{
		r: r, log: r.opts.Log.With("logger", "copying"), kick: make(chan struct{}, 1),
		loops: map[string]*copyLoop{}, states: map[string]copyState{},
	}
}

// now has the configuration looked at.
func (c *copying) now() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// run keeps the loops that are wanted until ctx ends. They end by themselves then; nobody waits for them.
func (c *copying) run(ctx context.Context) {
	for ctx.Err() == nil {
		c.pass(ctx)

		select {
		case <-c.kick:
		case <-c.r.clock.After(copyLook):
		case <-ctx.Done():
		}
	}
}

func (c *copying) pass(ctx context.Context) {
	wanted := c.wanted()

	for name, loop := range c.loops {
		if job, is := wanted[name]; is && reflect.DeepEqual(job, loop.job) {
			continue
		}

		loop.stop()

		select {
		case <-loop.done:
			delete(c.loops, name)
		default: // it ends soon, and the next pass goes on
		}
	}

	for name, job := range wanted {
		if c.loops[name] == nil {
			c.start(ctx, name, job)
		}
	}

	c.mu.Lock()
	defer c.mu.Unlock()

	for name := range c.states {
		if _, is := wanted[name]; !is {
			delete(c.states, name)
		}
	}
}

// wanted are the copies that this instance is to make: all of them if it leads, as the one that archives does.
func (c *copying) wanted() map[string]copyJob {
	config := c.r.conf.Config()
	if config.Archive == nil || !c.r.serves() || c.r.view.get().Role != instanceapi.RolePrimary {
		return nil
	}

	wanted := map[string]copyJob{}
	for _, to := range config.Copies {
		wanted[to.Name] = copyJob{*config.Archive, to}
	}

	return wanted
}

func (c *copying) start(ctx context.Context, name string, job copyJob) {
	ctx, stop := context.WithCancel(ctx)
	loop := &copyLoop{job: job, stop: stop, done: make(chan struct{})}
	c.loops[name] = loop

	place := strings.Join([]string{job.copy.To.URL, job.copy.To.Endpoint, job.copy.To.Server}, " ")

	c.mu.Lock()
	if c.states[name].place != place {
		c.states[name] = copyState{place: place, copied: instanceapi.Copied{Name: name}}
	}
	c.mu.Unlock()

	c.log.Info("the archive is copied", "copy", name, "to", job.copy.To.URL)

	go func() {
		defer close(loop.done)
		defer stop()

		for ctx.Err() == nil {
			wait := c.turn(ctx, job)

			select {
			case <-c.r.clock.After(wait):
			case <-ctx.Done():
			}
		}
	}()
}

// turn copies what is new, notes how that went, and gives the wait until the next one.
func (c *copying) turn(ctx context.Context, job copyJob) time.Duration {
	interval := time.Duration(job.copy.IntervalSeconds) * time.Second
	began := c.r.clock.Now().UTC()

	err := missingCredentials(job.copy.To)
	isMounted := err == nil

	var copied archiveapi.Copied
	if isMounted {
		copied, err = c.bring(ctx, job)
	}

	if ctx.Err() != nil {
		return 0 // it was stopped, which is no failure
	}

	isExpired := false

	if err == nil {
		if isExpired, err = c.expire(ctx, job, copied, began); ctx.Err() != nil {
			return 0
		}

		if err == nil {
			c.change(job, func(state *copyState) { state.note(copied, began, isExpired) })

			return interval
		}
	}

	fails := 0

	c.change(job, func(state *copyState) {
		if state.copied.FailingSince == nil {
			state.copied.FailingSince = &began
		}

		if state.copied.Failure != err.Error() {
			c.log.Error("the archive could not be copied", "copy", job.copy.Name, "error", err)
		}

		state.copied.Failure = err.Error()
		state.copied.Turns++
		state.copied.CopiedBytes += copied.Bytes
		state.fails++
		fails = state.fails
	})

	if !isMounted {
		return copyMount
	}

	return min(copyRetry<<min(fails-1, 10), interval)
}

// note a turn that went well.
func (s *copyState) note(copied archiveapi.Copied, began time.Time, isExpired bool) { //nolint:revive // what was done, not a mode
	s.fails = 0
	s.copied.FailingSince, s.copied.Failure = nil, ""
	s.copied.LastWAL, s.copied.Backups = copied.LastWAL, len(copied.Backups)
	s.copied.Turns++
	s.copied.CopiedBytes += copied.Bytes

	// Without a backup no WAL is copied: it would be of no use.
	if len(copied.Backups) > 0 {
		s.copied.Until = &began
	}

	if isExpired {
		s.expired = began
	}
}

// bring what is new to the second store.
func (c *copying) bring(ctx context.Context, job copyJob) (archiveapi.Copied, error) {
	var copied archiveapi.Copied

	from, err := c.targetFile(job.from, "from-"+job.copy.Name)
	if err != nil {
		return copied, err
	}

	to, err := c.targetFile(job.copy.To, "to-"+job.copy.Name)
	if err != nil {
		return copied, err
	}

	// One worker where nothing else is asked for: PostgreSQL is to have the memory.
	args := []string{"copy", "--to-config", to, "--workers", strconv.Itoa(max(1, job.copy.To.DataParallel))}
	if job.copy.To.Retention != "" {
		args = append(args, "--keep", job.copy.To.Retention) // or what was deleted there would come back
	}

	out, err := c.command(ctx, from, args...)
	if resultErr := readResult(out, &copied); resultErr != nil && err == nil {
		err = resultErr
	}

	if len(copied.Problems) > 0 {
		err = errors.New(problemWords(copied.Problems))
	}

	return copied, err
}

func problemWords(problems []string) string {
	named := problems[:min(len(problems), copyProblems)]
	words := "not copied: " + strings.Join(named, "; ")

	if more := len(problems) - len(named); more > 0 {
		words += fmt.Sprintf("; and %d more", more)
	}

	return words
}

// expire follows the retention of a copy now and then.
func (c *copying) expire(ctx context.Context, job copyJob, copied archiveapi.Copied, now time.Time) (done bool, err error) {
	c.mu.Lock()
	last := c.states[job.copy.Name].expired
	c.mu.Unlock()

	policy := job.copy.To.Retention
	if policy == "" || len(copied.Backups) == 0 || now.Sub(last) < copyExpire {
		return false, nil
	}

	file, err := c.targetFile(job.copy.To, "to-"+job.copy.Name)
	if err == nil {
		_, err = c.command(ctx, file, "expire", "--keep", policy)
	}

	if err != nil {
		return false, fmt.Errorf("all was copied, but the copy's retentionPolicy %s could not be followed: %w", policy, err)
	}

	return true, nil
}

// command runs one of caretaker-archive's to its end, and gives what it printed.
func (c *copying) command(ctx context.Context, file string, args ...string) (string, error) {
	return c.r.archiving.output(ctx, file, nil, []string{archiverMemory}, args...)
}

// targetFile has an archive in the form that the commands read. Each loop has files of its own.
func (c *copying) targetFile(archive instanceapi.Archive, name string) (string, error) {
	target, err := c.r.archiving.target(archive, name)
	if err != nil {
		return "", err
	}

	return c.r.archiving.writeTarget("archive-"+name+".json", target)
}

// missingCredentials says so while the kubelet has not brought them.
func missingCredentials(to instanceapi.Archive) error {
	for _, name := range to.Credentials {
		if _, err := os.Stat(filepath.Join(to.Dir, to.Prefix+name)); errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("the credential %s has not reached this pod yet; it does within a minute or two of being in its Secret", name)
		}
	}

	return nil
}

func (c *copying) change(job copyJob, change func(*copyState)) {
	c.mu.Lock()
	defer c.mu.Unlock()

	// One that is not wanted any more is gone.
	if state, is := c.states[job.copy.Name]; is {
		change(&state)
		c.states[job.copy.Name] = state
	}
}

// report is how far the copies are, by name; none on an instance that does not make them.
func (c *copying) report() []instanceapi.Copied {
	c.mu.Lock()
	defer c.mu.Unlock()

	var all []instanceapi.Copied
	for _, state := range c.states {
		all = append(all, state.copied)
	}

	slices.SortFunc(all, func(a, b instanceapi.Copied) int { return strings.Compare(a.Name, b.Name) })

	return all
}
