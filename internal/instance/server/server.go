package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/instance/pgbin"
	"github.com/caretaker-dev/caretaker/internal/instance/process"
	"github.com/caretaker-dev/caretaker/internal/instance/serverlog"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
)

// killDeadline bounds killing what is left.
const killDeadline = 10 * time.Second

// Server is the one PostgreSQL server of this instance.
type Server struct {
	table *process.Table
	clock clock.Clock
	log   *slog.Logger
	// output takes what postgres writes to standard error.
	output *slog.Logger

	mu      sync.Mutex
	child   *process.Child
	dataDir string
	started time.Time
	// said are the last messages: why it did not start.
	said []string
}

// New makes a Server that is not running. Lines of its standard error go to output.
func New(table *process.Table, clk clock.Clock, log, output *slog.Logger) *Server {
	return &Server{table: table, clock: clk, log: log, output: output}
}

// Start is what postgres is started with.
type Start struct {
	Programs *pgbin.Programs
	// DataDir is PGDATA.
	DataDir string
	// ConfFile is the generated postgresql.conf.
	ConfFile string
	// SocketDir is the folder of the Unix socket, which outlives a container.
	SocketDir string
	// Lock on the volume, inherited.
	Lock *os.File
	// Settings are further ones, as name=value.
	Settings []string
}

// Start starts postgres; it returns when the process runs, not when it accepts connections. What an earlier server left
// behind is killed first.
func (s *Server) Start(ctx context.Context, start Start) error {
	if s.IsUp() {
		return errors.New("start PostgreSQL: it runs already")
	}

	if err := s.killLeft(ctx); err != nil {
		return err
	}

	if err := errors.Join(volume.RemoveStalePID(start.DataDir), volume.RemoveStaleSocket(start.SocketDir)); err != nil {
		return err
	}

	args := []string{"-D", start.DataDir, "-c", "config_file=" + start.ConfFile}
	for _, setting := range start.Settings {
		args = append(args, "-c", setting)
	}

	s.mu.Lock()
	s.said = nil
	s.mu.Unlock()

	stderr, _, err := process.Lines(s.note)
	if err != nil {
		return err
	}

	child, err := start.Programs.StartServer(args, stderr, start.Lock)
	if err := errors.Join(err, stderr.Close()); err != nil {
		return err
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	s.child, s.dataDir, s.started = child, start.DataDir, s.clock.Now()

	return nil
}

// lastLines of standard error are kept: the reason comes before the consequence.
const lastLines = 2

func (s *Server) note(line string) {
	if serverlog.IsAboutLog(line) {
		return
	}

	s.mu.Lock()
	s.said = append(s.said, withoutPrefix(line))
	s.said = s.said[max(0, len(s.said)-lastLines):]
	s.mu.Unlock()

	s.output.Info(line)
}

// withoutPrefix takes the time and the process ID off a line of standard error: "2026-11-20 19:41:55.856 UTC [1315] ".
func withoutPrefix(line string) string {
	return regexp.MustCompile(`^\d{4}-\d\d-\d\d [0-9:.]+ \S+ \[\d+\] `).ReplaceAllString(line, "")
}

// Note remembers a message of the server's log as the reason for an end that may follow.
func (s *Server) Note(message string) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.said = []string{message}
}

// LastWords are the last message before an end.
func (s *Server) LastWords() string {
	s.mu.Lock()
	defer s.mu.Unlock()

	return strings.Join(s.said, "; ")
}

func (s *Server) current() *process.Child {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.child
}

// IsUp says whether the postmaster runs.
func (s *Server) IsUp() bool {
	child := s.current()

	return child != nil && !child.HasEnded()
}

// PID of the postmaster; 0 if none was started.
func (s *Server) PID() int {
	if child := s.current(); child != nil {
		return child.PID()
	}

	return 0
}

// HasEnded says whether there is an end that TakeEnd has not been asked for yet.
func (s *Server) HasEnded() bool {
	child := s.current()

	return child != nil && child.HasEnded()
}

// Started is when the postmaster was last started.
func (s *Server) Started() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.started
}

// Ended is closed when the postmaster that was started last has ended; nil if none was.
func (s *Server) Ended() <-chan struct{} {
	child := s.current()
	if child == nil {
		return nil
	}

	return child.Done()
}

// TakeEnd returns once how a server has ended, and when it was started.
func (s *Server) TakeEnd() (exit process.Exit, started time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.child == nil || !s.child.HasEnded() {
		return process.Exit{}, time.Time{}, false
	}

	exit, started = s.child.Exit(), s.started
	s.child = nil

	return exit, started, true
}

// Signal sends a signal to the postmaster if it runs.
func (s *Server) Signal(sig syscall.Signal) error {
	child := s.current()
	if child == nil {
		return nil
	}

	return child.Signal(sig)
}

// Reload makes PostgreSQL read its configuration and certificates again.
func (s *Server) Reload() error { return s.Signal(syscall.SIGHUP) }

// RotateLog makes the logging collector open its files anew, as pg_ctl logrotate does.
func (s *Server) RotateLog() error {
	s.mu.Lock()
	dir := s.dataDir
	s.mu.Unlock()

	if !s.IsUp() {
		return nil
	}

	if err := os.WriteFile(filepath.Join(dir, "logrotate"), nil, 0o600); err != nil {
		return fmt.Errorf("rotate the server's log: %w", err)
	}

	return s.Signal(syscall.SIGUSR1)
}

// Stop stops PostgreSQL phase by phase, and kills what is left after the last.
func (s *Server) Stop(ctx context.Context, plan []Phase) error {
	child := s.current()
	if child == nil {
		return nil
	}

	if err := s.end(child, plan); err != nil {
		return err
	}

	return s.killLeft(ctx)
}

// End has the postmaster end, phase by phase, and kills it after the last. What it leaves behind is not touched: who waits
// for its end may have started the next server by now, and that is no leftover.
func (s *Server) End(plan []Phase) error {
	child := s.current()
	if child == nil {
		return nil
	}

	return s.end(child, plan)
}

func (s *Server) end(child *process.Child, plan []Phase) error {
	for _, phase := range plan {
		if child.HasEnded() {
			return nil
		}

		s.log.Info("stopping PostgreSQL", "signal", phase.Signal.String(), "wait", phase.Wait.String())

		if err := child.Signal(phase.Signal); err != nil {
			return err
		}

		select {
		case <-child.Done():
		case <-s.clock.After(phase.Wait):
		}
	}

	if child.HasEnded() {
		return nil
	}

	s.log.Warn("PostgreSQL did not stop in time and is killed")

	return child.Signal(syscall.SIGKILL)
}

// KillLeft kills every process below this one: of PostgreSQL, and of programs that work on its data.
func (s *Server) KillLeft(ctx context.Context) error { return s.killLeft(ctx) }

// killLeft kills every descendant: backends outlive a killed postmaster for a while.
func (s *Server) killLeft(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killDeadline)
	defer cancel()

	if err := s.table.KillAll(ctx); err != nil {
		return fmt.Errorf("kill what is left of PostgreSQL: %w", err)
	}

	return nil
}
