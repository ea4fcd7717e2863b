package instance_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// TestSnapshot backs a Cluster up by snapshots of a replica's volume and recovers others from them. A copy of the volume, made file
// by file while everything goes on, takes the snapshot's place: it is worse than any snapshot, which is of one moment.
func TestSnapshot(t *testing.T) {
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
		taken    instanceapi.TakenBackup
		moment   string
		snapshot = filepath.Join(w.root, "snapshot")
		source   instanceapi.Status
	)

	t.Run("a backup of the replica", func(t *testing.T) {
		w.t = t
		primary.awaitReady()
		source = replica.awaitReady()
		primary.persist("CREATE TABLE IF NOT EXISTS ledger AS SELECT generate_series(1, 100) AS n")
		primary.persist("CREATE UNLOGGED TABLE IF NOT EXISTS notes AS SELECT 1 AS n")

		request := instanceapi.ArchiveRequest{Request: "uid/1", Task: instanceapi.TaskSnapshot, BackupID: "monday", FastCheckpoint: true}
		word := instanceapi.ArchiveRequest{Request: "uid/1", Task: instanceapi.TaskSnapshotTaken}

		if err := w.client.Archive(context.Background(), replica.target(), word); err == nil {
			t.Error("it takes the word for a snapshot that nobody waits for")
		}

		must(t, w.client.Archive(context.Background(), replica.target(), request))
		replica.await("waits for the snapshot", func(s instanceapi.Status) bool {
			run := s.ArchiveRun

			return run != nil && run.Progress != nil && run.Progress.Step == "AwaitingSnapshot"
		})

		// It goes on while the snapshot is taken.
		primary.persist("INSERT INTO ledger SELECT generate_series(101, 150) EXCEPT SELECT n FROM ledger")
		copyVolume(t, replica.layout.VolumeDir, snapshot)
		primary.persist("INSERT INTO ledger SELECT generate_series(151, 200) EXCEPT SELECT n FROM ledger")

		if run := replica.await("still waits", func(instanceapi.Status) bool { return true }).ArchiveRun; run.EndedAt != nil {
			t.Fatalf("it did not wait: %+v", run)
		}

		must(t, w.client.Archive(context.Background(), replica.target(), word))

		switched := false
		run := replica.await("has ended the backup", func(s instanceapi.Status) bool {
			if p := s.ArchiveRun.Progress; p != nil && p.Step == "WaitingForWAL" && !switched {
				switched = true
				must(t, w.client.Archive(context.Background(), primary.target(), instanceapi.ArchiveRequest{Request: "uid/1/switch", Task: instanceapi.TaskSwitch}))
			}

			return s.ArchiveRun.EndedAt != nil
		}).ArchiveRun

		if run.Error != "" || run.Backup == nil || !run.Backup.Verified || run.Backup.DataBytes == 0 || run.Retention == nil {
			t.Fatalf("the backup is %+v, %+v", run, run.Backup)
		}

		taken = *run.Backup
	})

	t.Run("a moment", func(t *testing.T) {
		w.t = t
		primary.mustQuery("SELECT pg_sleep(0.5)")
		moment = primary.mustQuery("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')")
		primary.mustQuery("SELECT pg_sleep(0.5)")
		primary.persist("DELETE FROM ledger WHERE n > 10")

		segment := primary.mustQuery("SELECT pg_walfile_name(pg_switch_wal())")
		primary.awaitQuery("SELECT last_archived_wal >= '"+segment+"' FROM pg_stat_archiver", "t")
	})

	recovered := func(t *testing.T, target instanceapi.RecoveryTarget) *world {
		t.Helper()

		again := newWorld(t, "demo-0", "demo-1")
		again.programs, again.snapshots = w.programs, map[string]string{"demo-0": "again/" + t.Name()}
		again.config.Bootstrap = instanceapi.Bootstrap{Recovery: &instanceapi.Recovery{
			Archive: *w.config.Archive, BackupID: taken.ID, Snapshot: true, Database: "app", Owner: "app", Target: target,
		}}
		again.config.Archive = &instanceapi.Archive{URL: "file://" + store, Server: "again-" + filepath.Base(again.root)}
		again.config.Parameters["archive_timeout"] = "2s"

		must(t, os.Mkdir(filepath.Join(again.root, "demo-0"), 0o755))
		copyVolume(t, snapshot, filepath.Join(again.root, "demo-0", "volume"))

		return again
	}

	t.Run("a new Cluster at that moment", func(t *testing.T) {
		again := recovered(t, instanceapi.RecoveryTarget{Time: moment})

		first, second := again.start("demo-0", "uid-0"), again.start("demo-1", "uid-1")
		status := first.awaitReady()

		if got := first.mustQuery("SELECT count(*) || ' ' || sum(n) FROM ledger"); got != "200 20100" {
			t.Errorf("it has %s, want 200 20100", got)
		}

		if got := first.mustQuery("SELECT count(*) FROM notes"); got != "0" {
			t.Errorf("its unlogged table has %s rows, want none", got)
		}

		if status.MemberID == source.MemberID || status.SystemID != source.SystemID || status.Recovered == nil || status.Recovered.BackupID != taken.ID {
			t.Errorf("it is %+v", status)
		}

		second.awaitReady()
		second.awaitQuery("SELECT count(*) FROM ledger", "200")

		// Its volume is that of any member now, also after a restart: it is disowned once.
		first.kill()
		first = again.start("demo-0", "uid-0b")
		first.await("is the member that it was, with its data", func(s instanceapi.Status) bool {
			return s.MemberID == status.MemberID && s.SystemID == status.SystemID
		})
	})

	t.Run("a new Cluster at the end, interrupted", func(t *testing.T) {
		again := recovered(t, instanceapi.RecoveryTarget{})

		first := again.start("demo-0", "uid-0")
		first.await("has begun to recover", func(s instanceapi.Status) bool { return s.Recovered != nil })
		first.kill()

		first = again.start("demo-0", "uid-0b")
		first.awaitReady()

		if got := first.mustQuery("SELECT count(*) FROM ledger"); got != "10" {
			t.Errorf("it has %s rows, want 10", got)
		}
	})

	t.Run("a moment that is not in the archive", func(t *testing.T) {
		again := recovered(t, instanceapi.RecoveryTarget{Time: time.Now().Add(time.Hour).UTC().Format("2006-01-02 15:04:05")})

		first := again.start("demo-0", "uid-0")
		status := first.await("says that it cannot get there", func(s instanceapi.Status) bool {
			return s.State == instanceapi.StateFailed
		})

		if !strings.Contains(status.Message, "archive") && !strings.Contains(status.Message, "target") {
			t.Errorf("it says %q", status.Message)
		}

		if record := again.record(); record.Term != 0 {
			t.Errorf("it leads, in term %d, short of its target", record.Term)
		}

		if _, err := os.Stat(first.layout.DataDir + ".snapshot/PG_VERSION"); err != nil {
			t.Errorf("the data of the snapshot are gone: %v", err)
		}
	})

	t.Run("a volume without the data", func(t *testing.T) {
		again := recovered(t, instanceapi.RecoveryTarget{})
		must(t, os.RemoveAll(filepath.Join(again.root, "demo-0/volume/pgdata")))

		again.start("demo-0", "uid-0").await("says so", func(s instanceapi.Status) bool {
			return s.State == instanceapi.StateFailed && strings.Contains(s.Message, "holds no data of a snapshot")
		})
	})
}

// persist with a statement until it is done: on a machine that is busy it is cut off, and can be repeated.
func (m *member) persist(sql string) {
	m.w.t.Helper()
	m.w.eventually(m.name+": "+sql, func() error {
		_, err := m.query(sql)

		return err
	})
}

// copyVolume goes file by file, while they change. What goes meanwhile is not needed.
func copyVolume(t *testing.T, from, to string) {
	t.Helper()

	out, err := exec.Command("cp", "-a", from, to).CombinedOutput()

	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}

	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "No such file or directory") {
			t.Fatalf("copy %s: %s", from, line)
		}
	}
}
