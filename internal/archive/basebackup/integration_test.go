package basebackup

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archive/internal/pgserver"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
	"github.com/caretaker-dev/caretaker/internal/postgres"
	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

// site is a real server that archives into a directory store with cp, so that only this package is under test.
type site struct {
	t      *testing.T
	ctx    context.Context //nolint:containedctx // the test's deadline
	server *pgserver.Server
	root   string
	store  objectstore.Store
}

const testDeadline = 10 * time.Minute

func newSite(t *testing.T, bin string, settings map[string]string) *site {
	t.Helper()

	ctx, cancel := context.WithTimeout(context.Background(), testDeadline)
	t.Cleanup(cancel)

	s := &site{t: t, ctx: ctx, server: pgserver.New(t, bin)}
	s.root = filepath.Join(filepath.Dir(s.server.DataDir), "store")

	if err := os.Mkdir(s.root, 0o777); err != nil {
		t.Fatal(err)
	}

	// The server archives as another user.
	if err := os.Chmod(s.root, 0o777); err != nil {
		t.Fatal(err)
	}

	var err error
	if s.store, err = objectstore.Open(ctx, storeconfig.Config{Type: storeconfig.TypeDir, Bucket: s.root}); err != nil {
		t.Fatal(err)
	}

	s.server.Init("--wal-segsize=1")
	s.server.Configure(map[string]string{
		"archive_mode": "on", "archive_command": s.archiveCommand(), "autovacuum": "off", "max_wal_size": "64MB", "wal_level": "replica",
	})
	s.server.Configure(settings)

	return s
}

func (s *site) archiveCommand() string {
	script := s.root + "/../archive.sh"
	body := fmt.Sprintf(`#!/bin/sh
case "$2" in
*.history) d=%[1]s/history ;;
*) d=%[1]s/wal/$(echo "$2" | cut -c1-8)/$(echo "$2" | cut -c9-16) ;;
esac
mkdir -p "$d" && cp "$1" "$d/.$2" && mv "$d/.$2" "$d/$2"
`, s.root)

	if err := os.WriteFile(script, []byte(body), 0o755); err != nil {
		s.t.Fatal(err)
	}

	return fmt.Sprintf("umask 0; %s %%p %%f", script)
}

func (s *site) restoreCommand() string {
	return fmt.Sprintf(`cp %[1]s/history/%%f %%p 2>/dev/null || cp %[1]s/wal/*/*/%%f %%p`, s.root)
}

func (s *site) readWAL(_ context.Context, name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(s.root, "history", name))
}

func (s *site) take(edit func(*Options)) *Manifest {
	s.t.Helper()

	conn := s.server.Connect(s.ctx, "postgres")

	o := Options{Store: s.store, Server: "demo", Conn: conn, Fast: true, Clock: clock.RealClock{}, WaitForWAL: time.Minute}
	if edit != nil {
		edit(&o)
	}

	m, err := Take(s.ctx, o)
	if err != nil {
		s.t.Fatal(err)
	}

	return m
}

// restore the backup that leads to a target, and recover to it.
func (s *site) restore(id string, target archiveapi.RecoveryTarget) *pgserver.Server {
	s.t.Helper()

	m, _, err := Choose(s.ctx, s.store, id, target, s.readWAL)
	if err != nil {
		s.t.Fatal(err)
	}

	to := s.restoreOnly(m.ID, target)
	to.Start(s.ctx)
	s.waitPromoted(to)

	return to
}

func (s *site) restoreOnly(id string, target archiveapi.RecoveryTarget) *pgserver.Server {
	s.t.Helper()

	to := pgserver.New(s.t, s.server.Bin)

	if _, err := Restore(s.ctx, RestoreOptions{Store: s.store, Backup: id, DataDir: to.DataDir, Clock: clock.RealClock{}}); err != nil {
		s.t.Fatal(err)
	}

	if err := WriteRecovery(to.DataDir, archiveapi.RecoverySettings(target, s.restoreCommand())); err != nil {
		s.t.Fatal(err)
	}

	// The copy must not write into the archive that it comes from.
	to.Configure(map[string]string{"archive_mode": "off"})
	to.Give(to.DataDir)

	return to
}

func (s *site) waitPromoted(to *pgserver.Server) {
	s.t.Helper()

	for to.Text(s.ctx, "SELECT pg_is_in_recovery()::text") != "false" {
		select {
		case <-s.ctx.Done():
			s.t.Fatalf("the recovery does not end:\n%s", to.Log())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// majors that there may be programs of; both are tested where both are there.
func eachMajor(t *testing.T, test func(t *testing.T, bin string, major int)) {
	t.Helper()

	for _, major := range []int{15, 17, 18} {
		t.Run(strconv.Itoa(major), func(t *testing.T) { test(t, pgserver.Programs(t, major), major) })
	}
}

func summaries(major int) map[string]string {
	if major < 17 {
		return nil
	}

	return map[string]string{"summarize_wal": "on"}
}

// workload writes rows with a number that counts them; the oracle knows at which LSN each was committed.
type workload struct {
	s    *site
	conn *pgx.Conn
	n    int
	lsns []postgres.LSN
}

func (s *site) workload() *workload {
	s.server.Exec(s.ctx, "CREATE TABLE rows (n int PRIMARY KEY, filler text)", "CREATE TABLE other AS SELECT i, repeat('x', 100) AS f FROM generate_series(1, 20000) i",
		"CREATE INDEX ON other (i)", "CREATE UNLOGGED TABLE fleeting AS SELECT 1 AS one")

	return &workload{s: s, conn: s.server.Connect(s.ctx, "postgres")}
}

func (w *workload) rows(count int) {
	w.s.t.Helper()

	for range count {
		w.n++

		if _, err := w.conn.Exec(w.s.ctx, "INSERT INTO rows SELECT $1::int, repeat(md5($1::int::text), 20)", w.n); err != nil {
			w.s.t.Fatal(err)
		}

		var text string
		if err := w.conn.QueryRow(w.s.ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&text); err != nil {
			w.s.t.Fatal(err)
		}

		lsn, err := postgres.ParseLSN(text)
		if err != nil {
			w.s.t.Fatal(err)
		}

		w.lsns = append(w.lsns, lsn)
	}
}

// churn changes other tables.
func (w *workload) churn() {
	w.s.server.Exec(w.s.ctx, fmt.Sprintf("UPDATE other SET f = 'changed' WHERE i %% 97 = %d", w.n%97), "DELETE FROM other WHERE i BETWEEN 15000 AND 15100",
		"VACUUM other")
}

func (w *workload) check(to *pgserver.Server, want int) {
	w.s.t.Helper()

	got := to.Text(w.s.ctx, "SELECT count(*) || '/' || coalesce(max(n), 0) FROM rows")
	if got != fmt.Sprintf("%d/%d", want, want) {
		w.s.t.Errorf("rows/newest: %s, want %d\n%s", got, want, to.Log())
	}
}

func TestRecoveryToAnyLSN(t *testing.T) {
	eachMajor(t, func(t *testing.T, bin string, major int) {
		t.Helper()

		s := newSite(t, bin, summaries(major))
		s.server.Start(s.ctx)

		w := s.workload()
		w.rows(20)

		full := s.take(func(o *Options) { o.BlockHashes = major < 17 })
		w.rows(20)
		w.churn()

		// A backup under load.
		done := make(chan *Manifest)

		go func() { done <- s.take(func(o *Options) { o.Parent = Latest }) }()

		w.rows(30)

		incremental := <-done
		if incremental.Kind != Incremental || incremental.Parent != full.ID {
			t.Fatalf("%s of %s", incremental.Kind, incremental.Parent)
		}

		w.churn()
		w.rows(20)
		second := s.take(func(o *Options) { o.Parent = Latest })
		w.rows(10)
		s.server.Exec(s.ctx, "SELECT pg_switch_wal()")
		s.waitArchived()

		random := rand.New(rand.NewPCG(uint64(major), 1))

		for range 2 {
			// Any row that was committed after the first backup.
			i := 20 + random.IntN(len(w.lsns)-20)
			w.check(s.restore("", archiveapi.RecoveryTarget{LSN: w.lsns[i]}), i+1)
		}

		end := s.restore("", archiveapi.RecoveryTarget{})
		w.check(end, w.n)
		s.sameTables(end)
		end.Run("pg_amcheck", "-h", end.Socket, "-p", strconv.Itoa(end.Port), "-U", "postgres", "--install-missing", "-d", "postgres", "--heapallindexed")

		immediate := s.restore(second.ID, archiveapi.RecoveryTarget{Immediate: true})
		s.checkCount(immediate, second)
		s.verifyAll()
	})
}

// checkCount: at a backup's end, the rows are a prefix.
func (s *site) checkCount(to *pgserver.Server, m *Manifest) {
	s.t.Helper()

	if to.Text(s.ctx, "SELECT (count(*) = coalesce(max(n), 0))::text FROM rows") != "true" {
		s.t.Errorf("at the end of backup %s rows are missing", m.ID)
	}
}

func (s *site) sameTables(to *pgserver.Server) {
	s.t.Helper()

	const query = "SELECT md5(string_agg(o::text, ',' ORDER BY i)) FROM other o"
	if s.server.Text(s.ctx, query) != to.Text(s.ctx, query) {
		s.t.Error("a table differs")
	}

	if to.Text(s.ctx, "SELECT count(*)::text FROM fleeting") != "0" {
		s.t.Error("an unlogged table is not empty")
	}
}

// waitArchived until nothing waits for it. pg_stat_archiver's last name may be that of a history file or of a backup's label.
func (s *site) waitArchived() {
	s.t.Helper()

	for s.server.Text(s.ctx, "SELECT count(*)::text FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'") != "0" {
		select {
		case <-s.ctx.Done():
			s.t.Fatal("the WAL is not archived")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (s *site) verifyAll() {
	s.t.Helper()

	backups, err := List(s.ctx, s.store)
	if err != nil || len(backups) != 3 {
		s.t.Fatalf("%d backups, %v", len(backups), err)
	}

	for _, b := range backups {
		report, err := Verify(s.ctx, VerifyOptions{Store: s.store, Backup: b.ID, Clock: clock.RealClock{}})
		if err != nil || !report.Restorable {
			s.t.Errorf("%v %v", report, err)
		}
	}
}

// PostgreSQL itself must refuse to promote short of a target.
func TestATargetThatIsNotThereIsAnError(t *testing.T) {
	bin, _ := pgserver.Any(t, 17, 15, 16, 18)
	s := newSite(t, bin, nil)
	s.server.Start(s.ctx)

	w := s.workload()
	w.rows(5)

	m := s.take(nil)
	w.rows(5)
	s.server.Exec(s.ctx, "SELECT pg_switch_wal()")
	s.waitArchived()

	target := archiveapi.RecoveryTarget{Time: time.Now().Add(24 * time.Hour)}
	to := s.restoreOnly(m.ID, target)

	err := to.TryStart(s.ctx)
	for err == nil && s.ctx.Err() == nil {
		conn, connErr := pgx.Connect(s.ctx, fmt.Sprintf("host=%s port=%d user=postgres", to.Socket, to.Port))
		if connErr != nil {
			break
		}

		var inRecovery bool
		if scanErr := conn.QueryRow(s.ctx, "SELECT pg_is_in_recovery()").Scan(&inRecovery); scanErr == nil && !inRecovery {
			t.Fatal("it promoted short of the target")
		}

		_ = conn.Close(s.ctx)

		time.Sleep(50 * time.Millisecond)
	}

	if !strings.Contains(to.Log(), "recovery ended before configured recovery target was reached") {
		t.Errorf("its log:\n%s", to.Log())
	}
}

// What our restore makes of a full and an incremental backup is what pg_combinebackup makes of PostgreSQL's own.
func TestRestoreEqualsPgCombinebackup(t *testing.T) {
	for _, major := range []int{17, 18} {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			s := newSite(t, pgserver.Programs(t, major), summaries(major))
			s.server.Start(s.ctx)

			w := s.workload()
			w.rows(50)
			s.server.Exec(s.ctx, "CREATE DATABASE second", "CREATE TABLE cut AS SELECT i, repeat('y', 500) AS f FROM generate_series(1, 3000) i",
				"CREATE TABLE gone AS SELECT 1 AS one", "CHECKPOINT")

			base := filepath.Dir(s.server.DataDir)
			basebackup := func(name string, more ...string) {
				s.server.Run("pg_basebackup", append([]string{
					"-h", s.server.Socket, "-p", strconv.Itoa(s.server.Port), "-U", "postgres", "-D", filepath.Join(base, name), "-X", "none", "-c", "fast", "--no-sync",
				}, more...)...)
			}

			basebackup("full")

			ours := s.take(nil)

			w.churn()
			s.server.Exec(s.ctx, "DELETE FROM cut WHERE i > 1000", "VACUUM cut", "INSERT INTO cut SELECT i, repeat('z', 500) FROM generate_series(1, 700) i",
				"DROP TABLE gone", "CREATE TABLE fresh AS SELECT * FROM other", "CREATE DATABASE third STRATEGY file_copy", "VACUUM FULL rows", "CHECKPOINT")

			basebackup("incremental", "--incremental", filepath.Join(base, "full", "backup_manifest"))

			second := s.take(func(o *Options) { o.Parent = ours.ID })
			s.server.Run("pg_combinebackup", "-o", filepath.Join(base, "combined"), filepath.Join(base, "full"), filepath.Join(base, "incremental"))

			if second.ReadBytes >= ours.ReadBytes/2 {
				t.Logf("incremental %d bytes, full %d", second.ReadBytes, ours.ReadBytes)
			}

			dir := filepath.Join(base, "ours")
			if _, err := Restore(s.ctx, RestoreOptions{Store: s.store, Backup: second.ID, DataDir: dir, Clock: clock.RealClock{}}); err != nil {
				t.Fatal(err)
			}

			got, want := content(t, dir), content(t, filepath.Join(base, "combined"))
			for _, all := range []map[string]string{got, want} {
				for name := range all {
					// They say when and from where a backup was taken. The free space map is only a hint, and never logged.
					if name == controlFile || name == labelFile || name == "backup_manifest" || strings.HasPrefix(name, "pg_wal") ||
						strings.HasPrefix(name, "pg_logical") || strings.HasPrefix(name, "pg_stat") {
						delete(all, name)
					}
				}
			}

			sameContent(t, got, want)
		})
	}
}
