package cluster

import (
	"context"
	"fmt"
	"os/exec"

	"golang.org/x/sync/errgroup"

	"github.com/caretaker-dev/caretaker/devcluster/internal/images"
	"github.com/caretaker-dev/caretaker/devcluster/internal/node"
	"github.com/caretaker-dev/caretaker/devcluster/internal/parts"
	"github.com/caretaker-dev/caretaker/devcluster/internal/volumes"
)

// Load puts images into nodes: into all of them if none is named.
func (c *Cluster) Load(ctx context.Context, names, archives []string) error {
	if len(names) == 0 {
		names = c.NodeNames()
	}
	if err := c.locate(ctx); err != nil {
		return err
	}
	for _, file := range archives {
		archive, err := images.Open(file)
		if err != nil {
			return err
		}
		var group errgroup.Group
		for _, name := range names {
			n, err := c.Node(name)
			if err != nil {
				return err
			}
			group.Go(func() error { return c.loadOne(ctx, n, archive) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) loadOne(ctx context.Context, n node.Node, archive *images.Archive) error {
	socket, err := n.ContainerdSocket()
	if err != nil {
		return err
	}
	target := images.Target{
		Ctr: c.built.Program(parts.Containerd, "ctr"), Socket: socket, Dir: c.dirs.Node(n.Name()),
	}
	present, err := target.Has(ctx, archive)
	if err != nil {
		return fmt.Errorf("%s: %w", n.Name(), err)
	}
	if present {
		return nil
	}
	return c.out.Step(n.Name()+": "+archive.String(), func() error {
		if err := target.Load(ctx, archive); err != nil {
			return fmt.Errorf("%s: %w", n.Name(), err)
		}
		return nil
	})
}

// Runner runs programs on the node of this name.
func (c *Cluster) Runner(ctx context.Context, name string) volumes.Runner {
	return func(args ...string) error {
		n, err := c.Node(name)
		if err != nil {
			return err
		}
		var cmd *exec.Cmd
		if cmd, err = n.Enter(ctx, args...); err != nil {
			return err
		}
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %v: %w: %s", name, args, err, output)
		}
		return nil
	}
}
