package instance_test

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// TestLimitsOfClientsAreNotOurs: limits that suit an application must not keep PID 1 from arming replication: the
// checkpoint that proves the setting, and what is asked of the server, take longer than that.
func TestLimitsOfClientsAreNotOurs(t *testing.T) {
	newTrioOf(t, 1, func(w *world) {
		w.config.Parameters["statement_timeout"] = "1ms"
		w.config.Parameters["lock_timeout"] = "1ms"
		w.config.Parameters["idle_session_timeout"] = "2s"
	})
}

// TestStrangersAreLeftAlone: whoever receives the log without being a member goes on when the rule changes, which members
// reconnect for; and nobody changes the rule by ALTER SYSTEM.
func TestStrangersAreLeftAlone(t *testing.T) {
	c := newTrioOf(t, 1, func(*world) {})
	name, err := c.primary()
	must(t, err)

	primary := c.members[name]
	dir, err := os.MkdirTemp(c.root, "wal") //nolint:usetesting // where the server's user may enter
	must(t, err)
	must(t, os.Chown(dir, c.uid, c.gid))

	stranger := exec.CommandContext(t.Context(), "pg_receivewal", "-D", dir, "-h", primary.layout.SocketDir,
		"-p", strconv.Itoa(primary.layout.PostgresPort), "-U", "postgres")
	if os.Getuid() == 0 {
		stranger.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(c.uid), Gid: uint32(c.gid)}}
	}

	must(t, stranger.Start())
	t.Cleanup(func() {
		_ = stranger.Process.Kill()
		_ = stranger.Wait()
	})

	const streams = "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'pg_receivewal' AND state = 'streaming'"

	primary.awaitQuery(streams, "1")

	const process = "SELECT pid FROM pg_stat_replication WHERE application_name = 'pg_receivewal'"

	before := primary.mustQuery(process)

	for _, m := range c.members {
		must(t, m.put(func(config *instanceapi.Config) { config.HA.Acks = 2 }))
	}

	primary.awaitQuery("SELECT current_setting('synchronous_standby_names') LIKE 'ANY 2 %'", "t")
	c.eventually("the record has the new rule", func() error {
		if acks := c.record().Acks; acks != 2 {
			return fmt.Errorf("it waits for %d", acks)
		}

		return nil
	})
	primary.mustQuery("CREATE TABLE more AS SELECT 1")

	if after := primary.mustQuery(process); after != before {
		t.Errorf("the stranger was process %s, and is %s now", before, after)
	}

	if out, err := primary.query("ALTER SYSTEM SET synchronous_standby_names = ''"); err == nil {
		t.Errorf("ALTER SYSTEM was allowed: %s", out)
	}
}
