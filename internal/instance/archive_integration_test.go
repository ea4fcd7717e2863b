package instance_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caretaker-dev/caretaker/internal/instance/install"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// TestArchive walks a Cluster through an archive's life: WAL gets there, a backup is taken from the replica, the store fails and comes
// back, and a new Cluster is recovered to a moment. The store is a folder; that it may as well be a bucket is tested with the stores.
func TestArchive(t *testing.T) {
	w := newWorld(t, "demo-0", "demo-1")
	w.buildPrograms()

	store := filepath.Join(w.root, "store")
	must(t, os.Mkdir(store, 0o755))
	must(t, os.Chown(store, w.uid, w.gid))

	w.config.Archive = &instanceapi.Archive{URL: "file://" + store, Server: "demo", Retention: "30d"}
	w.config.Parameters["archive_timeout"] = "2s"
	w.config.HA = instanceapi.HA{Acks: 1, Preferred: true, HeartbeatMillis: 3000, PromiseMillis: 12000}
	primary, replica := w.start("demo-0", "uid-0"), w.start("demo-1", "uid-1")

	var (
		taken  instanceapi.TakenBackup
		moment string
	)

	t.Run("WAL is archived", func(t *testing.T) {
		w.t = t
		primary.awaitReady()
		replica.awaitReady()
		primary.mustQuery("CREATE TABLE ledger AS SELECT generate_series(1, 100) AS n")
		primary.await("has archived", func(s instanceapi.Status) bool {
			return s.Archiving != nil && s.Archiving.LastWAL != "" && s.Archiving.FailingSince == nil
		})
	})

	t.Run("a backup from the replica", func(t *testing.T) {
		w.t = t
		request := instanceapi.ArchiveRequest{
			Request: "uid/1", Task: instanceapi.TaskBackup, BackupID: "monday", FastCheckpoint: true, Known: []string{"20200101T000000Z"},
		}
		must(t, w.client.Archive(context.Background(), replica.target(), request))
		// The same order again is the same backup.
		must(t, w.client.Archive(context.Background(), replica.target(), request))

		switched := false
		status := replica.await("has taken the backup", func(s instanceapi.Status) bool {
			run := s.ArchiveRun
			if run != nil && run.Progress != nil && run.Progress.Step == "WaitingForWAL" && !switched {
				switched = true
				must(t, w.client.Archive(context.Background(), primary.target(), instanceapi.ArchiveRequest{Request: "uid/1/switch", Task: instanceapi.TaskSwitch}))
			}

			return run != nil && run.EndedAt != nil
		})

		if status.ArchiveRun.Error != "" || status.ArchiveRun.Backup == nil || !status.ArchiveRun.Backup.Verified {
			t.Fatalf("the backup is %+v", status.ArchiveRun)
		}

		taken = *status.ArchiveRun.Backup
		if taken.BeginWAL == "" || taken.EndLSN == "" || taken.StoredBytes == 0 || taken.SystemID != status.SystemID {
			t.Errorf("it says %+v", taken)
		}

		// What was deleted from the archive, by whomever, is told.
		if told := status.ArchiveRun.Retention; told == nil || told.Error != "" || told.Policy != "30d" || told.URL != w.config.Archive.URL ||
			told.Server != "demo" || !slices.Equal(told.Gone, request.Known) {
			t.Errorf("of the retention it says %+v", told)
		}
	})

	t.Run("the store fails, and comes back", func(t *testing.T) {
		w.t = t
		must(t, os.Rename(store, store+".away"))
		primary.mustQuery("INSERT INTO ledger SELECT generate_series(101, 200)")

		status := primary.await("says that archiving fails", func(s instanceapi.Status) bool { return s.Archiving.FailingSince != nil })
		primary.await("says since when changes are not archived", func(s instanceapi.Status) bool {
			return s.Archiving.Exposure != nil && s.Archiving.Exposure.Since != nil
		})

		if status.Archiving.Failure == "" || !status.Ready {
			t.Errorf("it says %+v, ready %v: want the cause, and PostgreSQL to go on", status.Archiving, status.Ready)
		}

		must(t, os.Rename(store+".away", store))
		primary.await("archives again", func(s instanceapi.Status) bool { return s.Archiving.FailingSince == nil })
		primary.await("says that every change is archived", func(s instanceapi.Status) bool {
			return s.Archiving.Exposure != nil && s.Archiving.Exposure.Since == nil
		})
	})

	t.Run("the primary changes while its store hangs", func(t *testing.T) {
		w.t = t
		thaw := primary.freezeArchiver()

		for n := 1001; n <= 1003; n++ {
			primary.mustQuery(fmt.Sprintf("INSERT INTO ledger VALUES (%d)", n))
			primary.mustQuery("SELECT pg_switch_wal()")
		}

		must(t, w.client.Switchover(context.Background(), primary.target(), instanceapi.SwitchoverRequest{Request: "away"}))

		primary, replica = replica, primary
		status := primary.await("leads, and tells why", func(s instanceapi.Status) bool {
			return s.Ready && s.Role == instanceapi.RolePrimary && s.Takeover != nil
		})

		if status.Takeover.Request != "away" {
			t.Errorf("it took over by %+v: want the hand-over, whatever the store does", status.Takeover)
		}

		thaw()
		replica.awaitReady()
		primary.mustQuery("DELETE FROM ledger WHERE n > 1000")

		segment := primary.mustQuery("SELECT pg_walfile_name(pg_switch_wal())")
		primary.awaitQuery("SELECT last_archived_wal >= '"+segment+"' FROM pg_stat_archiver", "t")
	})

	t.Run("a moment", func(t *testing.T) {
		w.t = t
		primary.mustQuery("SELECT pg_sleep(0.5)")
		moment = primary.mustQuery("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')")
		primary.mustQuery("SELECT pg_sleep(0.5)")
		primary.mustQuery("DELETE FROM ledger")

		segment := primary.mustQuery("SELECT pg_walfile_name(pg_switch_wal())")
		primary.awaitQuery("SELECT last_archived_wal >= '"+segment+"' FROM pg_stat_archiver", "t")
	})

	recovery := instanceapi.Recovery{Archive: *w.config.Archive, BackupID: taken.ID, Database: "app", Owner: "app"}

	t.Run("a new Cluster at that moment", func(t *testing.T) {
		recovery.Target.Time = moment
		again := newWorld(t, "demo-0", "demo-1")
		again.programs = w.programs
		again.config.Bootstrap = instanceapi.Bootstrap{Recovery: &recovery}
		again.config.Archive = &instanceapi.Archive{URL: "file://" + store, Server: "again"}
		again.config.Parameters["archive_timeout"] = "2s"

		first, second := again.start("demo-0", "uid-0"), again.start("demo-1", "uid-1")
		status := first.awaitReady()

		if got := first.mustQuery("SELECT count(*) || ' ' || sum(n) FROM ledger"); got != "200 20100" {
			t.Errorf("it has %s, want 200 20100", got)
		}

		if status.Recovered == nil || status.Recovered.BackupID != taken.ID || status.Recovered.ReachedLSN == "" || status.TimelineID < 2 {
			t.Errorf("recovered is %+v, timeline %d", status.Recovered, status.TimelineID)
		}

		second.awaitReady()
		second.awaitQuery("SELECT count(*) FROM ledger", "200")

		// It archives to a place of its own, its new timeline first of all.
		first.mustQuery("INSERT INTO ledger VALUES (0)")
		first.await("archives", func(s instanceapi.Status) bool {
			return s.Archiving != nil && s.Archiving.LastWAL != "" && s.Archiving.FailingSince == nil
		})
		again.eventually("the history of the new timeline is in the new place", func() error {
			found, _ := filepath.Glob(filepath.Join(store, "again/history/*.history"))
			if len(found) == 0 {
				return errors.New("it is not")
			}

			return nil
		})
	})

	t.Run("a moment that is not in the archive", func(t *testing.T) {
		recovery.Target.Time = time.Now().Add(time.Hour).UTC().Format("2006-01-02 15:04:05")
		again := newWorld(t, "demo-0")
		again.programs = w.programs
		again.config.Bootstrap = instanceapi.Bootstrap{Recovery: &recovery}

		status := again.start("demo-0", "uid-0").await("says that it cannot get there", func(s instanceapi.Status) bool {
			return s.State == instanceapi.StateFailed
		})
		if !strings.Contains(status.Message, "archive") && !strings.Contains(status.Message, "target") {
			t.Errorf("it says %q", status.Message)
		}

		if record := again.record(); record.Term != 0 {
			t.Errorf("it leads, in term %d, short of its target", record.Term)
		}
	})
}

// freezeArchiver makes the instance's store look like one that does not answer.
func (m *member) freezeArchiver() (thaw func()) {
	m.w.t.Helper()

	found, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range found {
		words, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(words), "\x00archiver\x00") || !strings.Contains(string(words), filepath.Dir(m.layout.RunDir)+"/") {
			continue
		}

		pid, err := strconv.Atoi(strings.Split(path, "/")[2])
		must(m.w.t, err)
		must(m.w.t, syscall.Kill(pid, syscall.SIGSTOP))

		return func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
	}

	m.w.t.Fatal("it has no archiver")

	return nil
}

// buildPrograms builds our own binaries for the instances of this world.
func (w *world) buildPrograms() {
	w.t.Helper()

	w.programs = filepath.Join(w.root, "bin")
	must(w.t, os.Mkdir(w.programs, 0o755))

	for _, name := range []string{install.Archive, install.WALHelper} {
		build := exec.Command("go", "build", "-o", filepath.Join(w.programs, name), "../../cmd/"+name)
		if out, err := build.CombinedOutput(); err != nil {
			w.t.Fatal(fmt.Errorf("build %s: %w\n%s", name, err, out))
		}

		must(w.t, os.Chmod(filepath.Join(w.programs, name), 0o755))
	}
}
