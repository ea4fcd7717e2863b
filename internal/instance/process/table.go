package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"k8s.io/utils/clock"
)

// Table starts children and reaps them, and orphans too.
type Table struct {
	clock   clock.Clock
	signals chan os.Signal

	// mu is held while a child starts, so that it is in the table before it can be reaped.
	mu       sync.Mutex
	children map[int]*Child
	spared   map[int]bool
}

// NewTable makes this process the reaper of its orphaned descendants, also when it is not PID 1. Run must be called.
func NewTable(clk clock.Clock) (*Table, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become the reaper of orphans: %w", err)
	}

	t := &Table{clock: clk, signals: make(chan os.Signal, 1), children: map[int]*Child{}, spared: map[int]bool{}}
	signal.Notify(t.signals, syscall.SIGCHLD)

	return t, nil
}

// Run reaps until the context ends.
func (t *Table) Run(ctx context.Context) {
	defer signal.Stop(t.signals)

	for {
		t.reap()

		select {
		case <-t.signals:
		case <-ctx.Done():
			return
		}
	}
}

// reap collects every child that has ended.
func (t *Table) reap() {
	t.mu.Lock()
	defer t.mu.Unlock()

	for {
		var status unix.WaitStatus

		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}

		if err != nil || pid <= 0 {
			return
		}

		if child, ok := t.children[pid]; ok {
			delete(t.children, pid)
			delete(t.spared, pid)
			child.exit = Exit{status: status}
			close(child.done)
		}
	}
}

// Command is what to start.
type Command struct {
	// Path of the program, absolute.
	Path string
	// Args without the program's name.
	Args []string
	// Env is the whole environment.
	Env []string
	// Stdout and Stderr of the child; /dev/null if nil.
	Stdout *os.File
	Stderr *os.File
	// Inherit are further files, from descriptor 3 on.
	Inherit []*os.File
	// Spare: KillAll leaves it alone.
	Spare bool
	// Group puts the child into a process group of its own, so that signals from a terminal do not reach it.
	Group bool
}

// Start starts a child. The caller may close the command's files afterwards.
func (t *Table) Start(cmd Command) (*Child, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	defer null.Close() //nolint:errcheck // nothing was written

	files := []*os.File{null, or(cmd.Stdout, null), or(cmd.Stderr, null)}

	t.mu.Lock()
	defer t.mu.Unlock()

	proc, err := os.StartProcess(cmd.Path, append([]string{cmd.Path}, cmd.Args...), &os.ProcAttr{
		Env:   cmd.Env,
		Files: append(files, cmd.Inherit...),
		Sys:   &syscall.SysProcAttr{Setpgid: cmd.Group},
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}

	child := &Child{table: t, pid: proc.Pid, done: make(chan struct{})}
	t.children[proc.Pid] = child
	if cmd.Spare {
		t.spared[proc.Pid] = true
	}

	// The table waits; os.Process is not to.
	if err := proc.Release(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}

	return child, nil
}

func or(file, otherwise *os.File) *os.File {
	if file == nil {
		return otherwise
	}

	return file
}

// Child is a child process.
type Child struct {
	table *Table
	pid   int
	done  chan struct{}
	exit  Exit
}

// PID of the child.
func (c *Child) PID() int { return c.pid }

// Done is closed when the child has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// HasEnded says whether the child has ended.
func (c *Child) HasEnded() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// Exit says how the child ended; valid once Done is closed.
func (c *Child) Exit() Exit { return c.exit }

// Signal sends a signal unless the child has ended. It never hits another process that got the same ID.
func (c *Child) Signal(sig syscall.Signal) error {
	c.table.mu.Lock()
	defer c.table.mu.Unlock()

	if _, ok := c.table.children[c.pid]; !ok {
		return nil
	}

	if err := unix.Kill(c.pid, sig); err != nil {
		return fmt.Errorf("signal process %d: %w", c.pid, err)
	}

	return nil
}

// Exit is how a process ended.
type Exit struct {
	status unix.WaitStatus
}

// OK says whether it ended with code 0.
func (e Exit) OK() bool { return e.status.Exited() && e.status.ExitStatus() == 0 }

// String is "exit code N" or "killed by SIGNAL".
func (e Exit) String() string {
	if e.status.Signaled() {
		return "killed by " + unix.SignalName(e.status.Signal())
	}

	return fmt.Sprintf("exit code %d", e.status.ExitStatus())
}
