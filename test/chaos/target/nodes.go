package target

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sys/unix"
)

// Nodes are the development cluster's: process trees in namespaces of this machine.
type Nodes struct {
	// Program is bin/devcluster, Dir its state folder.
	Program, Dir string
}

// Run runs devcluster with arguments such as: node stop node-1.
func (n *Nodes) Run(ctx context.Context, arguments ...string) error {
	output, err := exec.CommandContext(ctx, n.Program, append(arguments, "--dir", n.Dir)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("devcluster %s: %w: %s", strings.Join(arguments, " "), err, bytes.TrimSpace(output))
	}

	return nil
}

// Names of the nodes that there were started, on or off.
func (n *Nodes) Names() []string {
	paths, _ := filepath.Glob(filepath.Join(n.Dir, "nodes", "*"))

	var names []string
	for _, path := range paths {
		names = append(names, filepath.Base(path))
	}

	return names
}

// Other is a node that is on and not among these; "" if there is none.
func (n *Nodes) Other(not ...string) string {
	for _, name := range n.Names() {
		if !slices.Contains(not, name) && n.PID(name) != 0 {
			return name
		}
	}

	return ""
}

// PID is a node's first process, 0 if the node is off.
func (n *Nodes) PID(node string) int {
	content, err := os.ReadFile(filepath.Join(n.Dir, "run", node))
	if err != nil {
		return 0
	}

	first, _, _ := strings.Cut(string(content), " ")
	pid, _ := strconv.Atoi(first)

	if _, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid))); err != nil {
		return 0
	}

	return pid
}

// Dial makes connections that begin on a node, as those of a pod with the node's network do.
func (n *Nodes) Dial(node string) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		pid := n.PID(node)
		if pid == 0 {
			return nil, fmt.Errorf("the client's own node %s is off", node)
		}

		var (
			conn net.Conn
			err  error
		)

		inside := inNetwork(pid, func() {
			conn, err = (&net.Dialer{FallbackDelay: -1}).DialContext(ctx, network, address)
		})

		return conn, errors.Join(inside, err)
	}
}

// inNetwork does something in the network namespace of a process. A socket stays in the namespace in which it was made.
func inNetwork(pid int, do func()) error {
	failed := make(chan error, 1)

	go func() {
		// The thread is thrown away with the goroutine: it is never unlocked.
		runtime.LockOSThread()

		namespace, err := unix.Open(filepath.Join("/proc", strconv.Itoa(pid), "ns", "net"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(namespace, unix.CLONE_NEWNET)
			_ = unix.Close(namespace)
		}

		if err != nil {
			failed <- fmt.Errorf("enter the network of process %d: %w", pid, err)

			return
		}

		do()

		failed <- nil
	}()

	return <-failed
}

// Process is one of a container's on this machine.
type Process struct {
	// PID on this machine, and Inside the container.
	PID, Inside int
	Parent      int
	// Name of the program.
	Name string
	// Started since boot, in ticks: with the PID it identifies a process.
	Started string
	// State is R, S, T and so on.
	State string
}

// Alive says whether this very process still runs, and in which state.
func (p Process) Alive() (state string, alive bool) {
	now, ok := readProcess(p.PID)

	return now.State, ok && now.Started == p.Started && now.State != "Z" && now.State != "X"
}

// Processes of a container.
func (n *Nodes) Processes(containerID string) ([]Process, error) {
	_, id, found := strings.Cut(containerID, "://")
	if !found {
		return nil, errors.New("the container does not run")
	}

	paths, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}

	var processes []Process

	for _, path := range paths {
		groups, _ := os.ReadFile(path)
		if !strings.Contains(string(groups), id) {
			continue
		}

		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if process, ok := readProcess(pid); ok {
			processes = append(processes, process)
		}
	}

	return processes, nil
}

func readProcess(pid int) (Process, bool) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	process := Process{PID: pid}

	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return process, false
	}

	before, rest, _ := strings.Cut(string(stat), ") ")
	_, process.Name, _ = strings.Cut(before, "(")

	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return process, false
	}

	process.State, process.Started = fields[0], fields[19]
	process.Parent, _ = strconv.Atoi(fields[1])

	status, _ := os.ReadFile(filepath.Join(dir, "status"))
	for line := range strings.Lines(string(status)) {
		if numbers := strings.Fields(line); len(numbers) > 1 && numbers[0] == "NSpid:" {
			process.Inside, _ = strconv.Atoi(numbers[len(numbers)-1])
		}
	}

	return process, true
}

// Ticks of CPU that the process has used, 1/100 s each.
func (p Process) Ticks() int {
	stat, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.PID), "stat"))
	_, rest, _ := strings.Cut(string(stat), ") ")

	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}

	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])

	return user + system
}
