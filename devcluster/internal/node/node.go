package node

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/caretaker-dev/caretaker/devcluster/internal/config"
	"github.com/caretaker-dev/caretaker/devcluster/internal/host"
	"github.com/caretaker-dev/caretaker/devcluster/internal/layout"
	"github.com/caretaker-dev/caretaker/devcluster/internal/parts"
	"github.com/caretaker-dev/caretaker/devcluster/internal/process"
)

// PauseArchive is the file in a node's folder that has the pause image.
const PauseArchive = "pause.tar"

// Node is one node, seen from the machine.
type Node struct {
	Index   int
	Dirs    layout.Dirs
	Network layout.Network
	// Marker goes into the environment of the node's processes.
	Marker string
}

// Spec tells a node's first process what to do.
type Spec struct {
	Name, Address, Gateway string
	// API is the API server's host and port.
	API string
	// Dir is the node's folder, Logs where its programs' logs go.
	Dir, Logs string
	// Parts has the folders of built programs.
	Parts parts.Built
	// Routes maps other nodes' pod networks to those nodes' addresses.
	Routes map[string]string
}

// Name is the name of the node.
func (n Node) Name() string { return layout.NodeName(n.Index) }

func (n Node) process() process.Process {
	return process.Process{PIDFile: filepath.Join(n.Dirs.Run(), n.Name()), Log: n.Dirs.Log(n.Name())}
}

// PID is the node's first process, or 0 if the node is off.
func (n Node) PID() int { return n.process().PID() }

// StartedBefore says whether the node has been on since before then.
func (n Node) StartedBefore(then time.Time) bool {
	info, err := os.Stat(n.process().PIDFile)
	return err == nil && n.PID() != 0 && info.ModTime().Before(then)
}

// Paused says whether the node is stopped in its tracks.
func (n Node) Paused() bool { return host.Frozen(config.NodeCgroup(n.Network, n.Index)) }

// Start switches the node on. Its folder must have been prepared.
func (n Node) Start(ctx context.Context, nodes int, built parts.Built) error {
	if n.PID() != 0 {
		return nil
	}
	specFile, err := n.writeSpec(nodes, built)
	if err != nil {
		return err
	}
	cgroup := config.NodeCgroup(n.Network, n.Index)
	if err := host.RemoveCgroup(cgroup); err != nil {
		return err
	}
	if err := host.CreateCgroup(cgroup); err != nil {
		return err
	}
	executable, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	ready, release, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("starting %s: %w", n.Name(), err)
	}
	defer func() { _, _ = ready.Close(), release.Close() }()
	// The node must outlive this context: it is no child of a request.
	cmd := exec.Command(executable, "node-init", specFile) //nolint:noctx // See above.
	cmd.Env = append(os.Environ(), n.Marker)
	cmd.ExtraFiles = []*os.File{ready}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID |
		syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC}
	if err := n.process().Start(cmd); err != nil {
		return err
	}
	if err := host.JoinFreezer(cgroup, cmd.Process.Pid); err != nil {
		return err
	}
	if err := host.Plug(ctx, n.Network, n.Index, cmd.Process.Pid); err != nil {
		return err
	}
	if _, err := release.WriteString("go"); err != nil {
		return fmt.Errorf("starting %s: %w; see %s", n.Name(), err, n.Dirs.Log(n.Name()))
	}
	return nil
}

func (n Node) writeSpec(nodes int, built parts.Built) (string, error) {
	spec := Spec{
		Name: n.Name(), Gateway: n.Network.Gateway().String(),
		Address: fmt.Sprintf("%s/%d", n.Network.NodeAddress(n.Index), n.Network.NodeSubnet().Bits()),
		API:     n.Network.Gateway().String() + ":6443",
		Dir:     n.Dirs.Node(n.Name()), Logs: n.Dirs.Logs(), Parts: built,
		Routes: map[string]string{},
	}
	for i := 1; i <= nodes; i++ {
		if i != n.Index {
			spec.Routes[n.Network.NodePodSubnet(i).String()] = n.Network.NodeAddress(i).String()
		}
	}
	content, err := json.MarshalIndent(spec, "", "  ")
	if err != nil {
		return "", fmt.Errorf("describing %s: %w", n.Name(), err)
	}
	file := filepath.Join(spec.Dir, "init.json")
	return file, config.WriteFile(file, content)
}

// Stop cuts the node's power. It returns when nothing of the node runs any more.
func (n Node) Stop() error {
	if pid := n.PID(); pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGKILL) // Process.Kill below reports if it does not work.
	}
	cgroup := config.NodeCgroup(n.Network, n.Index)
	// What is frozen dies only when it is thawed, but then before it does anything else.
	if err := host.Thaw(cgroup); err != nil {
		return err
	}
	if err := n.process().Kill(); err != nil {
		return err
	}
	if err := host.RemoveCgroup(cgroup); err != nil {
		return err
	}
	// The kernel removes a namespace some time after its last process.
	for deadline := time.Now().Add(10 * time.Second); host.LinkExists(n.Network.Link(n.Index)); {
		if time.Now().After(deadline) {
			return nil // Plug and "down" remove the link themselves.
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// Pause stops everything on the node in its tracks, as a machine that hangs.
func (n Node) Pause() error {
	if n.PID() == 0 {
		return fmt.Errorf("%s is off", n.Name())
	}
	return host.Freeze(config.NodeCgroup(n.Network, n.Index))
}

// Resume lets a paused node go on.
func (n Node) Resume() error { return host.Thaw(config.NodeCgroup(n.Network, n.Index)) }

// Enter is a command that runs a program among the node's mounts and processes.
func (n Node) Enter(ctx context.Context, args ...string) (*exec.Cmd, error) {
	pid := n.PID()
	if pid == 0 {
		return nil, fmt.Errorf("%s is off: devcluster node start %s", n.Name(), n.Name())
	}
	return exec.CommandContext(ctx, "nsenter",
		append([]string{"--target", strconv.Itoa(pid), "--mount", "--pid", "--"}, args...)...), nil
}

// ContainerdSocket is the node's containerd's socket, as the machine sees it.
func (n Node) ContainerdSocket() (string, error) {
	pid := n.PID()
	if pid == 0 {
		return "", fmt.Errorf("%s is off: devcluster node start %s", n.Name(), n.Name())
	}
	return filepath.Join("/proc", strconv.Itoa(pid), "root", layout.ContainerdSocket), nil
}
