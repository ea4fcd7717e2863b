package command

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/caretaker-dev/caretaker/devcluster/internal/cluster"
	"github.com/caretaker-dev/caretaker/devcluster/internal/layout"
	"github.com/caretaker-dev/caretaker/devcluster/internal/node"
	"github.com/caretaker-dev/caretaker/devcluster/internal/progress"
	"github.com/caretaker-dev/caretaker/devcluster/internal/volumes"
)

// settings are the flags that all commands have.
type settings struct {
	dir string
}

// New returns the tool's command.
func New() *cobra.Command {
	var s settings
	root := &cobra.Command{
		Use:   "devcluster",
		Short: "Run a real Kubernetes on this Linux machine, without Docker or a container registry",
		Long: "Run a real Kubernetes on this Linux machine, without Docker or a container registry.\n" +
			"Its programs are built from source once and kept in a cache.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&s.dir, "dir", os.Getenv("DEVCLUSTER_DIR"),
		"folder of the cluster (default .devcluster in the checkout, or $DEVCLUSTER_DIR)")
	root.AddCommand(s.up(), s.down(), s.status(), s.load(), s.nodes(), s.net(), s.api(), s.build(), s.check(),
		nodeInit(), s.volumes())
	return root
}

func (s *settings) new(cmd *cobra.Command) (*cluster.Cluster, error) {
	dirs, err := layout.Find(s.dir)
	if err != nil {
		return nil, err
	}
	return cluster.New(dirs, progress.New(cmd.OutOrStdout())), nil
}

func (s *settings) open(cmd *cobra.Command) (*cluster.Cluster, error) {
	dirs, err := layout.Find(s.dir)
	if err != nil {
		return nil, err
	}
	return cluster.Open(dirs, progress.New(cmd.OutOrStdout()))
}

func (s *settings) up() *cobra.Command {
	var options cluster.Options
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a cluster, or what of it does not run, and wait until it is ready",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.new(cmd)
			if err != nil {
				return err
			}
			return c.Up(cmd.Context(), options)
		},
	}
	cmd.Flags().IntVar(&options.Nodes, "nodes", 0, "how many nodes (default: as many as there are, or 3)")
	cmd.Flags().StringVar(&options.Kubeconfig, "kubeconfig", "", "a further file to write the kubeconfig to")
	cmd.Flags().BoolVar(&options.ControlPlaneOnly, "control-plane-only", false,
		"only etcd and an API server on localhost, without nodes and controllers")
	cmd.Flags().BoolVar(&options.CSI, "csi", false, "with a CSI driver: storage class csi, and snapshots of its volumes")
	cmd.MarkFlagsMutuallyExclusive("control-plane-only", "csi")
	return cmd
}

func (s *settings) down() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Remove the cluster and everything it has on this machine",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.new(cmd)
			if err != nil {
				return err
			}
			return c.Down(cmd.Context())
		},
	}
}

func (s *settings) status() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show what runs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.open(cmd)
			if err != nil {
				return err
			}
			return c.Status(cmd.Context(), cmd.OutOrStdout())
		},
	}
}

func (s *settings) load() *cobra.Command {
	var nodes []string
	cmd := &cobra.Command{
		Use:   "load IMAGE.tar...",
		Short: "Load images from docker or OCI archives into nodes, where they are not there yet",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, archives []string) error {
			c, err := s.open(cmd)
			if err != nil {
				return err
			}
			return c.Load(cmd.Context(), nodes, archives)
		},
	}
	cmd.Flags().StringSliceVar(&nodes, "node", nil, "load into this node only; may be repeated (default: all nodes)")
	return cmd
}

func (s *settings) build() *cobra.Command {
	var options cluster.Options
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build the programs of a cluster into the cache, and start nothing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.new(cmd)
			if err != nil {
				return err
			}
			return c.Build(cmd.Context(), options)
		},
	}
	cmd.Flags().BoolVar(&options.ControlPlaneOnly, "control-plane-only", false, "only what an API server needs")
	cmd.Flags().BoolVar(&options.CSI, "csi", false, "also what up --csi needs")
	cmd.MarkFlagsMutuallyExclusive("control-plane-only", "csi")
	return cmd
}

func (s *settings) check() *cobra.Command {
	var options cluster.Options
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say whether this machine can run a cluster, and if not, why",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return options.Check() },
	}
	cmd.Flags().BoolVar(&options.ControlPlaneOnly, "control-plane-only", false, "check for an API server alone")
	return cmd
}

func nodeInit() *cobra.Command {
	return &cobra.Command{
		Use:    "node-init SPEC",
		Short:  "The first process of a node",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE:   func(_ *cobra.Command, args []string) error { return node.Init(args[0]) },
	}
}

func (s *settings) volumes() *cobra.Command {
	return &cobra.Command{
		Use:    "volumes",
		Short:  "Make, grow and remove volumes",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dirs, err := layout.Find(s.dir)
			if err != nil {
				return err
			}
			c, err := s.open(cmd)
			if err != nil {
				return err
			}
			return volumes.Run(cmd.Context(), dirs.Kubeconfig(), func(ctx context.Context, node string) volumes.Runner {
				return c.Runner(ctx, node)
			})
		},
	}
}
