package wal

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/objectstore/stores"
	"github.com/caretaker-dev/caretaker/internal/postgres"
	"github.com/caretaker-dev/caretaker/internal/storeconfig"
	"github.com/caretaker-dev/caretaker/internal/testport"
	"github.com/caretaker-dev/caretaker/internal/walclient"
)

// TestMain lets this program be the archiver, so that it can be killed as one.
func TestMain(m *testing.M) {
	file := os.Getenv("CARETAKER_TEST_ARCHIVER")
	if file == "" {
		os.Exit(m.Run())
	}

	if err := runArchiver(file); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func runArchiver(file string) error {
	config, err := ReadConfig(file)
	if err != nil {
		return err
	}

	ctx, stop := signalContext()
	defer stop()

	archiver, err := New(ctx, config, clock.RealClock{}, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}

	return archiver.Run(ctx)
}

const (
	nobody = 65534
	// testPatience is for a machine that does much else.
	testPatience = 3 * time.Minute
)

// world is a folder with servers in it, all of which run as nobody when the test runs as root.
type world struct {
	t    *testing.T
	bin  string
	dir  string
	push string // caretaker-wal
	self string
}

// server is a PostgreSQL with its archiver.
type server struct {
	*world

	name     string
	port     string
	archiver *exec.Cmd
}

func newWorld(t *testing.T) *world {
	t.Helper()

	w := &world{t: t, bin: os.Getenv("POSTGRES_BINDIR")}
	if w.bin == "" {
		t.Skip("POSTGRES_BINDIR names no PostgreSQL installation")
	}

	dir, err := os.MkdirTemp("", "wal") //nolint:usetesting // the path of a Unix socket must be short
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = os.RemoveAll(dir) })

	w.dir = dir
	w.push = filepath.Join(dir, "caretaker-wal")
	w.self = filepath.Join(dir, "archiver")

	build := exec.Command("go", "build", "-o", w.push, "github.com/caretaker-dev/caretaker/cmd/caretaker-wal")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")

	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}

	if err := copyFile(own, w.self); err != nil {
		t.Fatal(err)
	}

	for _, err := range []error{os.Chmod(w.self, 0o755), os.Chmod(w.push, 0o755), os.Chmod(dir, 0o755), w.own(dir)} {
		if err != nil {
			t.Fatal(err)
		}
	}

	return w
}

func (w *world) own(path string) error {
	if os.Getuid() != 0 {
		return nil
	}

	return os.Chown(path, nobody, nobody)
}

// command that runs as the servers' user.
func (w *world) command(program string, args ...string) *exec.Cmd {
	command := exec.Command(program, args...)
	command.Dir = w.dir
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}

	if os.Getuid() == 0 {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}

	return command
}

func (w *world) run(program string, args ...string) string {
	w.t.Helper()

	out, err := w.command(filepath.Join(w.bin, program), args...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}

	return string(out)
}

func (w *world) server(name string) *server {
	return &server{world: w, name: name, port: strconv.Itoa(testport.Free(w.t))}
}

func (s *server) path(name string) string { return filepath.Join(s.dir, s.name+name) }
func (s *server) socket() string          { return s.path(".sock") }

// configure a server: what it archives by, and restores by.
func (s *server) configure(more ...string) {
	s.t.Helper()

	settings := append([]string{
		"port = " + s.port, "listen_addresses = '127.0.0.1'", "unix_socket_directories = ''", "fsync = off", "wal_level = replica",
		"archive_mode = always", "max_wal_size = 256MB", "wal_keep_size = 0", "shared_buffers = 32MB",
		postgres.RenderConf(map[string]string{
			"archive_command": archiveapi.ArchiveCommand(s.push, s.socket()),
			"restore_command": archiveapi.RestoreCommand(s.push, s.socket(), s.path(".spool")),
		}),
	}, more...)

	path := filepath.Join(s.path(""), "postgresql.auto.conf")
	if err := os.WriteFile(path, []byte(strings.Join(settings, "\n")+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}

	if err := s.own(path); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) start() {
	s.t.Helper()
	s.run("pg_ctl", "-D", s.path(""), "-l", s.path(".log"), "-w", "-t", "120", "start")
	s.t.Cleanup(func() {
		_ = s.command(filepath.Join(s.bin, "pg_ctl"), "-D", s.path(""), "-m", "immediate", "stop").Run()
	})
}

func (s *server) sql(text string) string {
	s.t.Helper()

	return strings.TrimSpace(s.run("psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", s.port, "-U", "postgres", "-c", text, "postgres"))
}

// startArchiver of a store, also after it was killed.
func (s *server) startArchiver(config storeconfig.Config) {
	s.t.Helper()

	text, err := json.Marshal(archiveapi.Config{
		Archive: &archiveapi.Target{Store: config, Server: "db"}, Socket: s.socket(), DataDir: s.path(""), SpoolDir: s.path(".spool"),
		StandbyGrace: archiveapi.Duration(20 * time.Second), FetchPatience: archiveapi.Duration(time.Minute),
	})
	if err != nil {
		s.t.Fatal(err)
	}

	file := s.path(".json")
	if err := errors.Join(os.WriteFile(file, text, 0o644), os.Chmod(file, 0o644)); err != nil {
		s.t.Fatal(err)
	}

	s.archiver = s.command(s.self)
	s.archiver.Env = []string{"CARETAKER_TEST_ARCHIVER=" + file}
	s.archiver.Stderr = s.t.Output()

	if err := s.archiver.Start(); err != nil {
		s.t.Fatal(err)
	}

	s.t.Cleanup(s.killArchiver)
}

func (s *server) killArchiver() {
	if s.archiver != nil {
		_ = s.archiver.Process.Kill()
		_ = s.archiver.Wait()
		s.archiver = nil
	}
}

func (s *server) await(what string, isDone func() bool) {
	s.t.Helper()

	for deadline := time.Now().Add(testPatience); !isDone(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(s.path(".log"))
			s.t.Fatalf("%s did not happen; the log ends with\n%s", what, log[max(0, len(log)-3000):])
		}
	}
}

func (s *server) status() archiveapi.Status {
	s.t.Helper()

	text, err := (walclient.Client{Socket: s.socket(), Patience: testPatience}).Status(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}

	var status archiveapi.Status
	if err := json.Unmarshal(text, &status); err != nil {
		s.t.Fatal(err)
	}

	return status
}

// insert n rows, and fill some segments with them.
func (s *server) insert(n int) {
	s.t.Helper()
	s.sql(fmt.Sprintf("INSERT INTO rows (text) SELECT repeat(md5(random()::text), 60) FROM generate_series(1, %d)", n))
	s.sql("SELECT pg_switch_wal()")
}

// A PostgreSQL archives through everything that goes wrong, a standby is promoted, and a restore from the store alone has
// every row of both timelines.
func TestARealPostgreSQLComesBackFromTheStore(t *testing.T) {
	w := newWorld(t)
	store := stores.S3(t)
	config := readable(t, w, store.Config)
	config.Timeouts = storeconfig.Timeouts{Attempts: 2, Stall: 10 * time.Second}

	primary := w.server("a")
	w.run("initdb", "-D", primary.path(""), "-U", "postgres", "--auth=trust", "--no-sync", "--no-locale")
	primary.configure()
	primary.startArchiver(config)
	primary.start()
	primary.sql("CREATE TABLE rows (id bigserial PRIMARY KEY, text text)")
	primary.insert(1000)

	standby, restored := w.server("b"), w.server("c")
	for _, s := range []*server{standby, restored} {
		w.run("pg_basebackup", "-D", s.path(""), "-h", "127.0.0.1", "-p", primary.port, "-U", "postgres", "-X", "none", "-c", "fast", "--no-sync")
	}

	mark(t, standby, "standby.signal")
	standby.configure("primary_conninfo = 'host=127.0.0.1 port=" + primary.port + " user=postgres'")
	standby.startArchiver(config)
	standby.start()

	primary.insert(20_000)

	// The archiver dies again and again, and once the store does.
	for range 3 {
		primary.killArchiver()
		primary.insert(5_000)
		primary.startArchiver(config)
	}

	store.Kill()
	primary.insert(10_000)
	primary.await("the status of a store that is down", func() bool { return primary.status().Push.Failing != nil })

	if failing := primary.status().Push.Failing; failing.Reason != archiveapi.ReasonUnreachable {
		t.Errorf("status says %+v", failing)
	}

	store.Start()
	primary.insert(1)
	primary.await("catching up", func() bool {
		push := primary.status().Push

		return push.Backlog.Files == 0 && push.Failing == nil
	})

	standby.await("replay", func() bool {
		return standby.sql("SELECT count(*) FROM rows") == primary.sql("SELECT count(*) FROM rows")
	})

	// Switch over within a segment, and go on.
	primary.sql("INSERT INTO rows (text) VALUES ('the last of timeline 1')")
	want := primary.sql("SELECT count(*) FROM rows")
	standby.await("the last row", func() bool { return standby.sql("SELECT count(*) FROM rows") == want })
	w.run("pg_ctl", "-D", primary.path(""), "-m", "immediate", "stop")
	w.run("pg_ctl", "-D", standby.path(""), "-w", "promote")
	standby.insert(10_000)
	standby.insert(1)
	standby.await("archiving on timeline 2", func() bool { return standby.status().Push.Backlog.Files == 0 })

	if gap := standby.status().Push.Gap; gap != nil {
		t.Errorf("a gap: %+v", gap)
	}

	want = standby.sql("SELECT count(*), sum(hashtext(text)) FROM rows")

	mark(t, restored, "recovery.signal")
	restored.configure("recovery_target_timeline = 'latest'", "archive_command = 'true'")
	restored.startArchiver(config)
	restored.start()
	restored.await("the end of recovery", func() bool { return restored.sql("SELECT pg_is_in_recovery()") == "f" })

	if got := restored.sql("SELECT count(*), sum(hashtext(text)) FROM rows"); got != want {
		t.Errorf("restored: %s, want %s", got, want)
	}

	fetched := restored.status().Fetch
	t.Logf("fetched %d files, %d of them ahead", fetched.Given, fetched.Hits)

	if fetched.Hits == 0 {
		t.Error("none of them was there when PostgreSQL asked for it")
	}
}

// A recovery stops, and does not end early, when the store cannot be reached.
func TestARealRecoveryNeverEndsEarly(t *testing.T) {
	w := newWorld(t)
	store := stores.S3(t)
	config := readable(t, w, store.Config)
	config.Timeouts = storeconfig.Timeouts{Attempts: 2}

	primary, restored := w.server("a"), w.server("c")
	w.run("initdb", "-D", primary.path(""), "-U", "postgres", "--auth=trust", "--no-sync", "--no-locale")
	primary.configure()
	primary.startArchiver(config)
	primary.start()
	w.run("pg_basebackup", "-D", restored.path(""), "-h", "127.0.0.1", "-p", primary.port, "-U", "postgres", "-X", "none", "-c", "fast", "--no-sync")
	primary.await("archiving", func() bool { return primary.status().Push.Backlog.Files == 0 && primary.status().Push.Sent > 0 })

	store.Kill()
	mark(t, restored, "recovery.signal")
	restored.configure()

	// No archiver at all, for a short time: the helper's patience is two minutes, PostgreSQL's none.
	restored.startArchiver(config)

	out, err := w.command(filepath.Join(w.bin, "pg_ctl"), "-D", restored.path(""), "-l", restored.path(".log"), "-w", "-t", "150", "start").CombinedOutput()
	if err == nil {
		_ = w.command(filepath.Join(w.bin, "pg_ctl"), "-D", restored.path(""), "-m", "immediate", "stop").Run()
		t.Fatalf("recovery ended without its WAL\n%s", out)
	}

	if log, _ := os.ReadFile(restored.path(".log")); !strings.Contains(string(log), "cannot be fetched") {
		t.Errorf("the log does not say why:\n%s", log)
	}
}

func mark(t *testing.T, s *server, name string) {
	t.Helper()

	path := filepath.Join(s.path(""), name)
	if err := errors.Join(os.WriteFile(path, nil, 0o600), s.own(path)); err != nil {
		t.Fatal(err)
	}
}

// readable gives nobody copies of the credentials.
func readable(t *testing.T, w *world, config storeconfig.Config) storeconfig.Config {
	t.Helper()

	for _, file := range []*string{&config.Credentials.AccessKeyIDFile, &config.Credentials.SecretAccessKeyFile} {
		copied := filepath.Join(w.dir, filepath.Base(*file))
		if err := copyFile(*file, copied); err != nil {
			t.Fatal(err)
		}

		if err := w.own(copied); err != nil {
			t.Fatal(err)
		}

		*file = copied
	}

	return config
}
