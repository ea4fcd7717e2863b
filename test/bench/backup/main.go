package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options of a measurement.
type options struct {
	archive string
	dir     string
	bin     string
	major   int
	size    int
	runs    int
	workers int
}

func main() {
	o := options{}
	flag.StringVar(&o.archive, "archive", "bin/caretaker-archive", "our program")
	flag.StringVar(&o.dir, "dir", "", "a folder for everything, on the disk to measure; it is removed at the end (default: a new one in the temporary folder)")
	flag.StringVar(&o.bin, "bin", "/usr/lib/postgresql/15/bin", "PostgreSQL's programs")
	flag.IntVar(&o.size, "size", 4096, "MiB of data")
	flag.IntVar(&o.runs, "runs", 5, "runs of each")
	flag.IntVar(&o.workers, "workers", 2, "workers of each tool")
	flag.Parse()

	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench-backup:", err)
		os.Exit(1)
	}
}

// bench is a run.
type bench struct {
	options

	data, socket, conf string
	results            map[string][]sample
	order              []string
	changes            int
}

// sample is one measured command.
type sample struct {
	seconds, cpu float64
	peak         int64
	stored       int64
}

const (
	port = "54329"
	// rowsPerBlock of pgbench_accounts, as pgbench fills it.
	rowsPerBlock = 61
)

func run(o options) (err error) {
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "bench-backup-"); err != nil {
			return err
		}
	}

	b := &bench{options: o, data: o.dir + "/data", socket: o.dir + "/socket", conf: o.dir + "/pgbackrest.conf", results: map[string][]sample{}}
	defer func() { err = errors.Join(err, b.cleanUp()) }()

	if o.archive, err = filepath.Abs(o.archive); err != nil {
		return err
	}

	b.archive = o.archive

	if err := b.prepare(); err != nil {
		return err
	}

	level, err := b.chooseLevel()
	if err != nil {
		return err
	}

	for i := range o.runs {
		fmt.Fprintf(os.Stderr, "run %d of %d\n", i+1, o.runs)

		if err := errors.Join(b.ours(), b.pgBackRest(level), b.pgBaseBackup()); err != nil {
			return err
		}
	}

	b.print(level)

	return nil
}

// as runs a command as the user postgres, if we are root: PostgreSQL refuses to run as root.
func (b *bench) as(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...) //nolint:noctx // measured to its end
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + b.bin + ":/usr/bin:/bin", "LC_ALL=C", "PGHOST=" + b.socket, "PGPORT=" + port, "PGUSER=postgres", "HOME=" + b.dir}

	if os.Getuid() == 0 {
		stat, ok := mustStat(b.dir)
		if ok {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stat.Uid, Gid: stat.Gid}}
		}
	}

	return cmd
}

func mustStat(path string) (*syscall.Stat_t, bool) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, false
	}

	stat, ok := info.Sys().(*syscall.Stat_t)

	return stat, ok
}

func (b *bench) do(name string, args ...string) (string, error) {
	out, err := b.as(name, args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}

	return string(out), nil
}

// prepare makes the server and its data.
func (b *bench) prepare() error {
	if err := b.give(); err != nil {
		return err
	}

	version, err := b.do(b.bin+"/postgres", "--version")
	if err != nil {
		return err
	}

	fields := strings.Fields(version)
	if b.major, err = strconv.Atoi(strings.Split(fields[2], ".")[0]); err != nil {
		return err
	}

	steps := [][]string{
		{"mkdir", "-p", b.socket, b.dir + "/ours", b.dir + "/pgbackrest", b.dir + "/plain", b.dir + "/log"},
		{b.bin + "/initdb", "-D", b.data, "-U", "postgres", "-A", "trust", "--data-checksums", "--locale=C", "-E", "UTF8"},
	}
	for _, step := range steps {
		if _, err := b.do(step[0], step[1:]...); err != nil {
			return err
		}
	}

	if err := b.configure(); err != nil {
		return err
	}

	if _, err := b.do(b.bin+"/pg_ctl", "-D", b.data, "-l", b.dir+"/log/postgres", "-w", "start"); err != nil {
		return err
	}

	return b.fill()
}

func (b *bench) give() error {
	if os.Getuid() != 0 {
		return nil
	}

	out, err := exec.Command("chown", "postgres", b.dir).CombinedOutput() //nolint:noctx // over at once
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}

	return os.Chmod(b.dir, 0o755)
}

func (b *bench) configure() error {
	settings := map[string]string{
		"unix_socket_directories": b.socket, "port": port, "listen_addresses": "", "shared_buffers": "512MB", "max_wal_size": "4GB",
		"autovacuum": "off", "archive_mode": "on", "archive_command": "/bin/true", "fsync": "off", "wal_level": "replica",
	}
	if b.major >= 17 {
		settings["summarize_wal"] = "on"
	}

	var out strings.Builder
	for name, value := range settings {
		fmt.Fprintf(&out, "%s = '%s'\n", name, value)
	}

	rest := fmt.Sprintf("[global]\nrepo1-path=%[1]s/pgbackrest\nlog-path=%[1]s/log\nlock-path=%[1]s/log\nspool-path=%[1]s/log\nlog-level-console=error\n"+
		"archive-check=n\narchive-copy=n\nstart-fast=y\nrepo1-retention-full=1\ncompress-type=zst\nprocess-max=%[2]d\n"+
		"[demo]\npg1-path=%[3]s\npg1-socket-path=%[4]s\npg1-port=%[5]s\npg1-user=postgres\n", b.dir, b.workers, b.data, b.socket, port)

	conf, err := os.OpenFile(b.data+"/postgresql.auto.conf", os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}

	_, err = conf.WriteString(out.String())

	return errors.Join(err, conf.Close(), os.WriteFile(b.conf, []byte(rest), 0o644))
}

func (b *bench) sql(statement string) error {
	_, err := b.do(b.bin+"/psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-c", statement)

	return err
}

// fill makes about the wanted size: half of it pgbench's tables and indexes, a quarter text, a quarter large objects that do not compress.
func (b *bench) fill() error {
	const pgbenchMiB = 15

	fmt.Fprintf(os.Stderr, "making %d MiB of data\n", b.size)

	if _, err := b.do(b.bin+"/pgbench", "-i", "-q", "-s", strconv.Itoa(max(1, b.size/2/pgbenchMiB)), "postgres"); err != nil {
		return err
	}

	rows := b.size * 1000
	blobs := max(1, b.size/4)

	return errors.Join(
		b.sql(fmt.Sprintf("CREATE TABLE words AS SELECT i, md5(i::text) AS hash, repeat('lorem ipsum ' || i || ' ', 8) AS body FROM generate_series(1, %d) i; "+
			"CREATE INDEX ON words (hash)", rows)),
		b.sql("CREATE EXTENSION IF NOT EXISTS pgcrypto"),
		b.sql(fmt.Sprintf("SELECT count(lo_from_bytea(0, (SELECT string_agg(gen_random_bytes(1024), '') FROM generate_series(1, 1024) WHERE b > 0))) "+
			"FROM generate_series(1, %d) b", blobs)),
		b.sql("VACUUM ANALYZE"), b.sql("CHECKPOINT"),
	)
}

// change touches about one block in a hundred of the largest table, and what belongs to it: other rows each time.
func (b *bench) change() error {
	b.changes++

	return errors.Join(
		b.sql(fmt.Sprintf("UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid %% %d = %d", 100*rowsPerBlock, b.changes*7)),
		b.sql("CHECKPOINT"),
	)
}

// measure runs a command and adds it to the results.
func (b *bench) measure(what, stored string, cmd *exec.Cmd) error {
	dropCaches()

	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	began := time.Now()

	if err := cmd.Start(); err != nil {
		return err
	}

	peak := watch(cmd.Process.Pid)
	err := cmd.Wait()
	s := sample{seconds: time.Since(began).Seconds(), peak: peak()}

	if err != nil {
		return fmt.Errorf("%s: %w\n%s", what, err, output.String())
	}

	s.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()

	if stored != "" {
		s.stored = size(stored)
	}

	if _, isKnown := b.results[what]; !isKnown {
		b.order = append(b.order, what)
	}

	b.results[what] = append(b.results[what], s)
	fmt.Fprintf(os.Stderr, "  %-45s %7.1f s  cpu %6.1f s  peak %4d MiB  %5d MiB\n", what, s.seconds, s.cpu, s.peak>>20, s.stored>>20)

	return nil
}

// dropCaches so that each begins with a cold cache, where we may.
func dropCaches() {
	syscall.Sync()
	_ = os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0) // not allowed everywhere: then all begin warm
}

func size(dir string) int64 {
	total := int64(0)
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error { // what cannot be read is not counted
		if err == nil && entry.Type().IsRegular() {
			if info, err := entry.Info(); err == nil {
				total += info.Size()
			}
		}

		return nil
	})

	return total
}

// watch adds up the memory of a process and its descendants until the returned function is called.
func watch(pid int) func() int64 {
	stop, done := make(chan struct{}), make(chan int64)

	go func() {
		peak := int64(0)

		for {
			peak = max(peak, residentOf(pid))

			select {
			case <-stop:
				done <- peak

				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()

	return func() int64 {
		close(stop)

		return <-done
	}
}

func residentOf(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}

	total := int64(0)

	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) >= 2 && fields[0] == "Pss:" {
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			total += kib << 10
		}
	}

	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for child := range strings.FieldsSeq(string(children)) {
		if n, err := strconv.Atoi(child); err == nil {
			total += residentOf(n)
		}
	}

	return total
}

func (b *bench) ours() error {
	store := b.dir + "/ours"
	common := []string{"--store", "file://" + store, "--server", "demo", "--workers", strconv.Itoa(b.workers)}
	backup := append([]string{"backup", "--socket-dir", b.socket, "--port", port, "--wait-for-wal", "0"}, common...)

	if err := errors.Join(os.RemoveAll(store), b.mkdir(store)); err != nil {
		return err
	}

	full := backup
	if b.major < 17 {
		full = append(slices.Clone(backup), "--block-hashes")
	}

	if err := b.measure("caretaker, full backup", store, b.as(b.archive, full...)); err != nil {
		return err
	}

	restored := b.dir + "/restored"
	id, err := newest(store + "/demo/backups")
	if err != nil {
		return err
	}

	restore := append([]string{"restore", "--data-dir", restored, "--backup", id, "--no-recovery", "--no-wal-check"}, common...)
	if err := errors.Join(b.measure("caretaker, restore", "", b.as(b.archive, restore...)), os.RemoveAll(restored)); err != nil {
		return err
	}

	before := size(store)

	if err := b.change(); err != nil {
		return err
	}

	if err := b.measure("caretaker, incremental at 1 %", "", b.as(b.archive, append(slices.Clone(backup), "--incremental", "latest")...)); err != nil {
		return err
	}

	all := b.results["caretaker, incremental at 1 %"]
	all[len(all)-1].stored = size(store) - before

	return os.RemoveAll(store)
}

func newest(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		return "", fmt.Errorf("no backup in %s: %w", dir, err)
	}

	return entries[len(entries)-1].Name(), nil
}

func (b *bench) mkdir(dir string) error {
	_, err := b.do("mkdir", "-p", dir)

	return err
}

// chooseLevel finds the zstd level with which pgBackRest's backup is as large as ours.
func (b *bench) chooseLevel() (int, error) {
	if b.major > 15 {
		return 0, nil
	}

	store := b.dir + "/ours"

	if err := b.measure("caretaker, first", store, b.as(b.archive, "backup", "--socket-dir", b.socket, "--port", port, "--wait-for-wal", "0",
		"--store", "file://"+store, "--server", "demo", "--workers", strconv.Itoa(b.workers))); err != nil {
		return 0, err
	}

	own := b.results["caretaker, first"][0].stored
	best, distance := 0, int64(0)

	for _, level := range []int{1, 2, 3} {
		if err := b.restFull(level, fmt.Sprintf("pgBackRest, first at level %d", level)); err != nil {
			return 0, err
		}

		d := b.results[fmt.Sprintf("pgBackRest, first at level %d", level)][0].stored - own
		if d < 0 {
			d = -d
		}

		if best == 0 || d < distance {
			best, distance = level, d
		}
	}

	return best, os.RemoveAll(store)
}

func (b *bench) rest(args ...string) *exec.Cmd {
	return b.as("/usr/bin/pgbackrest", append([]string{"--config=" + b.conf, "--stanza=demo"}, args...)...)
}

func (b *bench) restFull(level int, what string) error {
	repo := b.dir + "/pgbackrest"
	if err := errors.Join(os.RemoveAll(repo), b.mkdir(repo)); err != nil {
		return err
	}

	if out, err := b.rest("stanza-create").CombinedOutput(); err != nil {
		return fmt.Errorf("pgbackrest stanza-create: %w\n%s", err, out)
	}

	return b.measure(what, repo, b.rest("backup", "--type=full", "--compress-level="+strconv.Itoa(level)))
}

func (b *bench) pgBackRest(level int) error {
	if level == 0 {
		return nil
	}

	if err := b.restFull(level, "pgBackRest, full backup"); err != nil {
		return err
	}

	restored := b.dir + "/restored"
	if err := b.mkdir(restored); err != nil {
		return err
	}

	if err := errors.Join(b.measure("pgBackRest, restore", "", b.rest("restore", "--pg1-path="+restored)), os.RemoveAll(restored), b.change()); err != nil {
		return err
	}

	before := size(b.dir + "/pgbackrest")
	if err := b.measure("pgBackRest, incremental at 1 %", "", b.rest("backup", "--type=incr", "--compress-level="+strconv.Itoa(level))); err != nil {
		return err
	}

	all := b.results["pgBackRest, incremental at 1 %"]
	all[len(all)-1].stored = size(b.dir+"/pgbackrest") - before

	return nil
}

func (b *bench) pgBaseBackup() error {
	plain, restored := b.dir+"/plain", b.dir+"/restored"
	if err := errors.Join(os.RemoveAll(plain), b.mkdir(plain)); err != nil {
		return err
	}

	script := fmt.Sprintf("set -o pipefail; %s/pg_basebackup -D - -F t -X none -c fast --no-manifest | zstd -q -1 -T%d > %s/base.tar.zst && sync %s/base.tar.zst",
		b.bin, b.workers, plain, plain)
	if err := b.measure("pg_basebackup | zstd -1, full backup", plain, b.as("/bin/bash", "-c", script)); err != nil {
		return err
	}

	script = fmt.Sprintf("set -o pipefail; mkdir -p %[1]s && zstd -q -dc %[2]s/base.tar.zst | tar -x -C %[1]s && sync -f %[1]s", restored, plain)
	err := b.measure("pg_basebackup | zstd -1, restore", "", b.as("/bin/bash", "-c", script))

	return errors.Join(err, os.RemoveAll(restored), os.RemoveAll(plain))
}

// print the table.
func (b *bench) print(level int) {
	fmt.Printf("%d MiB of data, PostgreSQL %d, %d workers, %d runs; pgBackRest at zstd level %d.\n\n", size(b.data+"/base")>>20, b.major, b.workers, b.runs, level)
	fmt.Println("| what | median | worst | CPU | peak memory | stored |")
	fmt.Println("|---|---|---|---|---|---|")

	for _, what := range b.order {
		all := b.results[what]
		if strings.Contains(what, ", first") {
			continue
		}

		slices.SortFunc(all, func(x, y sample) int { return cmp.Compare(x.seconds, y.seconds) })
		middle, worst := all[len(all)/2], all[len(all)-1]
		peak := slices.MaxFunc(all, func(x, y sample) int { return cmp.Compare(x.peak, y.peak) }).peak
		stored := "–"

		if middle.stored > 0 {
			stored = fmt.Sprintf("%d MiB", middle.stored>>20)
		}

		fmt.Printf("| %s | %.1f s | %.1f s | %.1f s | %d MiB | %s |\n", what, middle.seconds, worst.seconds, middle.cpu, peak>>20, stored)
	}
}

func (b *bench) cleanUp() error {
	if _, err := os.Stat(b.data + "/postmaster.pid"); err == nil {
		if _, err := b.do(b.bin+"/pg_ctl", "-D", b.data, "-m", "immediate", "-w", "stop"); err != nil {
			return err
		}
	}

	return os.RemoveAll(b.dir)
}
