package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caretaker-dev/caretaker/internal/testport"
)

// Server is a PostgreSQL on a Unix socket and a port of the loopback interface.
type Server struct {
	Bin     string
	DataDir string
	Port    int
	// Socket is the folder of its Unix socket; the name is short, as such paths must be.
	Socket string

	t        testing.TB
	uid, gid uint32
	mayDrop  bool
	cmd      *exec.Cmd
}

// New gives a server without data: fill DataDir, or call Init. It is stopped when the test ends.
func New(t testing.TB, bin string) *Server {
	t.Helper()

	base, err := os.MkdirTemp("", "ct-pg-")
	must(t, err)

	s := &Server{Bin: bin, DataDir: filepath.Join(base, "data"), Socket: filepath.Join(base, "s"), t: t}
	s.chooseUser()

	must(t, errors.Join(os.Chmod(base, 0o755), os.Mkdir(s.DataDir, 0o700), os.Mkdir(s.Socket, 0o755)))
	s.give(base, s.DataDir, s.Socket)

	s.Port = testport.Free(t)

	t.Cleanup(func() {
		s.Kill()
		_ = os.RemoveAll(base)
	})

	return s
}

func must(t testing.TB, err error) {
	t.Helper()

	if err != nil {
		t.Fatal(err)
	}
}

// chooseUser: PostgreSQL refuses to run as root.
func (s *Server) chooseUser() {
	if os.Getuid() != 0 {
		return
	}

	for _, name := range []string{"postgres", "nobody"} {
		if found, err := user.Lookup(name); err == nil {
			uid, _ := strconv.ParseUint(found.Uid, 10, 32)
			gid, _ := strconv.ParseUint(found.Gid, 10, 32)
			s.uid, s.gid, s.mayDrop = uint32(uid), uint32(gid), true

			return
		}
	}

	s.t.Skip("running as root, and there is no user postgres or nobody to run PostgreSQL as")
}

func (s *Server) give(paths ...string) {
	if !s.mayDrop {
		return
	}

	for _, path := range paths {
		must(s.t, os.Lchown(path, int(s.uid), int(s.gid)))
	}
}

// Give makes a folder and all in it the server's user's.
func (s *Server) Give(dir string) {
	must(s.t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		s.give(path)

		return err
	}))
}

// Command of PostgreSQL's, as the server's user.
func (s *Server) Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.Bin, name), args...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	cmd.Dir = "/"

	if s.mayDrop {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: s.uid, Gid: s.gid}}
	}

	return cmd
}

// Run a command of PostgreSQL's, and give its output.
func (s *Server) Run(name string, args ...string) string {
	s.t.Helper()

	out, err := s.Command(name, args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}

	return string(out)
}

// Init makes a new database, with page checksums.
func (s *Server) Init(args ...string) {
	s.t.Helper()
	s.Run("initdb", append([]string{"-D", s.DataDir, "-U", "postgres", "-A", "trust", "--data-checksums", "-E", "UTF8", "--locale=C", "--no-sync"}, args...)...)
}

// Configure appends settings to postgresql.auto.conf.
func (s *Server) Configure(settings map[string]string) {
	s.t.Helper()

	path := filepath.Join(s.DataDir, "postgresql.auto.conf")

	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	must(s.t, err)

	for name, value := range settings {
		_, err = fmt.Fprintf(file, "%s = '%s'\n", name, strings.ReplaceAll(value, "'", "''"))
		must(s.t, err)
	}

	must(s.t, file.Close())
	s.give(path)
}

// Start the server, and wait until it accepts connections.
func (s *Server) Start(ctx context.Context) {
	s.t.Helper()

	if err := s.TryStart(ctx); err != nil {
		s.t.Fatalf("start PostgreSQL: %v\n%s", err, s.Log())
	}
}

// Log is what the server wrote.
func (s *Server) Log() string {
	content, _ := os.ReadFile(s.Socket + "/log")

	return string(content)
}

// TryStart is Start for servers that may not come up.
func (s *Server) TryStart(ctx context.Context) error {
	log, err := os.OpenFile(s.Socket+"/log", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the server's own from here on

	s.cmd = s.Command("postgres", "-D", s.DataDir, "-p", strconv.Itoa(s.Port), "-k", s.Socket, "-c", "listen_addresses=127.0.0.1",
		"-c", "fsync=off", "-c", "max_wal_senders=5", "-c", "shared_buffers=16MB")
	s.cmd.Stdout, s.cmd.Stderr = log, log

	if err := s.cmd.Start(); err != nil {
		return err
	}

	ended := make(chan error, 1)

	go func() { ended <- s.cmd.Wait() }()

	for {
		conn, err := s.connect(ctx, "postgres")
		if err == nil {
			return conn.Close(ctx)
		}

		select {
		case err := <-ended:
			s.cmd = nil

			return fmt.Errorf("it ended: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (s *Server) connect(ctx context.Context, database string) (*pgx.Conn, error) {
	return pgx.Connect(ctx, fmt.Sprintf("host=%s port=%d user=postgres dbname=%s sslmode=disable connect_timeout=60", s.Socket, s.Port, database))
}

// Connect opens a session of the superuser.
func (s *Server) Connect(ctx context.Context, database string) *pgx.Conn {
	s.t.Helper()

	conn, err := s.connect(ctx, database)
	must(s.t, err)
	s.t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(ctx)) })

	return conn
}

// Exec runs statements, each on its own.
func (s *Server) Exec(ctx context.Context, statements ...string) {
	s.t.Helper()

	conn, err := s.connect(ctx, "postgres")
	must(s.t, err)
	defer conn.Close(ctx) //nolint:errcheck // the test goes on

	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			s.t.Fatalf("%s: %v", statement, err)
		}
	}
}

// Text is the one value that a query gives.
func (s *Server) Text(ctx context.Context, query string) string {
	s.t.Helper()

	conn, err := s.connect(ctx, "postgres")
	must(s.t, err)
	defer conn.Close(ctx) //nolint:errcheck // the test goes on

	var value string
	if err := conn.QueryRow(ctx, query, pgx.QueryExecModeSimpleProtocol).Scan(&value); err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}

	return value
}

// Stop in order.
func (s *Server) Stop() {
	s.t.Helper()
	s.Run("pg_ctl", "-D", s.DataDir, "-m", "fast", "-w", "-t", "120", "stop")
	s.cmd = nil
}

// Kill ends the server at once, if it runs.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}

	// All processes of it end when the first one is told to quit at once.
	_ = s.cmd.Process.Signal(syscall.SIGQUIT)

	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if err := s.cmd.Process.Signal(syscall.Signal(0)); err != nil {
			break
		}

		time.Sleep(20 * time.Millisecond)
	}

	_ = s.cmd.Process.Kill()
	s.cmd = nil
}
