package instance_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// family are the processes below a member's PID 1, its watchdog apart.
func (m *member) family() (postgres []int, watchdog int) {
	pids := []int{m.cmd.Process.Pid}
	for i := 0; i < len(pids); i++ {
		pids = append(pids, childrenOf(pids[i])...)
	}

	for _, pid := range pids[1:] {
		title, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))

		switch {
		case strings.Contains(string(title), "\x00"+watchdogArg+"\x00"):
			watchdog = pid
		case !strings.Contains(string(stat), ") Z "):
			postgres = append(postgres, pid)
		}
	}

	return postgres, watchdog
}

// residentKiB is the memory of a process that is its own and in use.
func residentKiB(t *testing.T, pid int) string {
	t.Helper()

	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)

	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "VmRSS") || strings.HasPrefix(line, "RssAnon") {
			t.Logf("watchdog %s", strings.TrimSpace(line))
		}
	}

	return ""
}

// TestFrozen: a PID 1 that is stopped cannot fence; its watchdog does.
func TestFrozen(t *testing.T) {
	const promise = 3 * time.Second

	c := newTrio(t)
	w := c.write()
	w.longest()

	old := c.awaitPrimary("")
	m := c.members[old]

	var dog int

	c.eventually("the primary has a watchdog", func() error {
		if _, dog = m.family(); dog == 0 {
			return errors.New("no process of it")
		}

		return nil
	})
	residentKiB(t, dog)

	for name, other := range c.members {
		if _, dog := other.family(); dog != 0 && name != old {
			t.Errorf("%s, a replica, has a watchdog", name)
		}
	}

	must(t, syscall.Kill(dog, syscall.SIGKILL))
	c.eventually("another watchdog was started", func() error {
		if _, now := m.family(); now == 0 || now == dog {
			return errors.New("none")
		}

		return nil
	})

	began := time.Now()

	must(t, syscall.Kill(m.cmd.Process.Pid, syscall.SIGSTOP))
	c.eventually("PostgreSQL of the frozen primary is dead", func() error {
		if left, _ := m.family(); len(left) > 0 {
			return fmt.Errorf("%d processes are left", len(left))
		}

		return nil
	})

	took := time.Since(began)
	t.Logf("PostgreSQL was dead after %s", took)

	if took > promise {
		t.Errorf("PostgreSQL was dead after %s, want within the promise of %s", took, promise)
	}

	next := c.awaitPrimary(old)
	t.Logf("gap %s, %s took over from %s", w.longest(), next, old)

	must(t, syscall.Kill(m.cmd.Process.Pid, syscall.SIGCONT))
	c.awaitWhole()

	if now := c.awaitPrimary(""); now != next {
		t.Errorf("%s leads, want %s still", now, next)
	}

	w.check()
	m.kill()
	c.eventually("the watchdog ends with its parent", func() error {
		if err := syscall.Kill(dog, 0); err == nil {
			return errors.New("it is alive")
		}

		return nil
	})
}
