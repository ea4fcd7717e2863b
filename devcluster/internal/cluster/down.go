package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/caretaker-dev/caretaker/devcluster/internal/host"
)

// marker is in the environment of every process of the cluster that runs on the
// machine itself, so that none is missed even if its ID was never written down.
func (c *Cluster) marker() string { return "DEVCLUSTER_OF=" + c.dirs.State }

// Down ends the cluster and removes everything that it has on the machine.
func (c *Cluster) Down(ctx context.Context) error {
	found, err := c.load()
	if err != nil {
		return err
	}
	if !found {
		return c.downBlind(ctx)
	}
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.stopAll(); err != nil {
		return err
	}
	if !c.state.ControlPlaneOnly {
		if err := c.cleanMachine(ctx); err != nil {
			return err
		}
	}
	// The file that says that there is a cluster goes last.
	entries, err := os.ReadDir(c.dirs.State)
	if err != nil {
		return fmt.Errorf("removing the cluster's files: %w", err)
	}
	for _, entry := range entries {
		if path := filepath.Join(c.dirs.State, entry.Name()); path != c.stateFile() {
			if err := os.RemoveAll(path); err != nil {
				return fmt.Errorf("removing the cluster's files: %w", err)
			}
		}
	}
	if err := os.RemoveAll(c.dirs.State); err != nil {
		return fmt.Errorf("removing the cluster's files: %w", err)
	}
	if c.state.ControlPlaneOnly {
		return nil
	}
	return host.FreeSlot(c.dirs.Slots(), c.dirs.State)
}

// downBlind removes what is left of a cluster whose state folder somebody removed.
func (c *Cluster) downBlind(ctx context.Context) error {
	pids, err := c.strays()
	if err != nil {
		return err
	}
	network, claimed := host.FindSlot(c.dirs.Slots(), c.dirs.State)
	if !claimed && len(pids) == 0 {
		c.out.Line("There is no cluster in %s", c.dirs.State)
		return nil
	}
	c.out.Line("The files of the cluster in %s are gone: removing what is left of it", c.dirs.State)
	if err := c.stopAll(); err != nil || !claimed {
		return err
	}
	c.state.Slot = network.Slot
	if err := c.cleanMachine(ctx); err != nil {
		return err
	}
	return host.FreeSlot(c.dirs.Slots(), c.dirs.State)
}

// cleanMachine removes what the cluster has outside its state folder.
func (c *Cluster) cleanMachine(ctx context.Context) error {
	if err := host.TearDownNetwork(ctx, c.network()); err != nil {
		return err
	}
	if err := host.RemoveCgroup(c.network().Name()); err != nil {
		return err
	}
	return c.releaseLoops(ctx)
}

func (c *Cluster) stopAll() error {
	var group errgroup.Group
	for _, node := range c.nodes() {
		group.Go(node.Stop)
	}
	for _, name := range c.components() {
		group.Go(c.process(name).Kill)
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		pids, err := c.strays()
		if err != nil || len(pids) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v of the cluster do not end", pids)
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL) // The next round sees whether it worked.
		}
	}
}

// strays finds processes of the cluster by their environment.
func (c *Cluster) strays() (pids []int, err error) {
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil, fmt.Errorf("processes: %w", err)
	}
	for _, file := range files {
		environment, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(append([]byte{0}, environment...), []byte("\x00"+c.marker()+"\x00")) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// releaseLoops waits until no loop device uses a file of the cluster: the kernel lets
// go of them some time after the last mount is gone.
func (c *Cluster) releaseLoops(ctx context.Context) error {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		devices, err := c.loops()
		if err != nil || len(devices) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("loop devices %v are still in use", devices)
		}
		if time.Until(deadline) < 5*time.Second {
			for _, device := range devices {
				_, _ = host.Run(ctx, "losetup", "--detach", device)
			}
		}
	}
}

// loops finds the cluster's loop devices by the names of their files, which are unique:
// the path is as the node saw it.
func (c *Cluster) loops() (devices []string, err error) {
	images, err := filepath.Glob(filepath.Join(c.dirs.Node("*"), "*", "*.img"))
	if err != nil {
		return nil, fmt.Errorf("loop devices: %w", err)
	}
	ours := map[string]bool{}
	for _, image := range images {
		ours[filepath.Base(image)] = true
	}
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return nil, fmt.Errorf("loop devices: %w", err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err == nil && ours[filepath.Base(strings.TrimSuffix(strings.TrimSpace(string(content)), " (deleted)"))] {
			devices = append(devices, "/dev/"+strings.Split(file, "/")[3])
		}
	}
	return devices, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
