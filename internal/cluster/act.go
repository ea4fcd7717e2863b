package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/apply"
	"github.com/caretaker-dev/caretaker/internal/cluster/decide"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/instanceclient"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/reconcile"
)

// act does the actions in their order. It returns those that were done, and the first failure.
//
// A new Cluster ends at the first failure: later actions stand on earlier ones. In an established one a service that
// cannot be written must not keep a lost pod from coming back: what can do no harm is still tried.
func (r *Reconciler) act(ctx context.Context, o observation, actions []decide.Action) ([]decide.Action, error) {
	var (
		done    []decide.Action
		failure error
	)

	established := o.Record != nil && o.Record.Spec.Established

	for _, action := range actions {
		if failure != nil && (!established || !isHarmless(action)) {
			continue
		}

		err := r.do(ctx, o, action)

		switch {
		case err == nil:
			done = append(done, action)
		case failure == nil:
			failure = fmt.Errorf("%s: %w", action, err)
		}
	}

	logActions(ctx, done)

	return done, failure
}

// isHarmless says of an action that it takes nothing down, even if one before it failed.
func isHarmless(action decide.Action) bool {
	switch action.(type) {
	case decide.Apply, decide.PatchMetadata:
		return true
	default:
		return false
	}
}

func (r *Reconciler) do(ctx context.Context, o observation, action decide.Action) error {
	switch a := action.(type) {
	case decide.CreateRecord:
		return r.createRecord(ctx, o.Cluster, a)
	case decide.Apply:
		return r.apply(ctx, o.Cluster, a)
	case decide.PatchMetadata:
		return r.patchMetadata(ctx, a)
	case decide.Delete:
		return r.delete(ctx, a.Object, a.Object.GetUID(), nil)
	case decide.DeletePod:
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: a.Name, Namespace: o.Cluster.Namespace}}

		return r.delete(ctx, pod, a.UID, &a.GraceSeconds)
	case decide.DeleteVolume:
		return r.deleteVolume(ctx, o.Cluster, a)
	case decide.SetVolumeAside, decide.TakeVolumeBack, decide.DeleteRecord:
		return r.exchange(ctx, o.Cluster, action)
	case decide.PutConfig:
		return moment(r.options.Instances.PutConfig(ctx, o.targets[a.Instance], a.Config))
	case decide.Restart:
		return moment(r.options.Instances.Restart(ctx, o.targets[a.Instance], instanceapi.RestartRequest{Reason: a.Why}))
	case decide.Switchover:
		request := instanceapi.SwitchoverRequest{Request: a.Request, Target: a.Target}

		return moment(r.options.Instances.Switchover(ctx, o.targets[a.Instance], request))
	default:
		panic(fmt.Sprintf("unknown action %T", action))
	}
}

// moment: an instance that refuses because it is busy is asked again soon, after another look.
func moment(err error) error {
	var refused *instanceclient.RefusedError
	if errors.As(err, &refused) && refused.StatusCode == http.StatusConflict {
		return fmt.Errorf("%w: %w", reconcile.ErrStale, err)
	}

	return err
}

// createRecord looks at the API server once more: an operator that trusts a cache that is behind would let an empty
// volume become the primary.
func (r *Reconciler) createRecord(ctx context.Context, cluster *v1.Cluster, a decide.CreateRecord) error {
	volumes, _, err := listVolumes(ctx, r.live, cluster)
	if err != nil {
		return err
	}

	if names := slices.Sorted(maps.Keys(volumes)); !slices.Equal(names, a.Volumes) {
		return fmt.Errorf("%w: volumes are %v now", reconcile.ErrStale, names)
	}

	record := a.Record.DeepCopy()
	if record.ResourceVersion == "" {
		err = r.client.Create(ctx, record, client.FieldOwner(naming.FieldOwner))
	} else {
		// By its resource version: a primary may write it at the same moment.
		err = r.client.Update(ctx, record, client.FieldOwner(naming.FieldOwner))
	}

	if err != nil {
		return fmt.Errorf("write the term record: %w", err)
	}

	return nil
}

func (r *Reconciler) apply(ctx context.Context, cluster *v1.Cluster, a decide.Apply) error {
	applier := r.applier(cluster)

	if a.New {
		err := applier.Create(ctx, a.Object)
		if errors.Is(err, apply.ErrStale) {
			return fmt.Errorf("%w: %w", reconcile.ErrStale, err)
		}

		return err
	}

	if a.Drifted && a.Replacement != nil {
		return applier.Replace(ctx, a.Live, a.Replacement)
	}

	err := applier.Update(ctx, a.Object, a.ResourceVersion)

	switch {
	case apierrors.IsInvalid(err) && a.Replacement != nil:
		// What was changed by hand and what we want do not go together, such as two ports of one name.
		return applier.Replace(ctx, a.Live, a.Replacement)
	case a.Grows && (apierrors.IsInvalid(err) || apierrors.IsForbidden(err)):
		return &expansionError{volume: a.Object.GetName(), err: err}
	default:
		return err
	}
}

// expansionError says that the API server refuses to let a volume grow.
type expansionError struct {
	volume string
	err    error
}

// Error names the volume and the remedy.
func (e *expansionError) Error() string {
	return fmt.Sprintf("spec.storage.size: the volume %s cannot grow: %v; use a storage class that can expand volumes, "+
		"or set resizeInUseVolumes to false so that only new volumes have the new size", e.volume, e.err)
}

// Unwrap gives the API server's answer.
func (e *expansionError) Unwrap() error { return e.err }

func (r *Reconciler) patchMetadata(ctx context.Context, a decide.PatchMetadata) error {
	metadata := map[string]any{
		// The object that was looked at, not one that took its name since.
		"uid":             a.Object.GetUID(),
		"ownerReferences": a.OwnerReferences,
	}

	if len(a.Labels) > 0 {
		metadata["labels"] = a.Labels
	}

	if len(a.Annotations) > 0 {
		metadata["annotations"] = a.Annotations
	}

	patch, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return fmt.Errorf("encode metadata: %w", err)
	}

	object, ok := a.Object.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("%T is no object", a.Object)
	}

	err = r.client.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(naming.FieldOwner))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("patch metadata of %s: %w", object.GetName(), err)
	}

	return nil
}

// delete deletes this very object; that it is gone already is as good.
func (r *Reconciler) delete(ctx context.Context, object client.Object, uid types.UID, graceSeconds *int64) error {
	options := &client.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}, GracePeriodSeconds: graceSeconds}

	if err := r.client.Delete(ctx, object, options); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete %s: %w", object.GetName(), err)
	}

	return nil
}

// deleteVolume deletes the volume of a member that is surplus, after a last look at the API server: the member must
// neither lead nor vote, its pod must be gone, and the volume must be the one that was seen.
func (r *Reconciler) deleteVolume(ctx context.Context, cluster *v1.Cluster, a decide.DeleteVolume) error {
	record := &v1.ClusterTerm{}
	if found, err := get(ctx, r.live, cluster.Namespace, naming.ClusterTerm(cluster.Name), record); err != nil || !found {
		return stale(err, "the term record is missing")
	}

	volume := &corev1.PersistentVolumeClaim{}
	if found, err := get(ctx, r.live, cluster.Namespace, a.Name, volume); err != nil || !found {
		return stale(err, "the volume is gone")
	}

	member := volume.Annotations[naming.AnnotationMemberID]

	primary := record.Spec.Primary
	if primary == nil || primary.Name == a.Name || primary.MemberID == member {
		return stale(nil, a.Name+" may lead")
	}

	if slices.Contains(record.Spec.Voters, member) {
		return stale(nil, "the record counts on "+a.Name+": it may have the only other copy of a commit")
	}

	if record.Spec.Pending != nil {
		return stale(nil, "who leads is being decided")
	}

	if found, err := get(ctx, r.live, cluster.Namespace, a.Name, &corev1.Pod{}); err != nil || found {
		return stale(err, "the pod still exists")
	}

	return r.delete(ctx, volume, a.UID, nil)
}

func stale(err error, why string) error {
	if err != nil {
		return err
	}

	return fmt.Errorf("%w: %s", reconcile.ErrStale, why)
}
