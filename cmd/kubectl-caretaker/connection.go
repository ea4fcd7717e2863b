package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/caretaker-dev/caretaker/internal/plugin"
	"github.com/caretaker-dev/caretaker/internal/version"
)

// connection is kubectl's own way to a cluster: KUBECONFIG, --kubeconfig, --context, --namespace and the others.
type connection struct {
	config clientcmd.ClientConfig
}

func newConnection(flags *pflag.FlagSet) *connection {
	rules, overrides := clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{}
	names := clientcmd.RecommendedConfigOverrideFlags("")
	names.ContextOverrideFlags.Namespace.ShortName = "n"
	names.ClusterOverrideFlags.APIServer.ShortName = "s"

	flags.StringVar(&rules.ExplicitPath, "kubeconfig", "", "Path to the kubeconfig file to use")
	clientcmd.BindOverrideFlags(overrides, flags, names)

	return &connection{config: clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)}
}

// open connects; the key names the object in the namespace in use.
func (c *connection) open(name string) (*plugin.Kube, types.NamespacedName, error) {
	namespace, _, err := c.config.Namespace()
	if err != nil {
		return nil, types.NamespacedName{}, fmt.Errorf("find the namespace: %w", err)
	}

	config, err := c.config.ClientConfig()
	if err != nil {
		return nil, types.NamespacedName{}, fmt.Errorf("find a cluster to connect to: %w", err)
	}

	config.UserAgent = "kubectl-caretaker/" + version.String()

	kube, err := plugin.NewKube(config)

	return kube, types.NamespacedName{Namespace: namespace, Name: name}, err
}

// completeCluster completes a Cluster's name.
func (c *connection) completeCluster(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return c.completeName(cmd, args, (*plugin.Kube).Clusters)
}

// completeBackup completes a Backup's name.
func (c *connection) completeBackup(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return c.completeName(cmd, args, (*plugin.Kube).Backups)
}

func (c *connection) completeName(
	cmd *cobra.Command, args []string, list func(*plugin.Kube, context.Context, string) ([]string, error),
) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}

	kube, key, err := c.open("")
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}

	names, err := list(kube, cmd.Context(), key.Namespace)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}

	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeReplica completes a Cluster's name, and then one of its replicas.
func (c *connection) completeReplica(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return c.completeCluster(cmd, args, typed)
	}

	kube, key, err := c.open(args[0])
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}

	cluster, err := kube.Cluster(cmd.Context(), key)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}

	var names []string

	for _, member := range cluster.Status.Members {
		if member.Name != cluster.Status.Primary {
			names = append(names, member.Name)
		}
	}

	return names, cobra.ShellCompDirectiveNoFileComp
}
