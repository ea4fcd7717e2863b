package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/caretaker-dev/caretaker/devcluster/internal/layout"
	"github.com/caretaker-dev/caretaker/devcluster/internal/parts"
	"github.com/caretaker-dev/caretaker/devcluster/internal/process"
	"github.com/caretaker-dev/caretaker/devcluster/internal/volumes"
)

// restartDelay is how long a program that ended stays down.
const restartDelay = time.Second

const pauseArchive = layout.NodeDir + "/" + PauseArchive

// Init is a node's first process. It makes the node's mounts and addresses, starts
// its programs, starts again what ends, and reaps orphans. It never returns without
// an error.
func Init(specFile string) error {
	content, err := os.ReadFile(specFile)
	if err != nil {
		return fmt.Errorf("what to do: %w", err)
	}
	var spec Spec
	if err := json.Unmarshal(content, &spec); err != nil {
		return fmt.Errorf("what to do: %s: %w", specFile, err)
	}
	services, err := spec.services()
	if err != nil {
		return err
	}
	cable := os.NewFile(3, "cable") // It is readable once the cable is plugged in.
	if read, err := cable.Read(make([]byte, 2)); read == 0 {
		return fmt.Errorf("whoever started this node is gone: %w", err)
	}
	_ = cable.Close()
	if err := unix.Sethostname([]byte(spec.Name)); err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	if err := spec.mount(); err != nil {
		return err
	}
	if err := spec.setUpNetwork(); err != nil {
		return err
	}
	return supervise(spec, services)
}

// service is a program that runs as long as the node does.
type service struct {
	args []string
	log  *os.File
	pid  int
}

func (s *service) start() error {
	pid, err := syscall.ForkExec(s.args[0], s.args, &syscall.ProcAttr{
		Env:   append(os.Environ(), "PATH="+binaries()+":"+os.Getenv("PATH")),
		Files: []uintptr{0, s.log.Fd(), s.log.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("starting %s: %w", s.args[0], err)
	}
	s.pid = pid
	return nil
}

func binaries() string {
	return layout.NodeParts + "/containerd:" + layout.NodeParts + "/runc:" + layout.NodeParts + "/kubernetes"
}

// services opens the logs too: their folder may be hidden once the node's mounts are made.
func (s Spec) services() ([]*service, error) {
	address, _, err := net.ParseCIDR(s.Address)
	if err != nil {
		return nil, fmt.Errorf("address of %s: %w", s.Name, err)
	}
	const kubernetes = layout.NodeParts + "/kubernetes/"
	all := []*service{
		{args: []string{layout.NodeParts + "/containerd/containerd", "--config", layout.NodeDir + "/containerd.toml"}},
		{args: []string{kubernetes + "kube-proxy", "--config", layout.NodeDir + "/kube-proxy.yaml"}},
		{args: []string{
			kubernetes + "kubelet", "--config", layout.NodeDir + "/kubelet.yaml",
			"--kubeconfig", layout.NodeDir + "/kubelet.kubeconfig",
			"--hostname-override", s.Name, "--node-ip", address.String(),
			"--node-labels", "topology.kubernetes.io/zone=" + zone(s.Name),
		}},
	}
	if s.Parts[parts.CSIDriver] != "" {
		all = append(all, &service{args: []string{layout.NodeParts + "/" + parts.CSIDriver + "/csi-driver", "node", s.Name}})
	}
	for _, service := range all {
		name := s.Name + "-" + filepath.Base(service.args[0]) + ".log"
		if service.log, err = process.OpenLog(filepath.Join(s.Logs, name)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func zone(node string) string { return "zone" + node[len("node"):] }

// mount gives the node a /run, /var/lib and /var/log of its own.
func (s Spec) mount() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("separating mounts: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mounting /run: %w", err)
	}
	binds := map[string]string{layout.NodeDir: s.Dir}
	for part, dir := range s.Parts {
		binds[filepath.Join(layout.NodeParts, part)] = dir
	}
	if err := bind(binds); err != nil {
		return err
	}
	for _, dir := range []string{"/var-lib", "/var-log", "/volumes", "/volume-files"} {
		if err := os.MkdirAll(layout.NodeDir+dir, 0o750); err != nil {
			return fmt.Errorf("folders of %s: %w", s.Name, err)
		}
	}
	if err := os.MkdirAll("/run/netns", 0o750); err != nil {
		return fmt.Errorf("folders of %s: %w", s.Name, err)
	}
	// From here on the machine's own /var/lib is hidden.
	err := bind(map[string]string{"/var/lib": layout.NodeDir + "/var-lib", "/var/log": layout.NodeDir + "/var-log"})
	if err != nil {
		return err
	}
	// Containers may ask to see later mounts.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("sharing mounts with containers: %w", err)
	}
	return nil
}

func bind(targets map[string]string) error {
	for target, source := range targets {
		if err := os.MkdirAll(target, 0o750); err != nil {
			return fmt.Errorf("mounting %s: %w", target, err)
		}
		if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting %s at %s: %w", source, target, err)
		}
	}
	return nil
}

func (s Spec) setUpNetwork() error {
	commands := [][]string{
		{"link", "set", "lo", "up"},
		{"addr", "replace", s.Address, "dev", "eth0"},
		{"link", "set", "eth0", "up"},
		{"route", "replace", "default", "via", s.Gateway},
	}
	for subnet, via := range s.Routes {
		commands = append(commands, []string{"route", "replace", subnet, "via", via})
	}
	for _, args := range commands {
		if err := run("ip", args...); err != nil {
			return err
		}
	}
	for file, needed := range map[string]bool{"ipv4/ip_forward": true, "bridge/bridge-nf-call-iptables": false} {
		err := os.WriteFile("/proc/sys/net/"+file, []byte("1"), 0o600)
		if err != nil && needed {
			return fmt.Errorf("setting net/%s: %w", file, err)
		}
	}
	return nil
}

func run(name string, args ...string) error {
	output, err := exec.Command(name, args...).CombinedOutput() //nolint:noctx // It ends when the node does.
	if err != nil {
		return fmt.Errorf("%s %v: %w: %s", name, args, err, output)
	}
	return nil
}

// supervise starts the services in order, and keeps them running.
func supervise(spec Spec, services []*service) error {
	containerd := services[0]
	if err := containerd.start(); err != nil {
		return err
	}
	if err := volumes.MountAll(func(args ...string) error { return run(args[0], args[1:]...) }); err != nil {
		return err
	}
	if err := waitFor("unix", layout.ContainerdSocket, time.Minute); err != nil {
		return fmt.Errorf("containerd: %w; see its log", err)
	}
	err := run(layout.NodeParts+"/containerd/ctr", "--address", layout.ContainerdSocket,
		"--namespace", "k8s.io", "images", "import", pauseArchive)
	if err != nil {
		return fmt.Errorf("loading the pause image: %w", err)
	}
	// Without an API server kubelet and kube-proxy wait longer than it takes to come up.
	_ = waitFor("tcp", spec.API, time.Minute)
	for _, service := range services[1:] {
		if err := service.start(); err != nil {
			return err
		}
	}
	for {
		pid, err := syscall.Wait4(-1, nil, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("waiting for children: %w", err)
		}
		for _, service := range services {
			if service.pid != pid {
				continue
			}
			_, _ = fmt.Fprintf(service.log, "devcluster: %s ended; it starts again\n", service.args[0])
			time.Sleep(restartDelay)
			if err := service.start(); err != nil {
				return err
			}
		}
	}
}

// waitFor waits until something listens.
func waitFor(network, address string, limit time.Duration) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		connection, err := net.DialTimeout(network, address, time.Second) //nolint:noctx // It is bounded.
		if err == nil {
			_ = connection.Close()
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}
