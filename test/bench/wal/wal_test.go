// Package wal measures how fast WAL goes to an object store and comes back, against versitygw on loopback: make bench-wal.
package wal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	archivewal "github.com/caretaker-dev/caretaker/internal/archive/wal"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/objectstore/stores"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

const nobody = 65534

// TestBench needs CARETAKER_BENCH=1, POSTGRES_BINDIR and some GiB of disk. MIB is the amount of WAL (default 2048).
func TestBench(t *testing.T) {
	bin := os.Getenv("POSTGRES_BINDIR")
	if os.Getenv("CARETAKER_BENCH") == "" || bin == "" {
		t.Skip("CARETAKER_BENCH and POSTGRES_BINDIR are not set")
	}

	b := &bench{t: t, bin: bin, mib: 2048}
	if n, err := strconv.Atoi(os.Getenv("MIB")); err == nil {
		b.mib = n
	}

	b.prepare()
	b.makeWAL()
	b.push()
	b.fetch()
	b.recoveries()
}

// rounds of recovery, in turn: the first of them finds memory that the machine has not used yet, and is slower by a tenth.
const rounds = 3

func (b *bench) recoveries() {
	var local, remote []float64

	for range rounds {
		local = append(local, b.recovery("local", true).Seconds())
		remote = append(remote, b.recovery("archive", false).Seconds())
	}

	slices.Sort(local)
	slices.Sort(remote)
	b.say("recovery from the archive: %.2f × the speed of the same WAL in pg_wal (medians of %d: %.1f and %.1f s; %.1f, %.1f)",
		local[rounds/2]/remote[rounds/2], rounds, remote[rounds/2], local[rounds/2], remote, local)
}

type bench struct {
	t        *testing.T
	bin, dir string
	mib      int
	helper   string
	store    *stores.Server
	names    []string
	bytes    int64
}

func (b *bench) say(format string, values ...any) {
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("bench-wal: "+format+" (load %s)\n", append(values, strings.Fields(string(load))[0])...)
}

func (b *bench) path(parts ...string) string {
	return filepath.Join(append([]string{b.dir}, parts...)...)
}

func (b *bench) must(err error) {
	b.t.Helper()

	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) command(program string, args ...string) *exec.Cmd {
	command := exec.Command(program, args...)
	command.Dir = b.dir

	if os.Getuid() == 0 {
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}

	return command
}

func (b *bench) run(program string, args ...string) string {
	b.t.Helper()

	if !filepath.IsAbs(program) {
		program = filepath.Join(b.bin, program)
	}

	out, err := b.command(program, args...).CombinedOutput()
	if err != nil {
		b.t.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}

	return strings.TrimSpace(string(out))
}

func (b *bench) prepare() {
	dir, err := os.MkdirTemp("", "benchwal")
	b.must(err)
	b.t.Cleanup(func() { _ = os.RemoveAll(dir) })

	b.dir, b.helper = dir, filepath.Join(dir, "caretaker-wal")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", dir,
		"github.com/caretaker-dev/caretaker/cmd/caretaker-wal", "github.com/caretaker-dev/caretaker/cmd/caretaker-archive")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	b.must(build.Run())
	b.must(os.Chmod(dir, 0o755))

	if os.Getuid() == 0 {
		b.must(os.Chown(dir, nobody, nobody))
	}

	b.store = stores.S3(b.t)

	for _, file := range []*string{&b.store.Config.Credentials.AccessKeyIDFile, &b.store.Config.Credentials.SecretAccessKeyFile} {
		readable := b.path(filepath.Base(*file))
		b.must(copyInto(*file, readable))
		*file = readable
	}
}

func (b *bench) sql(text string) string {
	return b.run("psql", "-X", "-A", "-t", "-q", "-h", b.dir, "-p", "5439", "-U", "postgres", "-c", text, "postgres")
}

func (b *bench) start(data string, settings ...string) {
	settings = append([]string{
		"port = 5439", "listen_addresses = ''", "unix_socket_directories = '" + b.dir + "'", "fsync = off", "shared_buffers = 512MB",
		"max_wal_size = 100GB", "checkpoint_timeout = 1d", "wal_keep_size = 100GB", "full_page_writes = on", "max_wal_senders = 4",
	}, settings...)
	b.must(os.WriteFile(filepath.Join(data, "postgresql.auto.conf"), []byte(strings.Join(settings, "\n")+"\n"), 0o644))

	if out, err := b.command(filepath.Join(b.bin, "pg_ctl"), "-D", data, "-l", data+".log", "-w", "-t", "3600", "start").CombinedOutput(); err != nil {
		text, _ := os.ReadFile(data + ".log")
		b.t.Fatalf("PostgreSQL does not start: %v\n%s\n%s", err, out, text[max(0, len(text)-4096):])
	}
}

func (b *bench) stop(data string) { b.run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop") }

// makeWAL that a busy server makes: pgbench's own load, full pages and small records.
func (b *bench) makeWAL() {
	data := b.path("data")
	b.run("initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", "--no-locale")
	b.start(data)

	pgbench := []string{"-h", b.dir, "-p", "5439", "-U", "postgres"}
	b.run("pgbench", append(pgbench, "-i", "-q", "-s", "20", "postgres")...)
	b.sql("CHECKPOINT")
	b.run("pg_basebackup", "-h", b.dir, "-p", "5439", "-U", "postgres", "-D", b.path("base"), "-X", "none", "-c", "fast", "--no-sync")

	begin := b.sql("SELECT pg_current_wal_lsn()")
	for n := 0; n < b.mib; {
		b.run("pgbench", append(pgbench, "-n", "-c", "4", "-T", "10", "postgres")...)
		b.sql("UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid % 7 = 0")
		n, _ = strconv.Atoi(b.sql("SELECT ((pg_current_wal_lsn() - '" + begin + "') / 1048576)::int"))
	}

	b.sql("SELECT pg_switch_wal()")
	b.stop(data)

	entries, err := os.ReadDir(filepath.Join(data, "pg_wal"))
	b.must(err)

	status := filepath.Join(data, "pg_wal", "archive_status")

	for _, entry := range entries {
		if len(entry.Name()) == 24 {
			b.names = append(b.names, entry.Name())
		}
	}

	// Segments that were made ahead hold no WAL of theirs; the newest that does is not full.
	whole := b.names[:0]

	for _, name := range b.names {
		if archivewal.IsSegment(filepath.Join(data, "pg_wal", name)) {
			whole = append(whole, name)
		}
	}

	b.names = whole[:len(whole)-1]
	b.bytes = int64(len(b.names)) << 24

	for _, name := range b.names {
		b.must(os.WriteFile(filepath.Join(status, name+".ready"), nil, 0o666))
	}
}

// archiver of a data directory, as the server's user; stop ends it.
func (b *bench) archiver(data string) (socket string, stop func()) {
	socket = b.path("s")

	text, err := json.Marshal(archiveapi.Config{
		Archive: &archiveapi.Target{Store: b.store.Config, Server: "db"}, Socket: socket, DataDir: data, SpoolDir: b.path("spool"),
	})
	b.must(err)

	file := b.path("archiver.json")
	b.must(os.WriteFile(file, text, 0o644))

	archiver := b.command(b.path("caretaker-archive"), "archiver", "--config", file)
	archiver.Stderr = b.t.Output()
	b.must(archiver.Start())

	for range 100 {
		if _, err := os.Stat(socket); err == nil {
			break
		}

		time.Sleep(20 * time.Millisecond)
	}

	return socket, func() {
		b.must(archiver.Process.Signal(syscall.SIGTERM))
		b.must(archiver.Wait())
	}
}

// push the backlog as PostgreSQL does: one command after the other, a process each.
func (b *bench) push() {
	data := b.path("data")
	socket, stop := b.archiver(data)

	defer stop()

	began := time.Now()

	for _, name := range b.names {
		b.run(b.helper, "--socket", socket, "push", "pg_wal/"+name)
		b.must(os.Rename(filepath.Join(data, "pg_wal/archive_status", name+".ready"), filepath.Join(data, "pg_wal/archive_status", name+".done")))
	}

	b.rate("push of a backlog", began)
}

func (b *bench) rate(what string, began time.Time) {
	seconds := time.Since(began).Seconds()
	b.say("%s: %d segments, %.0f MB in %.1f s, %.0f MB/s", what, len(b.names), float64(b.bytes)/1e6, seconds, float64(b.bytes)/1e6/seconds)
}

// fetch everything as PostgreSQL does, and throw it away.
func (b *bench) fetch() {
	socket, stop := b.archiver(b.path("data"))
	defer stop()

	dest := b.path("RECOVERYXLOG")
	began := time.Now()

	for _, name := range b.names {
		b.run(b.helper, "--socket", socket, "fetch", name, dest)
		b.must(os.Remove(dest))
	}

	b.rate("fetch to nowhere", began)
}

// recovery of the base copy over all of the WAL; how long the replay took.
func (b *bench) recovery(name string, isLocal bool) time.Duration { //nolint:revive // what is compared
	data := b.path(name)
	b.run("/bin/cp", "-a", b.path("base"), data)

	settings := []string{"restore_command = 'false'"}

	if isLocal {
		for _, segment := range b.names {
			b.must(copyInto(b.path("data/pg_wal", segment), filepath.Join(data, "pg_wal", segment)))
		}
	} else {
		socket, stop := b.archiver(data)
		defer stop()

		settings = []string{postgres.RenderConf(map[string]string{"restore_command": archiveapi.RestoreCommand(b.helper, socket, b.path("spool"))})}
	}

	b.must(os.WriteFile(filepath.Join(data, "recovery.signal"), nil, 0o644))

	began := time.Now()
	b.start(data, append(settings, "recovery_target_action = promote")...)

	b.awaitEnd()

	took := time.Since(began)
	b.stop(data)
	// How much of it replay worked, and how much it waited: a guest's processors are not equally fast at any time.
	text, err := os.ReadFile(data + ".log")
	b.must(err)
	b.say("recovery, %s: %.1f s; replay: %s", name, took.Seconds(), regexp.MustCompile(`CPU: user: .* elapsed: .* s`).Find(text))
	b.must(errors.Join(os.Remove(data+".log"), os.RemoveAll(data)))

	return took
}

// awaitEnd of a recovery, over one connection: a psql every 50 ms takes a sixth of a processor.
func (b *bench) awaitEnd() {
	conn, err := pgx.Connect(b.t.Context(), fmt.Sprintf("host=%s port=5439 user=postgres database=postgres", b.dir))
	b.must(err)

	defer conn.Close(context.WithoutCancel(b.t.Context())) //nolint:errcheck // a benchmark

	for isIn := true; isIn; time.Sleep(20 * time.Millisecond) {
		b.must(conn.QueryRow(b.t.Context(), "SELECT pg_is_in_recovery()").Scan(&isIn))
	}
}

// copyInto keeps the copy for the server's user.
func copyInto(from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()

	target, err := os.Create(to)
	if err != nil {
		return err
	}

	_, err = io.Copy(target, source)
	if os.Getuid() == 0 {
		err = errors.Join(err, target.Chown(nobody, nobody))
	}

	return errors.Join(err, target.Close())
}
