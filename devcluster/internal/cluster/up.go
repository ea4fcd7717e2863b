package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/caretaker-dev/caretaker/devcluster/internal/config"
	"github.com/caretaker-dev/caretaker/devcluster/internal/host"
	"github.com/caretaker-dev/caretaker/devcluster/internal/images"
	"github.com/caretaker-dev/caretaker/devcluster/internal/layout"
	"github.com/caretaker-dev/caretaker/devcluster/internal/machine"
	"github.com/caretaker-dev/caretaker/devcluster/internal/node"
	"github.com/caretaker-dev/caretaker/devcluster/internal/parts"
	"github.com/caretaker-dev/caretaker/devcluster/internal/pki"
)

// Options are what a user may choose for a new cluster.
type Options struct {
	// Nodes is how many; 0 means as many as there are, or three.
	Nodes            int
	ControlPlaneOnly bool
	// CSI adds a CSI driver to a new cluster, for snapshots of volumes.
	CSI bool
	// Kubeconfig is a further file to write the kubeconfig to.
	Kubeconfig string
}

// Check says why this machine cannot run such a cluster, if it cannot.
func (o Options) Check() error {
	check := machine.Check
	if o.ControlPlaneOnly {
		check = machine.CheckAPIServer
	}
	if reasons := check(); len(reasons) > 0 {
		return machine.CannotRun(reasons)
	}
	return nil
}

// Build fills the cache of built programs.
func (c *Cluster) Build(ctx context.Context, options Options) error {
	if err := options.Check(); err != nil {
		return err
	}
	if !options.ControlPlaneOnly {
		if err := machine.Install(ctx, c.out); err != nil {
			return err
		}
	}
	if err := c.buildParts(ctx, options); err != nil {
		return err
	}
	return c.linkKubectl()
}

// buildParts finds the built programs of such a cluster, and builds those that are missing.
func (c *Cluster) buildParts(ctx context.Context, options Options) error {
	wanted := parts.ForControlPlane()
	if !options.ControlPlaneOnly {
		wanted = append(wanted, parts.ForNodes()...)
	}
	if options.CSI {
		wanted = append(wanted, parts.ForCSI()...)
	}
	var err error
	c.built, err = c.builder().Build(ctx, wanted)
	return err
}

func (c *Cluster) builder() parts.Builder {
	return parts.Builder{Sources: c.dirs.Parts(), Cache: c.dirs.Cache, Progress: c.out}
}

func (c *Cluster) linkKubectl() error {
	link, target := filepath.Join(c.dirs.Bin(), "kubectl"), c.built.Program(parts.Kubernetes, "kubectl")
	if current, err := os.Readlink(link); err == nil && current == target {
		return nil
	}
	if err := os.MkdirAll(c.dirs.Bin(), 0o750); err != nil {
		return fmt.Errorf("kubectl: %w", err)
	}
	if err := errors.Join(ignoreMissing(os.Remove(link+".new")), os.Symlink(target, link+".new")); err != nil {
		return fmt.Errorf("kubectl: %w", err)
	}
	if err := os.Rename(link+".new", link); err != nil {
		return fmt.Errorf("kubectl: %w", err)
	}
	return nil
}

// Up makes the cluster run, whatever of it runs already, and returns when all its
// nodes are ready.
func (c *Cluster) Up(ctx context.Context, options Options) error {
	if _, err := c.load(); err != nil {
		return err
	}
	options.CSI = options.CSI || c.state.CSI // A cluster keeps its driver.
	if err := c.Build(ctx, options); err != nil {
		return err
	}
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	began := time.Now()
	if err := c.settle(ctx, options); err != nil {
		return err
	}
	authority, err := c.writeFiles()
	if err != nil {
		return err
	}
	if c.state.ControlPlaneOnly {
		err = c.out.Step("API server", func() error { return c.startAPI(ctx) })
	} else {
		err = c.startAll(ctx, authority, began)
	}
	if err != nil {
		return err
	}
	if options.Kubeconfig != "" {
		content, err := os.ReadFile(c.dirs.Kubeconfig())
		if err == nil {
			err = config.WriteFile(options.Kubeconfig, content)
		}
		if err != nil {
			return fmt.Errorf("kubeconfig: %w", err)
		}
	}
	c.out.Line("The cluster is ready (%.1f s): export KUBECONFIG=%s", time.Since(began).Seconds(), c.dirs.Kubeconfig())
	return nil
}

// settle decides what the cluster is, and remembers it before anything is started.
func (c *Cluster) settle(ctx context.Context, options Options) error {
	found, err := c.load()
	if err != nil {
		return err
	}
	if found && c.state.ControlPlaneOnly != options.ControlPlaneOnly {
		return fmt.Errorf("%s has a cluster of the other kind (--control-plane-only or not): "+
			"devcluster down first, or set DEVCLUSTER_DIR", c.dirs.State)
	}
	switch {
	case options.ControlPlaneOnly:
		c.state.ControlPlaneOnly = true
	case found && options.Nodes != 0 && options.Nodes != c.state.Nodes:
		return fmt.Errorf("the cluster has %d nodes: for %d of them, devcluster down first", c.state.Nodes, options.Nodes)
	case found && options.CSI && !c.state.CSI:
		return fmt.Errorf("the cluster in %s has no CSI driver, and nodes get it when they are made: devcluster down first", c.dirs.State)
	case !found:
		c.state.CSI = options.CSI
		c.state.Nodes = max(options.Nodes, 0)
		if options.Nodes == 0 {
			c.state.Nodes = 3
		}
		if c.state.Nodes > layout.MaxNodes {
			return fmt.Errorf("%d nodes are too many: %d at most", c.state.Nodes, layout.MaxNodes)
		}
	}
	if !options.ControlPlaneOnly {
		network, err := host.ClaimSlot(ctx, c.dirs.Slots(), c.dirs.State)
		if err != nil {
			return err
		}
		if found && network.Slot != c.state.Slot {
			return fmt.Errorf("the slot of this cluster (%d) was given to another: devcluster down first", c.state.Slot)
		}
		c.state.Slot = network.Slot
	}
	if err := c.choosePorts(ctx); err != nil {
		return err
	}
	return c.save()
}

// startAll starts control plane and nodes at the same time, since each mostly waits.
func (c *Cluster) startAll(ctx context.Context, authority *pki.Authority, began time.Time) error {
	if err := host.RaiseLimits(); err != nil {
		return err
	}
	if err := host.SetUpNetwork(ctx, c.network(), c.state.Nodes); err != nil {
		return err
	}
	if err := c.healAll(ctx); err != nil {
		return err
	}
	group, groupContext := errgroup.WithContext(ctx)
	group.Go(func() error {
		return c.out.Step("API server", func() error { return c.startAPI(groupContext) })
	})
	for _, n := range c.nodes() {
		group.Go(func() error { return c.startNode(ctx, n, authority) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if c.state.CSI { // Before what looks for the types that it makes.
		if err := c.applyCSI(ctx); err != nil {
			return err
		}
	}
	for _, name := range c.components() {
		if err := c.startComponent(name); err != nil {
			return err
		}
	}
	if err := c.applyAddons(ctx); err != nil {
		return err
	}
	what := fmt.Sprintf("%d nodes ready", c.state.Nodes)
	if err := c.out.Step(what, func() error { return c.waitForNodes(ctx, began) }); err != nil {
		return err
	}
	for _, name := range c.components() {
		if c.process(name).PID() == 0 {
			return fmt.Errorf("%s ended: see %s", name, c.dirs.Log(name))
		}
	}
	return nil
}

// startNode prepares a node's folder and switches the node on.
func (c *Cluster) startNode(ctx context.Context, n node.Node, authority *pki.Authority) error {
	if err := n.Resume(); err != nil {
		return err
	}
	if n.PID() != 0 {
		return nil
	}
	dir := c.dirs.Node(n.Name())
	if err := config.Node(dir, c.network(), n.Index, c.server(), authority); err != nil {
		return err
	}
	pause, err := images.Pack(config.PauseImage, c.built.Program(parts.Pause, "pause"))
	if err != nil {
		return err
	}
	if err := config.WriteFile(filepath.Join(dir, node.PauseArchive), pause); err != nil {
		return err
	}
	return n.Start(ctx, c.state.Nodes, c.built)
}
