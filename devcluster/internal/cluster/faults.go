package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/caretaker-dev/caretaker/devcluster/internal/config"
	"github.com/caretaker-dev/caretaker/devcluster/internal/host"
	"github.com/caretaker-dev/caretaker/devcluster/internal/pki"
)

// locate finds the built programs of a cluster that exists, without building any.
func (c *Cluster) locate(ctx context.Context) error {
	return c.buildParts(ctx, Options{ControlPlaneOnly: c.state.ControlPlaneOnly, CSI: c.state.CSI})
}

// StartNode switches a node on.
func (c *Cluster) StartNode(ctx context.Context, name string) error {
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	node, err := c.Node(name)
	if err != nil {
		return err
	}
	if err := c.locate(ctx); err != nil {
		return err
	}
	authority, err := pki.Open(c.dirs.PKI())
	if err != nil {
		return err
	}
	if err := c.startNode(ctx, node, authority); err != nil {
		return err
	}
	cuts, err := c.cuts()
	if err != nil {
		return err
	}
	return host.ApplyCuts(ctx, c.network(), c.state.Nodes, cuts)
}

// StopNode cuts a node's power.
func (c *Cluster) StopNode(name string) error {
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	node, err := c.Node(name)
	if err != nil {
		return err
	}
	return node.Stop()
}

// StartAPI starts the API server again, and returns when it is ready.
func (c *Cluster) StartAPI(ctx context.Context) error {
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.locate(ctx); err != nil {
		return err
	}
	return c.startAPI(ctx)
}

// StopAPI ends the API server at once.
func (c *Cluster) StopAPI() error {
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	return c.process(apiServer).Kill()
}

// CutNetwork cuts a node off.
func (c *Cluster) CutNetwork(ctx context.Context, name string, cut host.Cut) error {
	return c.changeCuts(ctx, name, func(current []host.Cut) []host.Cut {
		if slices.Contains(current, cut) {
			return current
		}
		return append(current, cut)
	})
}

// HealNetwork undoes one cut.
func (c *Cluster) HealNetwork(ctx context.Context, name string, cut host.Cut) error {
	return c.changeCuts(ctx, name, func(current []host.Cut) []host.Cut {
		if cut == host.CutAll {
			return nil
		}
		return slices.DeleteFunc(current, func(other host.Cut) bool { return other == cut })
	})
}

func (c *Cluster) changeCuts(ctx context.Context, name string, change func([]host.Cut) []host.Cut) error {
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	node, err := c.Node(name)
	if err != nil {
		return err
	}
	cuts, err := c.cuts()
	if err != nil {
		return err
	}
	cuts[node.Index] = change(cuts[node.Index])
	content, err := json.Marshal(cuts)
	if err != nil {
		return fmt.Errorf("network cuts: %w", err)
	}
	if err := config.WriteFile(c.cutsFile(), content); err != nil {
		return err
	}
	return host.ApplyCuts(ctx, c.network(), c.state.Nodes, cuts)
}

func (c *Cluster) cutsFile() string { return filepath.Join(c.dirs.State, "cuts.json") }

func (c *Cluster) cuts() (map[int][]host.Cut, error) {
	cuts := map[int][]host.Cut{}
	content, err := os.ReadFile(c.cutsFile())
	if errors.Is(err, fs.ErrNotExist) {
		return cuts, nil
	}
	if err != nil {
		return nil, fmt.Errorf("network cuts: %w", err)
	}
	if err := json.Unmarshal(content, &cuts); err != nil {
		return nil, fmt.Errorf("network cuts: %w", err)
	}
	return cuts, nil
}

// healAll forgets all cuts: the network is whole when a cluster is brought up.
func (c *Cluster) healAll(ctx context.Context) error {
	if err := ignoreMissing(os.Remove(c.cutsFile())); err != nil {
		return fmt.Errorf("network cuts: %w", err)
	}
	return host.ApplyCuts(ctx, c.network(), c.state.Nodes, nil)
}
