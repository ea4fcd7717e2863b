package volumes

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

// resync is how often all claims are looked at again.
const resync = 10 * time.Minute

// expander grows volumes whose claims ask for more than they have.
type expander struct {
	client  kubernetes.Interface
	nodes   Nodes
	queue   workqueue.TypedRateLimitingInterface[string]
	factory informers.SharedInformerFactory
}

func newExpander(client kubernetes.Interface, nodes Nodes) *expander {
	return &expander{
		client: client, nodes: nodes,
		queue:   workqueue.NewTypedRateLimitingQueue(retries()),
		factory: informers.NewSharedInformerFactory(client, resync),
	}
}

func (e *expander) run(ctx context.Context) {
	claims := e.factory.Core().V1().PersistentVolumeClaims().Informer()
	enqueue := func(object any) {
		if claim, ok := object.(*corev1.PersistentVolumeClaim); ok && wantsMore(claim) {
			e.queue.Add(claim.Namespace + "/" + claim.Name)
		}
	}
	_, err := claims.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: enqueue, UpdateFunc: func(_, object any) { enqueue(object) },
	})
	if err != nil {
		klog.ErrorS(err, "Watching claims")
		return
	}
	e.factory.Start(ctx.Done())
	context.AfterFunc(ctx, e.queue.ShutDown)
	for {
		key, shutdown := e.queue.Get()
		if shutdown {
			return
		}
		if err := e.expand(ctx, key); err != nil {
			klog.ErrorS(err, "Expanding a volume", "claim", key)
			e.queue.AddRateLimited(key)
		} else {
			e.queue.Forget(key)
		}
		e.queue.Done(key)
	}
}

func wantsMore(claim *corev1.PersistentVolumeClaim) bool {
	wanted, has := claim.Spec.Resources.Requests[corev1.ResourceStorage], claim.Status.Capacity[corev1.ResourceStorage]
	return claim.Status.Phase == corev1.ClaimBound && wanted.Cmp(has) > 0
}

func (e *expander) expand(ctx context.Context, key string) error {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return fmt.Errorf("claim %s: %w", key, err)
	}
	claim, err := e.factory.Core().V1().PersistentVolumeClaims().Lister().PersistentVolumeClaims(namespace).Get(name)
	if err != nil || !wantsMore(claim) {
		return nil //nolint:nilerr // The claim is gone, or has what it wants.
	}
	volume, err := e.client.CoreV1().PersistentVolumes().Get(ctx, claim.Spec.VolumeName, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("volume of the claim: %w", err)
	}
	node := volume.Annotations[nodeAnnotation]
	if node == "" {
		return nil // Somebody else made it.
	}
	size := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	if volume.Annotations[kindAnnotation] == kindLoop {
		if err := grow(e.nodes(ctx, node), volume.Name, size.Value()); err != nil {
			return err
		}
	}
	capacity := map[string]any{"capacity": map[string]any{"storage": size.String()}}
	patch, err := json.Marshal(map[string]any{"spec": capacity})
	if err != nil {
		return fmt.Errorf("new size of volume %s: %w", volume.Name, err)
	}
	_, err = e.client.CoreV1().PersistentVolumes().Patch(ctx, volume.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("new size of volume %s: %w", volume.Name, err)
	}
	capacity["conditions"] = nil
	if patch, err = json.Marshal(map[string]any{"status": capacity}); err != nil {
		return fmt.Errorf("new size of claim %s: %w", key, err)
	}
	_, err = e.client.CoreV1().PersistentVolumeClaims(namespace).
		Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil {
		return fmt.Errorf("new size of claim %s: %w", key, err)
	}
	return nil
}
