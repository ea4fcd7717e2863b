package command

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/caretaker-dev/caretaker/devcluster/internal/cluster"
	"github.com/caretaker-dev/caretaker/devcluster/internal/host"
)

// action is something done to a cluster that exists, or to one node of it.
type action struct {
	use, short string
	do         func(cmd *cobra.Command, c *cluster.Cluster, name string) error
}

func (s *settings) group(use, short string, actions ...action) *cobra.Command {
	group := &cobra.Command{Use: use, Short: short}
	for _, action := range actions {
		args := cobra.NoArgs
		if len(action.use) > len("NAME") && action.use[len(action.use)-len("NAME"):] == "NAME" {
			args = cobra.ExactArgs(1)
		}
		group.AddCommand(&cobra.Command{
			Use: action.use, Short: action.short, Args: args,
			RunE: func(cmd *cobra.Command, args []string) error {
				c, err := s.open(cmd)
				if err != nil {
					return err
				}
				return action.do(cmd, c, append(args, "")[0])
			},
		})
	}
	return group
}

func (s *settings) nodes() *cobra.Command {
	return s.group("node", "Switch nodes on and off",
		action{"start NAME", "Switch a node on", func(cmd *cobra.Command, c *cluster.Cluster, name string) error {
			return c.StartNode(cmd.Context(), name)
		}},
		action{"stop NAME", "Cut a node's power", func(_ *cobra.Command, c *cluster.Cluster, name string) error {
			return c.StopNode(name)
		}},
		action{"pause NAME", "Stop a node in its tracks, as one that hangs", pause},
		action{"resume NAME", "Let a paused node go on", resume},
	)
}

func pause(_ *cobra.Command, c *cluster.Cluster, name string) error {
	node, err := c.Node(name)
	if err != nil {
		return err
	}
	return node.Pause()
}

func resume(_ *cobra.Command, c *cluster.Cluster, name string) error {
	node, err := c.Node(name)
	if err != nil {
		return err
	}
	return node.Resume()
}

func (s *settings) api() *cobra.Command {
	return s.group("api", "Stop and start the API server",
		action{"stop", "End the API server at once", func(_ *cobra.Command, c *cluster.Cluster, _ string) error {
			return c.StopAPI()
		}},
		action{
			"start", "Start the API server and wait until it is ready",
			func(cmd *cobra.Command, c *cluster.Cluster, _ string) error { return c.StartAPI(cmd.Context()) },
		},
	)
}

func (s *settings) net() *cobra.Command {
	var from string
	group := s.group("net", "Cut nodes off the network",
		action{"cut NAME", "Cut a node off", func(cmd *cobra.Command, c *cluster.Cluster, name string) error {
			cut, err := parseCut(from)
			if err != nil {
				return err
			}
			return c.CutNetwork(cmd.Context(), name, cut)
		}},
		action{"heal NAME", "Undo cuts", func(cmd *cobra.Command, c *cluster.Cluster, name string) error {
			cut, err := parseCut(from)
			if err != nil {
				return err
			}
			return c.HealNetwork(cmd.Context(), name, cut)
		}},
	)
	group.PersistentFlags().StringVar(&from, "from", "",
		`"api" for the control plane (all but DNS), "peers" for other nodes, "in" or "out" for one direction (default: everything)`)
	return group
}

func parseCut(from string) (host.Cut, error) {
	switch cut := host.Cut(from); cut {
	case "":
		return host.CutAll, nil
	case host.CutAll, host.CutAPI, host.CutPeers, host.CutIn, host.CutOut:
		return cut, nil
	default:
		return "", fmt.Errorf("--from %s: it must be api, peers, in or out", from)
	}
}
