package cluster

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/decide"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// exchange does what a recovery in place does to volumes and the record, after a last look at the API server: the recovery must
// be where it was seen to be, and no instance may run. An operator that trusts a cache that is behind would set the new volumes
// aside, or take the record away from a Cluster that serves.
func (r *Reconciler) exchange(ctx context.Context, cluster *v1.Cluster, action decide.Action) error {
	if err := r.confirmStopped(ctx, cluster); err != nil {
		return err
	}

	switch a := action.(type) {
	case decide.SetVolumeAside:
		return r.patchVolume(ctx, cluster, a.Name, map[string]any{
			"uid":    a.UID,
			"labels": map[string]any{naming.LabelSetAside: a.ID},
			// Its record is what makes going back possible.
			"annotations": map[string]any{naming.AnnotationSetAsideRecord: a.Record},
			// Whoever deletes the Cluster does not mean this one.
			"ownerReferences": nil,
		})
	case decide.TakeVolumeBack:
		return r.patchVolume(ctx, cluster, a.Name, map[string]any{"uid": a.UID, "labels": map[string]any{naming.LabelSetAside: nil}})
	case decide.DeleteRecord:
		uid, version := a.Record.UID, a.Record.ResourceVersion
		options := &client.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}}

		if err := r.client.Delete(ctx, a.Record, options); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete the term record: %w", err)
		}

		return nil
	default:
		panic(fmt.Sprintf("unknown action %T", action))
	}
}

func (r *Reconciler) confirmStopped(ctx context.Context, cluster *v1.Cluster) error {
	live := &v1.Cluster{}
	if found, err := get(ctx, r.live, cluster.Namespace, cluster.Name, live); err != nil || !found {
		return stale(err, "the Cluster is gone")
	}

	seen, is := cluster.Status.RecoverInPlace, live.Status.RecoverInPlace
	if live.UID != cluster.UID || seen == nil || is == nil || seen.ID != is.ID || seen.Step != is.Step {
		return stale(nil, "the recovery in place has gone on")
	}

	pods := &corev1.PodList{}
	if err := r.live.List(ctx, pods, ofCluster(cluster)...); err != nil {
		return fmt.Errorf("list pods: %w", err)
	}

	for i := range pods.Items {
		if isInstance(cluster, pods.Items[i].Name) {
			return stale(nil, "the pod "+pods.Items[i].Name+" still exists")
		}
	}

	return nil
}

func (r *Reconciler) patchVolume(ctx context.Context, cluster *v1.Cluster, name string, metadata map[string]any) error {
	patch, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return fmt.Errorf("encode metadata: %w", err)
	}

	volume := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: cluster.Namespace, Name: name}}

	err = r.client.Patch(ctx, volume, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(naming.FieldOwner))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("patch metadata of the volume %s: %w", name, err)
	}

	return nil
}
