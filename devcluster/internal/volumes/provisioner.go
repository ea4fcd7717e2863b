package volumes

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"

	"github.com/caretaker-dev/caretaker/devcluster/internal/layout"
)

const (
	// provisionerName is what storage classes call this provisioner.
	provisionerName = "devcluster.caretaker.dev/volumes"
	// nodeAnnotation and kindAnnotation on a volume say where it is, and what.
	nodeAnnotation = "devcluster.caretaker.dev/node"
	kindAnnotation = "devcluster.caretaker.dev/kind"
	// kindLoop is a volume with a file system of its own; any other is a folder.
	kindLoop = "loop"
	// smallest is the size in bytes below which a file system of its own has no room.
	smallest = 32 << 20
)

// Nodes gives a Runner for the node of a name.
type Nodes func(ctx context.Context, node string) Runner

// Run makes, grows and removes volumes until the context is done.
func Run(ctx context.Context, kubeconfig string, nodes Nodes) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	go newExpander(client, nodes).run(ctx)
	controller.NewProvisionController(ctx, client, provisionerName, provisioner{nodes},
		controller.LeaderElection(false),
		controller.FailedProvisionThreshold(0), controller.FailedDeleteThreshold(0),
		controller.RateLimiter(retries()),
	).Run(ctx)
	return nil
}

// retries are frequent: on a machine of one's own nothing is overloaded by them, and a
// node that was off should not be waited for long.
func retries() workqueue.TypedRateLimiter[string] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[string](500*time.Millisecond, 10*time.Second)
}

// provisioner makes and removes volumes.
type provisioner struct {
	nodes Nodes
}

// Provision makes a volume on the node that the scheduler chose.
func (p provisioner) Provision(
	ctx context.Context, options controller.ProvisionOptions,
) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	node := options.SelectedNodeName
	if node == "" {
		return nil, controller.ProvisioningFinished, fmt.Errorf("storage class %s must have volumeBindingMode "+
			"WaitForFirstConsumer: volumes are on a node", options.StorageClass.Name)
	}
	size := options.PVC.Spec.Resources.Requests[corev1.ResourceStorage]
	kind := options.StorageClass.Parameters["kind"]
	if err := create(p.nodes(ctx, node), options.PVName, kind, size.Value()); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	mode := corev1.PersistentVolumeFilesystem
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name:        options.PVName,
			Annotations: map[string]string{nodeAnnotation: node, kindAnnotation: kind},
		},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes:                   options.PVC.Spec.AccessModes,
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: size},
			PersistentVolumeReclaimPolicy: *options.StorageClass.ReclaimPolicy,
			VolumeMode:                    &mode,
			NodeAffinity:                  onNode(node),
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				Local: &corev1.LocalVolumeSource{Path: filepath.Join(layout.NodeVolumes, options.PVName)},
			},
		},
	}, controller.ProvisioningFinished, nil
}

// Delete removes a volume and what is in it.
func (p provisioner) Delete(ctx context.Context, volume *corev1.PersistentVolume) error {
	return remove(p.nodes(ctx, volume.Annotations[nodeAnnotation]), volume.Name)
}

func onNode(name string) *corev1.VolumeNodeAffinity {
	return &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchExpressions: []corev1.NodeSelectorRequirement{{
				Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{name},
			}},
		}},
	}}
}
