package dump

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/instance/pgbin"
	"github.com/caretaker-dev/caretaker/internal/pgconn"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

const (
	// scratchPort only names the socket: nothing listens on a network.
	scratchPort = 5432
	// scratchStart is how long a throw-away server may take to come up, its first data files included.
	scratchStart = 10 * time.Minute
	// scratchPoll is between two looks at a server that starts, and at the room that it takes.
	scratchPoll = 500 * time.Millisecond
	// scratchRemedy goes with what an image lacks.
	scratchRemedy = "name an image that has the server, too, in spec.source.image, or set spec.verification.testRestore: false"
)

// Scratch is a folder for throw-away servers of an engine. They listen on a Unix socket in it, and trust whoever can open that.
type Scratch struct {
	Engine, Dir string
	// MaxBytes that a server may take; 0 for no limit.
	MaxBytes int64
	Clock    clock.WithTicker
}

func (s Scratch) dataDir() string { return filepath.Join(s.Dir, "data") }

func (s Scratch) socket() string {
	switch s.Engine {
	case archiveapi.EnginePostgreSQL:
		return filepath.Join(s.Dir, ".s.PGSQL."+strconv.Itoa(scratchPort))
	case archiveapi.EngineMySQL:
		return filepath.Join(s.Dir, "mysql.sock")
	default:
		return filepath.Join(s.Dir, "mongod.sock")
	}
}

// recipe is how a server is made and run.
type recipe struct {
	// version of the server, by its own word.
	version string
	// initialize makes the data files; a server without it makes them itself.
	initialize, serve []string
	// stop is the signal that ends it at once.
	stop os.Signal
	// ready says whether it serves.
	ready func(ctx context.Context) error
}

// scratchServer is one that runs.
type scratchServer struct {
	version string
	stop    context.CancelFunc
	// ended is closed once it has; err says why then.
	ended chan struct{}
	err   error
}

// start makes a new server and waits until it serves.
func (s Scratch) start(ctx context.Context, log io.Writer) (*scratchServer, error) {
	how, err := s.recipe(ctx)
	if err != nil {
		return nil, err
	}

	if how.initialize != nil {
		said := &tail{}

		cmd := s.command(ctx, how.initialize, how.stop, io.MultiWriter(said, log))
		if err := cmd.Run(); err != nil {
			return nil, scratchFailure(filepath.Base(how.initialize[0]), said.String(), err)
		}
	}

	return s.serve(ctx, how, log)
}

func (s Scratch) serve(ctx context.Context, how recipe, log io.Writer) (*scratchServer, error) {
	ctx, cancel := context.WithCancel(ctx)
	said := &tail{}

	cmd := s.command(ctx, how.serve, how.stop, io.MultiWriter(said, log))
	if err := cmd.Start(); err != nil {
		cancel()

		return nil, fmt.Errorf("start the throw-away server: %w", err)
	}

	server := &scratchServer{version: how.version, stop: cancel, ended: make(chan struct{})}

	go func() {
		defer close(server.ended)

		server.err = scratchFailure(filepath.Base(how.serve[0]), said.String(), cmd.Wait())
	}()

	if err := s.waitUntilReady(ctx, how, server); err != nil {
		cancel()
		<-server.ended

		return nil, err
	}

	return server, nil
}

func (s Scratch) waitUntilReady(ctx context.Context, how recipe, server *scratchServer) error {
	deadline := s.Clock.After(scratchStart)

	for {
		err := how.ready(ctx)
		if err == nil {
			return nil
		}

		select {
		case <-s.Clock.After(scratchPoll):
		case <-server.ended:
			return server.err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-deadline:
			return fmt.Errorf("the throw-away server does not answer after %s: %w", scratchStart, err)
		}
	}
}

// command has nothing of our own environment, which may hold secrets.
func (s Scratch) command(ctx context.Context, args []string, stop os.Signal, out io.Writer) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // one of a few known programs
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC", "HOME=" + s.Dir, "TMPDIR=" + s.Dir}
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.Dir, out, out
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(stop) }, stopDelay

	return cmd
}

func (s Scratch) recipe(ctx context.Context) (recipe, error) {
	switch s.Engine {
	case archiveapi.EnginePostgreSQL:
		return s.postgres(ctx)
	case archiveapi.EngineMySQL:
		return s.mysqld(ctx)
	case archiveapi.EngineMongoDB:
		return s.mongod(ctx)
	default:
		return recipe{}, fmt.Errorf("engine %q is not known: use postgresql, mysql or mongodb", s.Engine)
	}
}

// postgres: nobody needs its data after a crash.
func (s Scratch) postgres(ctx context.Context) (recipe, error) {
	server, err := findServer(pgbin.Places(), "postgres", "initdb")
	if err != nil {
		return recipe{}, err
	}

	serve := []string{server, "-D", s.dataDir()}
	for _, setting := range []string{
		"listen_addresses=", "unix_socket_directories=" + s.Dir, "port=" + strconv.Itoa(scratchPort), "max_connections=20",
		"fsync=off", "full_page_writes=off", "synchronous_commit=off", "wal_level=minimal", "max_wal_senders=0", "max_wal_size=256MB",
		"autovacuum=off", "shared_buffers=64MB", "max_parallel_maintenance_workers=0",
		// /dev/shm is small in containers.
		"dynamic_shared_memory_type=mmap", "logging_collector=off", "log_min_messages=warning",
	} {
		serve = append(serve, "-c", setting)
	}

	return recipe{
		version: versionOf(ctx, server),
		initialize: []string{
			filepath.Join(filepath.Dir(server), "initdb"), "--pgdata=" + s.dataDir(), "--username=" + postgres.Superuser, "--auth=trust",
			"--no-instructions", "--no-sync", "--encoding=UTF8", "--locale=C",
		},
		serve: serve, stop: syscall.SIGQUIT,
		ready: func(ctx context.Context) error {
			conn, err := pgconn.Connect(ctx, pgconn.Local(s.Dir, scratchPort, "postgres"))
			if err != nil {
				return err
			}

			return conn.Close(ctx)
		},
	}, nil
}

func (s Scratch) mysqld(ctx context.Context) (recipe, error) {
	server, err := findServer([]string{"/usr/sbin", "/usr/libexec"}, "mysqld")
	if err != nil {
		return recipe{}, err
	}

	// Small, and without what makes it durable.
	base := []string{server, "--no-defaults", "--datadir=" + s.dataDir(), "--tmpdir=" + s.Dir, "--secure-file-priv=NULL", "--log-error-verbosity=1"}

	return recipe{
		version:    versionOf(ctx, server),
		initialize: append(slices.Clone(base), "--initialize-insecure"),
		serve: append(slices.Clone(base), "--skip-networking", "--socket="+s.socket(), "--pid-file="+filepath.Join(s.Dir, "mysqld.pid"),
			"--loose-mysqlx=OFF", "--disable-log-bin", "--event-scheduler=DISABLED", "--performance-schema=OFF",
			"--innodb-buffer-pool-size=128M", "--innodb-flush-log-at-trx-commit=0", "--loose-innodb-doublewrite=OFF", "--max-allowed-packet=1G"),
		stop: syscall.SIGKILL,
		ready: func(ctx context.Context) error {
			_, err := s.mysqlQuery(ctx, "", "SELECT 1")

			return err
		},
	}, nil
}

func (s Scratch) mongod(ctx context.Context) (recipe, error) {
	server, err := findServer(nil, "mongod")
	if err != nil {
		return recipe{}, err
	}

	// The others make it themselves.
	if err := os.Mkdir(s.dataDir(), 0o700); err != nil {
		return recipe{}, fmt.Errorf("make room for the throw-away server: %w", err)
	}

	return recipe{
		version: versionOf(ctx, server),
		serve:   []string{server, "--dbpath=" + s.dataDir(), "--bind_ip=" + s.socket(), "--wiredTigerCacheSizeGB=0.25", "--quiet"},
		stop:    syscall.SIGKILL,
		ready:   func(ctx context.Context) error { return dial(ctx, s.socket()) },
	}, nil
}

// findServer is the first of the programs, in a folder that has all of them: on PATH, or the newest of those that the patterns name.
func findServer(places []string, programs ...string) (string, error) {
	dirs := filepath.SplitList(os.Getenv("PATH"))

	for _, place := range places {
		// The only error is a malformed pattern, which matches nothing.
		matches, _ := filepath.Glob(place)
		slices.Reverse(matches)
		dirs = append(dirs, matches...)
	}

	for _, dir := range dirs {
		isThere := func(program string) bool {
			info, err := os.Stat(filepath.Join(dir, program)) //nolint:gosec // PATH is what this image's maker wants it to be

			return err == nil && info.Mode()&0o111 != 0
		}
		if filepath.IsAbs(dir) && !slices.ContainsFunc(programs, func(program string) bool { return !isThere(program) }) {
			return filepath.Join(dir, programs[0]), nil
		}
	}

	return "", fmt.Errorf("there is no %s on this image, so that no dump can be restored to test it: %s", strings.Join(programs, " and no "), scratchRemedy)
}

// versionOf a program; empty if it does not say.
func versionOf(ctx context.Context, path string) string {
	version, _ := exec.CommandContext(ctx, path, "--version").Output()
	first, _, _ := strings.Cut(string(version), "\n")

	return strings.TrimSpace(strings.Replace(first, path, filepath.Base(path), 1))
}

// scratchFailure says what a server, or the program that makes its files, said.
func scratchFailure(program, said string, err error) error {
	if err == nil {
		err = errors.New("it ended")
	}

	switch err := failure(program, said, err); {
	case strings.Contains(said, "look up effective user ID"):
		return fmt.Errorf("%w — this image knows no user of the ID %d, which PostgreSQL insists on: %s", err, os.Getuid(), scratchRemedy)
	case strings.Contains(said, "cannot be run as root"), strings.Contains(said, "run mysqld as root"):
		return fmt.Errorf("%w — run this as another user than root", err)
	default:
		return err
	}
}

// taken is the room that the folder takes on its disk, in bytes. Files that vanish meanwhile count as nothing.
func (s Scratch) taken() int64 {
	const block = 512

	var sum int64

	_ = filepath.WalkDir(s.Dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // as said above
		}

		if info, err := entry.Info(); err == nil {
			if stat, ok := info.Sys().(*syscall.Stat_t); ok {
				sum += stat.Blocks * block
			}
		}

		return nil
	})

	return sum
}

// wipe removes what servers have left.
func (s Scratch) wipe() error {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return fmt.Errorf("wipe the throw-away server's folder: %w", err)
	}

	var failed error

	for _, entry := range entries {
		if entry.Name() != controlSocket {
			failed = errors.Join(failed, os.RemoveAll(filepath.Join(s.Dir, entry.Name())))
		}
	}

	return failed
}
