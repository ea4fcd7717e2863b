package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"

	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/caretaker-dev/caretaker/devcluster/internal/config"
	"github.com/caretaker-dev/caretaker/devcluster/internal/layout"
	"github.com/caretaker-dev/caretaker/devcluster/internal/parts"
)

// csiCommand is how the driver's controller and Kubernetes' programs around it are started.
func (c *Cluster) csiCommand(name string) []string {
	if name == csiController {
		return []string{c.built.Program(parts.CSIDriver, "csi-driver"), "controller", c.dirs.State, c.dirs.CSISocket()}
	}
	args := []string{
		c.built.Program(parts.CSI, name), "--kubeconfig", c.dirs.Kubeconfig(),
		"--kube-api-qps", "100", "--kube-api-burst", "100",
		// As the volume provisioner does: a node that was off should not be waited for long.
		"--retry-interval-start", "500ms", "--retry-interval-max", "10s",
	}
	if name == snapshotController {
		return args
	}
	// Copies of large volumes take their time.
	return append(args, "--csi-address", c.dirs.CSISocket(), "--timeout", "10m")
}

// applyCSI makes what a cluster with a CSI driver has from the start, unless it is there: the types of snapshots, and the
// classes "csi" of volumes and of snapshots.
func (c *Cluster) applyCSI(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	_, err = client.StorageV1().StorageClasses().Get(ctx, "csi", metav1.GetOptions{})
	if err == nil || !apierrors.IsNotFound(err) {
		return err
	}
	classes, err := config.CSI()
	if err != nil {
		return err
	}
	module, err := c.builder().Module(ctx, parts.ForCSI()[0], "github.com/kubernetes-csi/external-snapshotter/client/v8")
	if err != nil {
		return err
	}
	types := filepath.Join(module, "config", "crd", "snapshot.storage.k8s.io_*.yaml")
	for _, step := range []struct {
		args  []string
		input []byte
	}{
		{args: []string{"apply", "--server-side", "-f", types}},
		{args: []string{"wait", "--for=condition=Established", "--timeout=60s", "-f", types}},
		{args: []string{"apply", "--server-side", "-f", "-"}, input: classes},
	} {
		cmd := exec.CommandContext(ctx, c.built.Program(parts.Kubernetes, "kubectl"),
			append([]string{"--kubeconfig", c.dirs.Kubeconfig()}, step.args...)...)
		cmd.Stdin = bytes.NewReader(step.input)
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("kubectl %v: %w: %s", step.args, err, output)
		}
	}
	return nil
}

// withoutCSI are the nodes whose kubelets do not know the CSI driver yet.
func (c *Cluster) withoutCSI(ctx context.Context, client kubernetes.Interface) (names []string, err error) {
	list, err := client.StorageV1().CSINodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("CSI drivers of nodes: %w", err)
	}
	for _, n := range c.nodes() {
		if !slices.ContainsFunc(list.Items, func(item storagev1.CSINode) bool {
			return item.Name == n.Name() && slices.ContainsFunc(item.Spec.Drivers,
				func(driver storagev1.CSINodeDriver) bool { return driver.Name == layout.CSIDriver })
		}) {
			names = append(names, "CSI driver on "+n.Name())
		}
	}
	return names, nil
}
