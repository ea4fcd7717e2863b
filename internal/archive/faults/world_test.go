package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archive/basebackup"
	"github.com/caretaker-dev/caretaker/internal/archive/internal/pgserver"
	"github.com/caretaker-dev/caretaker/internal/archive/wal"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
	"github.com/caretaker-dev/caretaker/internal/objectstore/stores"
	"github.com/caretaker-dev/caretaker/internal/postgres"
	"github.com/caretaker-dev/caretaker/internal/storeconfig"
	"github.com/caretaker-dev/caretaker/internal/walclient"
)

const (
	// envArchiver makes this program an archiver, so that it can be killed as one.
	envArchiver = "CARETAKER_TEST_ARCHIVER"
	// envLong runs as many cases as a release needs, in place of what a push can wait for: make test-all.
	envLong = "CARETAKER_E2E_LONG"

	serverName = "db"
	patience   = 3 * time.Minute
	deadline   = 20 * time.Minute
)

// TestMain lets this program be the archiver.
func TestMain(m *testing.M) {
	file := os.Getenv(envArchiver)
	if file == "" {
		os.Exit(m.Run())
	}

	if err := runArchiver(file); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func runArchiver(file string) error {
	config, err := wal.ReadConfig(file)
	if err != nil {
		return err
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()

	archiver, err := wal.New(ctx, config, clock.RealClock{}, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}

	return archiver.Run(ctx)
}

func isLong() bool { return os.Getenv(envLong) == "1" }

// world is a store behind a proxy, and the programs that servers need.
type world struct {
	t     *testing.T
	ctx   context.Context //nolint:containedctx // the test's deadline
	bin   string
	dir   string
	proxy *stores.Proxy
	// server of the store, and how this test reads it: past the proxy.
	server *stores.Server
	direct storeconfig.Config
	plain  objectstore.Store
	// config goes through the proxy.
	config storeconfig.Config
	self   string
	helper string
}

func newWorld(t *testing.T) *world {
	t.Helper()

	bin, _ := pgserver.Any(t, 17, 15, 16, 18)
	w := &world{t: t, bin: bin, server: stores.S3(t)}

	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)

	w.ctx = ctx
	w.proxy = stores.NewProxy(t, w.server)

	dir, err := os.MkdirTemp("", "ct-f-") //nolint:usetesting // the path of a Unix socket must be short, and others must get in
	w.must(err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w.must(os.Chmod(dir, 0o755))

	w.dir, w.self, w.helper = dir, filepath.Join(dir, "archiver"), filepath.Join(dir, "caretaker-wal")
	w.direct = w.server.Config
	w.config = w.readable(w.direct)
	w.config.Endpoint = w.proxy.URL()

	own, err := os.Executable()
	w.must(err)
	w.copyFile(own, w.self, 0o755)

	build := exec.CommandContext(ctx, "go", "build", "-o", w.helper, "github.com/caretaker-dev/caretaker/cmd/caretaker-wal")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	w.must(os.Chmod(w.helper, 0o755))

	plain, err := objectstore.Open(ctx, w.direct)
	w.must(err)
	w.plain = objectstore.Within(plain, serverName)

	return w
}

func (w *world) must(err error) {
	w.t.Helper()

	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) copyFile(from, to string, mode os.FileMode) {
	w.t.Helper()

	source, err := os.Open(from)
	w.must(err)
	defer source.Close() //nolint:errcheck // only read

	target, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	w.must(err)

	_, err = io.Copy(target, source)
	w.must(errors.Join(err, target.Close()))
}

// readable gives the servers' user copies of the credentials.
func (w *world) readable(config storeconfig.Config) storeconfig.Config {
	w.t.Helper()

	for _, file := range []*string{&config.Credentials.AccessKeyIDFile, &config.Credentials.SecretAccessKeyFile, &config.Credentials.AzureKeyFile} {
		if *file == "" {
			continue
		}

		to := filepath.Join(w.dir, filepath.Base(*file))
		w.copyFile(*file, to, 0o644)
		*file = to
	}

	return config
}

// store as a backup sees it: through the proxy.
func (w *world) store() objectstore.Store {
	w.t.Helper()

	store, err := objectstore.Open(w.ctx, w.config)
	w.must(err)

	return objectstore.Within(store, serverName)
}

// await something that happens by itself.
func (w *world) await(what string, isDone func() bool) {
	w.t.Helper()

	for end := time.Now().Add(patience); !isDone(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) || w.ctx.Err() != nil {
			w.t.Fatalf("%s did not happen", what)
		}
	}
}

// node is a PostgreSQL with its archiver.
type node struct {
	*pgserver.Server

	w        *world
	base     string
	archiver *exec.Cmd
}

// node without data.
func (w *world) node() *node {
	w.t.Helper()

	n := &node{Server: pgserver.New(w.t, w.bin), w: w}
	n.base = filepath.Dir(n.DataDir)

	return n
}

func (n *node) socket() string { return filepath.Join(n.base, "a.sock") }

func (n *node) fetchCommand() string {
	return archiveapi.RestoreCommand(n.w.helper, n.socket(), n.spool())
}

func (n *node) spool() string { return filepath.Join(n.base, "spool") }

// primary is a new server that archives.
func (w *world) primary(initdb ...string) *node {
	w.t.Helper()

	n := w.node()
	n.Init(initdb...)
	n.archives()
	n.startArchiver(false)
	n.Start(w.ctx)
	n.Exec(w.ctx, "CREATE TABLE rows (n int PRIMARY KEY, filler text)")

	return n
}

// archives from its next start on.
func (n *node) archives() {
	n.Configure(map[string]string{
		"archive_mode": "always", "archive_command": archiveapi.ArchiveCommand(n.w.helper, n.socket()),
		"autovacuum": "off", "wal_level": "replica", "wal_keep_size": "0",
	})
}

// startArchiver of a node; one that recovers only fetches.
func (n *node) startArchiver(fetches bool) { //nolint:revive // which of two kinds it is
	n.w.t.Helper()

	target := archiveapi.Target{Store: n.w.config, Server: serverName}
	config := archiveapi.Config{
		Socket: n.socket(), DataDir: n.DataDir, SpoolDir: n.spool(),
		StandbyGrace: archiveapi.Duration(5 * time.Second), FetchPatience: archiveapi.Duration(30 * time.Second),
	}

	if fetches {
		config.Sources = []archiveapi.Target{target}
	} else {
		config.Archive = &target
	}

	text, err := json.Marshal(config)
	n.w.must(err)

	file := filepath.Join(n.base, "archiver.json")
	n.w.must(os.WriteFile(file, text, 0o644))

	// A program of the server's user, in another place than PostgreSQL's.
	n.archiver = n.Command("postgres")
	n.archiver.Path, n.archiver.Args, n.archiver.Err = n.w.self, []string{n.w.self}, nil
	n.archiver.Env = append(n.archiver.Env, envArchiver+"="+file)

	if testing.Verbose() {
		n.archiver.Stderr = n.w.t.Output()
	}

	n.w.must(n.archiver.Start())
	n.w.t.Cleanup(n.killArchiver)
}

func (n *node) killArchiver() {
	if n.archiver != nil {
		_ = n.archiver.Process.Kill()
		_ = n.archiver.Wait()
		n.archiver = nil
	}
}

// push is how archiving goes; nil if the archiver does not answer.
func (n *node) push() *archiveapi.PushStatus {
	text, err := (walclient.Client{Socket: n.socket(), Patience: 5 * time.Second}).Status(n.w.ctx)
	if err != nil {
		return nil
	}

	var status archiveapi.Status
	n.w.must(json.Unmarshal(text, &status))

	return status.Push
}

// settle ends the segment and waits until all is archived.
func (n *node) settle() {
	n.w.t.Helper()

	n.Exec(n.w.ctx, "SELECT pg_switch_wal()")
	n.w.await("archiving of all that is complete", func() bool {
		push := n.push()

		// Not last_archived_wal, which may be the name of a history file or of a backup's label.
		return push != nil && push.Failing == nil && push.Backlog.Files == 0 &&
			n.Text(n.w.ctx, `SELECT count(*)::text FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'`) == "0"
	})
}

// take a full backup.
func (n *node) take(ctx context.Context, store objectstore.Store, parent string) (*basebackup.Manifest, error) {
	conn, err := pgx.Connect(ctx, fmt.Sprintf("host=%s port=%d user=postgres", n.Socket, n.Port))
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the backup is over

	return basebackup.Take(ctx, basebackup.Options{
		Store: store, Server: serverName, Conn: conn, Fast: true, Clock: clock.RealClock{}, Parent: parent, BlockHashes: true,
	})
}

func (n *node) mustTake() *basebackup.Manifest {
	n.w.t.Helper()

	m, err := n.take(n.w.ctx, n.w.store(), "")
	n.w.must(err)

	return m
}

// oracle knows the LSN behind each row: a recovery to it has that row and those before, and no other.
type oracle struct {
	w    *world
	lsns []postgres.LSN
}

// rows are written, each in a transaction of its own.
func (o *oracle) rows(n *node, count int) {
	o.w.t.Helper()

	conn := n.Connect(o.w.ctx, "postgres")

	for range count {
		_, err := conn.Exec(o.w.ctx, "INSERT INTO rows SELECT $1::int, repeat(md5($1::int::text), 20)", len(o.lsns)+1)
		o.w.must(err)

		var text string

		o.w.must(conn.QueryRow(o.w.ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&text))

		lsn, err := postgres.ParseLSN(text)
		o.w.must(err)

		o.lsns = append(o.lsns, lsn)
	}
}

// check that a recovery to row i's LSN has what it must.
func (o *oracle) check(to *node, i int) {
	o.w.t.Helper()

	want := fmt.Sprintf("%d/%d/%s", i+1, i+1, to.Text(o.w.ctx, fmt.Sprintf("SELECT md5(string_agg(repeat(md5(i::text), 20), ',' ORDER BY i)) FROM generate_series(1, %d) i", i+1)))
	if got := to.Text(o.w.ctx, "SELECT count(*) || '/' || max(n) || '/' || md5(string_agg(filler, ',' ORDER BY n)) FROM rows"); got != want {
		o.w.t.Errorf("recovered to row %d: rows/newest/content are %s, want %s\n%s", i+1, got, want, to.Log())
	}
}

// readWAL reads histories past the proxy.
func (w *world) readWAL(ctx context.Context, name string) ([]byte, error) {
	archive, err := wal.Open(ctx, archiveapi.Target{Store: w.direct, Server: serverName})
	if err != nil {
		return nil, err
	}

	return archive.Fetch(ctx, name)
}

// recover the backup that leads to a target, and wait until it has promoted.
func (w *world) recover(target archiveapi.RecoveryTarget) *node {
	w.t.Helper()

	m, _, err := basebackup.Choose(w.ctx, w.plain, "", target, w.readWAL)
	w.must(err)

	n := w.restore(m.ID, target)
	n.Start(w.ctx)
	w.await("the end of recovery", func() bool { return n.Text(w.ctx, "SELECT pg_is_in_recovery()::text") == "false" })

	return n
}

// restore a backup, to be started with a target.
func (w *world) restore(id string, target archiveapi.RecoveryTarget) *node {
	w.t.Helper()

	n := w.node()

	_, err := basebackup.Restore(w.ctx, basebackup.RestoreOptions{Store: w.store(), Backup: id, DataDir: n.DataDir, Clock: clock.RealClock{}})
	w.must(err)
	w.must(basebackup.WriteRecovery(n.DataDir, archiveapi.RecoverySettings(target, n.fetchCommand())))

	// It must not write into the archive that it comes from.
	n.Configure(map[string]string{"archive_mode": "off"})
	n.Give(n.DataDir)
	n.startArchiver(true)

	return n
}

// verify all backups: each is restorable, or not there, or lacks WAL that is really not in the store. The result is the
// complete ones, the oldest first.
func (w *world) verify() []*basebackup.Manifest {
	w.t.Helper()

	all, err := basebackup.List(w.ctx, w.plain)
	w.must(err)

	var complete []*basebackup.Manifest

	for _, backup := range all {
		if backup.Problem != "" {
			w.t.Fatalf("backup %s: %s", backup.ID, backup.Problem)
		}

		if backup.Manifest == nil {
			continue
		}

		report, err := basebackup.Verify(w.ctx, basebackup.VerifyOptions{Store: w.plain, Backup: backup.ID, Clock: clock.RealClock{}})
		w.must(err)

		for _, problem := range report.Problems {
			if !strings.Contains(problem, "WAL") {
				w.t.Fatalf("backup %s is listed, and yet: %s", backup.ID, problem)
			}
		}

		complete = append(complete, backup.Manifest)
	}

	return complete
}
