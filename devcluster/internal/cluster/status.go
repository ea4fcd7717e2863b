package cluster

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/caretaker-dev/caretaker/devcluster/internal/node"
)

// Status describes the cluster.
func (c *Cluster) Status(ctx context.Context, out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintf(table, "kubeconfig\t%s\nAPI server\t%s\nlogs\t%s\n", c.dirs.Kubeconfig(), c.server(), c.dirs.Logs())
	if !c.state.ControlPlaneOnly {
		_, _ = fmt.Fprintf(table, "pods\t%s\nservices\t%s\n", c.network().PodSubnet(), c.network().ServiceSubnet())
	}
	_, _ = fmt.Fprintln(table)
	for _, name := range c.components() {
		_, _ = fmt.Fprintf(table, "%s\t%s\n", name, running(c.process(name).PID()))
	}
	cuts, err := c.cuts()
	if err != nil {
		return err
	}
	ready := c.opinions(ctx)
	for _, n := range c.nodes() {
		words := []string{power(n)}
		if state := ready[n.Name()]; state != "" {
			words = append(words, state)
		}
		for _, cut := range cuts[n.Index] {
			words = append(words, "cut off from "+string(cut))
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\n", n.Name(), strings.Join(words, ", "))
	}
	return table.Flush()
}

func running(pid int) string {
	if pid == 0 {
		return "not running"
	}
	return fmt.Sprintf("running (%d)", pid)
}

func power(n node.Node) string {
	if n.PID() != 0 && n.Paused() {
		return "paused"
	}
	return running(n.PID())
}

// opinions is what the API server thinks of the nodes, if it can be asked.
func (c *Cluster) opinions(ctx context.Context) map[string]string {
	ready := map[string]string{}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	client, err := c.client()
	if err != nil || c.state.ControlPlaneOnly {
		return ready
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return ready
	}
	for _, item := range nodes.Items {
		ready[item.Name] = "not ready"
		if _, yes := readiness(item); yes {
			ready[item.Name] = "ready"
		}
	}
	return ready
}
