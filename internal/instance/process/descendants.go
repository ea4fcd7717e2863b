package process

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// killInterval is how often KillAll looks again for what is left.
const killInterval = 20 * time.Millisecond

// KillAll sends SIGKILL to every descendant that is not spared until none is left: backends outlive a killed postmaster for a while, and
// may still write. Descendants are found by their parents in /proc rather than by kill(-1), which would hit strangers
// wherever this process is not PID 1 of a namespace of its own.
func (t *Table) KillAll(ctx context.Context) error {
	for {
		left, err := DescendantsOf(os.Getpid())
		if err != nil {
			return err
		}

		left = t.unspared(left)

		if len(left) == 0 {
			return nil
		}

		for _, pid := range left {
			_ = unix.Kill(pid, syscall.SIGKILL)
		}

		select {
		case <-t.clock.After(killInterval):
		case <-ctx.Done():
			return fmt.Errorf("%d processes are left after SIGKILL, the first is %d: %w", len(left), left[0], ctx.Err())
		}
	}
}

func (t *Table) unspared(pids []int) []int {
	t.mu.Lock()
	defer t.mu.Unlock()

	return slices.DeleteFunc(pids, func(pid int) bool { return t.spared[pid] })
}

// DescendantsOf are the living processes below a process; those that ended and wait to be reaped do not count.
func DescendantsOf(root int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}

	children := map[int][]int{}

	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}

		if parent, ok := ParentOf(pid); ok {
			children[parent] = append(children[parent], pid)
		}
	}

	var found []int

	for queue := children[root]; len(queue) > 0; queue = queue[1:] {
		found = append(found, queue[0])
		queue = append(queue, children[queue[0]]...)
	}

	return found, nil
}

// ParentOf a living process, by /proc/PID/stat: "pid (name) state ppid …", where the name may hold anything.
func ParentOf(pid int) (parent int, ok bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}

	text := string(stat)

	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 2 || fields[0] == "Z" || fields[0] == "X" {
		return 0, false
	}

	parent, err = strconv.Atoi(fields[1])

	return parent, err == nil
}
