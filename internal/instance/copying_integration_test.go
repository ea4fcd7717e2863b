package instance_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// TestCopies: the instance that leads brings its archive to two further stores; one that fails disturbs neither the other one nor
// archiving nor the end of PID 1, and after a switchover another instance goes on.
func TestCopies(t *testing.T) {
	w := newWorld(t, "demo-0", "demo-1")
	w.buildPrograms()

	place := func(name string) string {
		dir := filepath.Join(w.root, name)
		must(t, os.Mkdir(dir, 0o755))
		must(t, os.Chown(dir, w.uid, w.gid))

		return dir
	}
	store, far, near := place("store"), place("far"), place("near")
	copyTo := func(name, dir, retention string) instanceapi.Copy {
		return instanceapi.Copy{Name: name, To: instanceapi.Archive{URL: "file://" + dir, Server: "demo", Retention: retention}, IntervalSeconds: 2}
	}

	w.config.Archive = &instanceapi.Archive{URL: "file://" + store, Server: "demo"}
	w.config.Parameters["archive_timeout"] = "2s"
	w.config.HA = instanceapi.HA{Acks: 1, Preferred: true, HeartbeatMillis: 3000, PromiseMillis: 12000}
	primary, replica := w.start("demo-0", "uid-0"), w.start("demo-1", "uid-1")

	copied := func(s instanceapi.Status, name string) instanceapi.Copied {
		if i := slices.IndexFunc(s.Copies, func(c instanceapi.Copied) bool { return c.Name == name }); i >= 0 {
			return s.Copies[i]
		}

		return instanceapi.Copied{}
	}
	// has all segments that are archived now.
	has := func(dir string) {
		w.t.Helper()

		segment := primary.mustQuery("SELECT pg_walfile_name(pg_switch_wal())")
		w.eventually(segment+" is in "+dir, func() error {
			if found, _ := filepath.Glob(filepath.Join(dir, "demo/wal/*/*/"+segment+"*")); len(found) == 0 {
				return errors.New("it is not")
			}

			return nil
		})
	}

	t.Run("copies are asked for while it runs", func(t *testing.T) {
		w.t = t
		replica.awaitReady()

		before := primary.awaitReady()
		w.config.Copies = []instanceapi.Copy{copyTo("far", far, "30d"), copyTo("near", near, "")}

		for _, m := range []*member{primary, replica} {
			must(t, m.put(func(*instanceapi.Config) {}))
		}

		primary.await("has nothing to copy", func(s instanceapi.Status) bool {
			return copied(s, "far").Turns > 0 && copied(s, "far").Until == nil && copied(s, "far").FailingSince == nil
		})

		must(t, w.client.Archive(context.Background(), primary.target(), instanceapi.ArchiveRequest{
			Request: "uid/1", Task: instanceapi.TaskBackup, BackupID: "monday", FastCheckpoint: true,
		}))

		status := primary.await("has copied the backup", func(s instanceapi.Status) bool {
			return copied(s, "far").Backups == 1 && copied(s, "near").Backups == 1
		})
		if c := copied(status, "far"); c.Until == nil || c.LastWAL == "" || c.CopiedBytes == 0 || c.FailingSince != nil {
			t.Errorf("it says %+v", c)
		}

		has(far)
		has(near)

		if status, err := replica.status(); err != nil || len(status.Copies) != 0 {
			t.Errorf("the replica copies, too: %+v, %v", status.Copies, err)
		}

		if !status.StartedAt.Equal(*before.StartedAt) {
			t.Error("PostgreSQL was restarted")
		}
	})

	t.Run("one of the stores fails, and comes back", func(t *testing.T) {
		w.t = t
		must(t, os.Rename(far, far+".away"))

		status := primary.await("says that the copy fails", func(s instanceapi.Status) bool { return copied(s, "far").FailingSince != nil })
		if c := copied(status, "far"); !strings.Contains(c.Failure, far) || c.Until == nil {
			t.Errorf("it says %+v: want the cause, and what was copied before", c)
		}

		has(near)

		status, err := primary.status()
		if err != nil || copied(status, "near").FailingSince != nil || status.Archiving.FailingSince != nil || !status.Ready {
			t.Errorf("what was not touched fails, too: %+v, %v", status, err)
		}

		must(t, os.Rename(far+".away", far))
		primary.await("copies again", func(s instanceapi.Status) bool { return copied(s, "far").FailingSince == nil })
		has(far)
	})

	t.Run("another instance goes on", func(t *testing.T) {
		w.t = t
		must(t, w.client.Switchover(context.Background(), primary.target(), instanceapi.SwitchoverRequest{Request: "away"}))

		primary, replica = replica, primary
		primary.await("leads and copies", func(s instanceapi.Status) bool { return s.Ready && copied(s, "far").Until != nil })
		replica.await("does not copy any more", func(s instanceapi.Status) bool { return len(s.Copies) == 0 })
		has(far)
	})

	t.Run("credentials that are missing are named", func(t *testing.T) {
		w.t = t
		c := copyTo("near", near, "")
		c.To.Dir, c.To.Prefix, c.To.Credentials = w.root, "near.", []string{instanceapi.CredentialRegion}
		w.config.Copies = []instanceapi.Copy{copyTo("far", far, "30d"), c}
		must(t, primary.put(func(*instanceapi.Config) {}))
		primary.await("says so", func(s instanceapi.Status) bool {
			return strings.Contains(copied(s, "near").Failure, "the credential region has not reached this pod yet")
		})

		must(t, os.WriteFile(filepath.Join(w.root, "near.region"), []byte("here"), 0o644))
		primary.await("finds it", func(s instanceapi.Status) bool { return copied(s, "near").FailingSince == nil })
	})
}
