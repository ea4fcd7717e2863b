package instance_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/caretaker-dev/caretaker/internal/ha"
	"github.com/caretaker-dev/caretaker/internal/instance/diverged"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// wrapRewind puts a pg_rewind in front of the real one that waits while a file hold-rewind is there, and fails while
// fail-rewind is.
func wrapRewind(w *world) {
	w.t.Helper()

	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	must(w.t, err)

	actual, err := filepath.EvalSymlinks(found[len(found)-1])
	must(w.t, err)

	actual = filepath.Dir(actual)
	bin := filepath.Join(w.root, "bin")
	must(w.t, os.Mkdir(bin, 0o755))

	programs, err := os.ReadDir(actual)
	must(w.t, err)

	for _, program := range programs {
		if program.Name() != "pg_rewind" {
			must(w.t, os.Symlink(filepath.Join(actual, program.Name()), filepath.Join(bin, program.Name())))
		}
	}

	script := fmt.Sprintf(`#!/bin/sh
case "$1" in --version|-V) exec %[2]s/pg_rewind "$@";; esac
while [ -e %[1]s/hold-rewind ]; do sleep 0.1; done
if [ -e %[1]s/fail-rewind ]; then echo "no way" >&2; exit 1; fi
exec %[2]s/pg_rewind "$@"
`, w.root, actual)
	must(w.t, os.WriteFile(filepath.Join(bin, "pg_rewind"), []byte(script), 0o755))

	w.path = bin
}

func (c *trio) flag(name string) (remove func()) {
	c.t.Helper()

	path := filepath.Join(c.root, name)
	must(c.t, os.WriteFile(path, nil, 0o644))

	return func() { _ = os.Remove(path) }
}

// diverge makes the primary write what no replica gets, and kills it.
func (c *trio) diverge() (old, next string) {
	c.t.Helper()

	old = c.awaitPrimary("")
	m := c.members[old]
	m.mustQuery("CREATE TABLE IF NOT EXISTS lost (id int, what text)")
	c.eventually("the replicas have the table", func() error {
		for name, replica := range c.members {
			if _, err := replica.query("SELECT count(*) FROM lost"); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}

		return nil
	})

	stopped := 0

	for _, pid := range childrenOf(m.postmaster()) {
		title, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if strings.Contains(string(title), "walsender") {
			must(c.t, syscall.Kill(pid, syscall.SIGSTOP))

			stopped++
		}
	}

	if stopped != 2 {
		c.t.Fatalf("%d walsenders were stopped, want two", stopped)
	}

	m.mustQuery("INSERT INTO lost SELECT i, repeat('x', 100) FROM generate_series(1, 1000) i")
	m.mustQuery("SELECT pg_switch_wal()")
	m.mustQuery("INSERT INTO lost VALUES (0, 'the last')")
	m.kill()

	return old, c.awaitPrimary(old)
}

// checkKept looks at what was kept of a divergence.
func (c *trio) checkKept(name string, rejoin *instanceapi.Rejoin) {
	c.t.Helper()

	if rejoin == nil || rejoin.ForkLSN == "" {
		c.t.Fatalf("nothing is told of what was undone: %+v", rejoin)
	}

	d := rejoin
	c.t.Logf("%s: %+v", name, *d)

	if d.DiscardedBytes < 1000*100 || d.Missing != "" || d.Why == "" {
		c.t.Errorf("told of the divergence: %+v", d)
	}

	var m diverged.Manifest

	content, err := os.ReadFile(d.KeptIn + "/manifest.json")
	must(c.t, err)
	must(c.t, json.Unmarshal(content, &m))

	if m.Fork != d.ForkLSN || m.End != d.EndLSN || len(m.Segments) < 2 || m.Instance != name {
		c.t.Errorf("the manifest is %+v", m)
	}

	for _, segment := range m.Segments {
		if info, err := os.Stat(filepath.Join(d.KeptIn, segment)); err != nil || info.Size() != 16<<20 {
			c.t.Errorf("segment %s: %v, %v", segment, info, err)
		}
	}
}

// checkSame: every member has the same rows, and none that were undone.
func (c *trio) checkSame() {
	c.t.Helper()

	for name, m := range c.members {
		c.eventually(name+" has none of the lost rows, and all others", func() error {
			got, err := m.query("SELECT (SELECT count(*) FROM lost), (SELECT sum(id) FROM kept)")
			if err != nil {
				return err
			}

			want, err := c.members[c.awaitPrimary("")].query("SELECT 0, (SELECT sum(id) FROM kept)")
			if err == nil && got != want {
				err = fmt.Errorf("%s, want %s", got, want)
			}

			return err
		})
	}
}

func (c *trio) protocolDisk(name string) (disk ha.Disk) {
	c.t.Helper()

	content, err := os.ReadFile(filepath.Join(c.members[name].layout.StateDir, "protocol.json"))
	must(c.t, err)
	must(c.t, json.Unmarshal(content, &disk))

	return disk
}

func TestRejoin(t *testing.T) {
	c := newTrioOf(t, 0, wrapRewind)
	c.members[c.awaitPrimary("")].mustQuery("CREATE TABLE kept (id int); INSERT INTO kept VALUES (1)")

	t.Run("a primary that wrote beyond the fork is rewound", func(t *testing.T) {
		c.t = t
		old, next := c.diverge()
		c.members[next].mustQuery("INSERT INTO kept VALUES (2)")

		member := c.protocolDisk(old).Member
		c.startMember(old)

		status := c.members[old].await("is rewound and streams", func(s instanceapi.Status) bool {
			return s.Ready && s.Streaming != nil && s.Rewinds > 0
		})
		if status.Rejoin.Method != instanceapi.RejoinRewound || status.Rejoin.Term != c.record().Term || status.Rewinds != 1 || status.Reclones != 0 {
			t.Errorf("rejoined by %+v, %d rewinds, %d copies", status.Rejoin, status.Rewinds, status.Reclones)
		}

		if now := c.protocolDisk(old).Member; now != member {
			t.Errorf("the member is %s, was %s: its data were rewound, not copied", now, member)
		}

		c.checkKept(old, status.Rejoin)
		c.awaitWhole()
		c.checkSame()
	})

	t.Run("killed while it is rewound, it is copied anew", func(t *testing.T) {
		c.t = t
		release := c.flag("hold-rewind")
		defer release()

		old, next := c.diverge()
		c.members[next].mustQuery("INSERT INTO kept VALUES (4)")
		member := c.protocolDisk(old).Member
		c.startMember(old)

		status := c.members[old].await("is being rewound", func(s instanceapi.Status) bool { return s.Reason == "Rewinding" })
		if status.Ready || status.Message == "" {
			t.Errorf("while it is rewound: %+v", status)
		}

		c.eventually("pg_rewind runs", func() error {
			if !slices.ContainsFunc(childrenOf(c.members[old].cmd.Process.Pid), func(pid int) bool {
				title, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))

				return strings.Contains(string(title), "pg_rewind")
			}) {
				return errors.New("not yet")
			}

			return nil
		})

		if !c.protocolDisk(old).Dirty {
			t.Error("nothing on the volume says that it is being rewound")
		}

		c.members[old].kill()
		release()
		c.startMember(old)

		status = c.members[old].await("is copied anew and streams", func(s instanceapi.Status) bool {
			return s.Ready && s.Streaming != nil && s.Reclones > 0
		})
		if status.Rejoin.Method != instanceapi.RejoinCloned || status.MemberID == string(member) {
			t.Errorf("rejoined by %+v as %s, was %s", status.Rejoin, status.MemberID, member)
		}

		c.checkKept(old, status.Rejoin)
		c.awaitWhole()
		c.checkSame()
	})

	t.Run("a rewind that fails ends in a copy", func(t *testing.T) {
		c.t = t
		release := c.flag("fail-rewind")
		defer release()

		old, _ := c.diverge()
		c.startMember(old)

		before := 0
		if old == c.awaitPrimary("") {
			t.Fatal("the old primary leads again")
		}

		status := c.members[old].await("is copied anew and streams", func(s instanceapi.Status) bool {
			return s.Ready && s.Streaming != nil && s.Rejoin != nil && s.Rejoin.Method == instanceapi.RejoinCloned && s.Reclones > before
		})
		c.checkKept(old, status.Rejoin)
		c.awaitWhole()
		c.checkSame()
	})

	t.Run("a replica whose WAL is gone is copied anew", func(t *testing.T) {
		c.t = t
		primary := c.members[c.awaitPrimary("")]
		victim := slices.DeleteFunc(slices.Clone(c.config.Members), func(n string) bool { return n == primary.name })[0]
		before := c.members[victim].await("streams", func(s instanceapi.Status) bool { return s.Streaming != nil })
		c.members[victim].kill()

		for _, name := range c.config.Members {
			if name != victim {
				must(t, c.members[name].put(func(config *instanceapi.Config) {
					config.Parameters["max_slot_wal_keep_size"], config.Parameters["wal_keep_size"] = "16MB", "0"
				}))
			}
		}

		primary.awaitQuery("SHOW max_slot_wal_keep_size", "16MB")

		c.eventually("the slot is lost", func() error {
			primary.mustQuery("INSERT INTO kept VALUES (8)")
			primary.mustQuery("SELECT pg_switch_wal()")
			primary.mustQuery("CHECKPOINT")

			if !strings.Contains(primary.output.String(), "invalidating slot") && !strings.Contains(primary.output.String(), "invalidating obsolete") {
				return errors.New("it is not")
			}

			return nil
		})
		c.startMember(victim)

		status := c.members[victim].await("is copied anew and streams", func(s instanceapi.Status) bool {
			return s.Ready && s.Streaming != nil && s.Reclones > before.Reclones
		})
		if !strings.Contains(status.Rejoin.Why, "no longer has WAL") || status.Rejoin.ForkLSN != "" {
			t.Errorf("rejoined by %+v", status.Rejoin)
		}

		c.awaitWhole()
		c.checkSame()
	})
}
