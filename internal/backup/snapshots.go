package backup

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/backup/decide"
	"github.com/caretaker-dev/caretaker/internal/backup/proof"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// annotationDefaultClass marks the class that is its driver's default.
const annotationDefaultClass = "snapshot.storage.kubernetes.io/is-default-class"

// observeSnapshots looks for the snapshot that the status names, as long as something is to become of it, and whether there can be
// one. The client reads kinds of which it has no Go type past the cache, which would wait for one that is not installed.
func (r *Reconciler) observeSnapshots(ctx context.Context, o *observation) error {
	backup := o.Backup
	isOver := proof.IsStored(backup) && backup.DeletionTimestamp == nil || backup.Status.StoppedAt != nil && backup.Status.Snapshot == nil

	if backup.Spec.Method != v1.BackupMethodVolumeSnapshot || isOver {
		return nil
	}

	o.Snapshots = &decide.Snapshots{}

	if named := backup.Status.Snapshot; named != nil {
		object := build.SnapshotNamed(backup.Namespace, named.Name)

		err := r.client.Get(ctx, client.ObjectKeyFromObject(object), object)
		if err == nil {
			o.Snapshots.Snapshot = seenSnapshot(object)
		} else if !isAbsent(err) {
			return fmt.Errorf("get snapshot %s: %w", named.Name, err)
		}
	}

	if backup.Status.InstanceID != nil || backup.Status.StoppedAt != nil {
		return nil
	}

	return r.observeSnapshotClasses(ctx, o)
}

// isAbsent: it is not there, or nothing of its kind can be.
func isAbsent(err error) bool { return apierrors.IsNotFound(err) || meta.IsNoMatchError(err) }

func seenSnapshot(object *unstructured.Unstructured) *decide.Snapshot {
	text := func(fields ...string) string {
		value, _, _ := unstructured.NestedString(object.Object, fields...) // of another type is as good as none

		return value
	}

	ready, _, _ := unstructured.NestedBool(object.Object, "status", "readyToUse") // see above

	return &decide.Snapshot{
		UID: string(object.GetUID()), Taken: text("status", "creationTime") != "", Ready: ready, RestoreSize: text("status", "restoreSize"),
		Error: text("status", "error", "message"), Deleting: object.GetDeletionTimestamp() != nil,
		Annotation: object.GetAnnotations()[naming.AnnotationBackup],
	}
}

func (r *Reconciler) observeSnapshotClasses(ctx context.Context, o *observation) error {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(build.SnapshotClassGVK())

	err := r.client.List(ctx, list)
	if isAbsent(err) {
		return nil
	}

	if err != nil {
		return fmt.Errorf("list the classes of snapshots: %w", err)
	}

	o.Snapshots.Served = true

	for i := range list.Items {
		driver, _, _ := unstructured.NestedString(list.Items[i].Object, "driver") // one without fits nothing

		o.Snapshots.Classes = append(o.Snapshots.Classes, decide.SnapshotClass{
			Name: list.Items[i].GetName(), Driver: driver, Default: list.Items[i].GetAnnotations()[annotationDefaultClass] == "true",
		})
	}

	return nil
}

// observeDrivers finds who makes the volumes of the instances, while one is to be chosen.
func (r *Reconciler) observeDrivers(ctx context.Context, o *observation) error {
	if o.Snapshots == nil || !o.Snapshots.Served || o.Backup.DeletionTimestamp != nil {
		return nil
	}

	o.Snapshots.Drivers = map[string]decide.VolumeDriver{}
	provisioners := map[string]string{}

	for name := range o.Instances {
		claim := &corev1.PersistentVolumeClaim{}

		err := r.client.Get(ctx, client.ObjectKey{Namespace: o.Backup.Namespace, Name: name}, claim)
		if apierrors.IsNotFound(err) || err == nil && claim.Spec.StorageClassName == nil {
			continue
		}

		if err != nil {
			return fmt.Errorf("get volume claim %s: %w", name, err)
		}

		class := *claim.Spec.StorageClassName

		if _, ok := provisioners[class]; !ok {
			found := &storagev1.StorageClass{}
			if err := r.client.Get(ctx, client.ObjectKey{Name: class}, found); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("get storage class %s: %w", class, err)
			}

			provisioners[class] = found.Provisioner
		}

		o.Snapshots.Drivers[name] = decide.VolumeDriver{Class: class, Driver: provisioners[class]}
	}

	return nil
}

func (r *Reconciler) createSnapshot(ctx context.Context, backup *v1.Backup, a decide.CreateSnapshot) error {
	err := r.client.Create(ctx, build.VolumeSnapshot(backup, a.Snapshot, a.Instance), client.FieldOwner(naming.FieldOwner))
	// One that is there already was made by an operator that died: the name is this attempt's alone.
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create snapshot: %w", err)
	}

	return nil
}

func (r *Reconciler) annotateSnapshot(ctx context.Context, backup *v1.Backup, a decide.AnnotateSnapshot) error {
	object := build.SnapshotNamed(backup.Namespace, a.Name)
	object.SetUID(types.UID(a.UID))

	patch := client.MergeFrom(object.DeepCopy())
	object.SetAnnotations(map[string]string{naming.AnnotationBackup: a.Value})

	if err := r.client.Patch(ctx, object, patch, client.FieldOwner(naming.FieldOwner)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("patch snapshot: %w", err)
	}

	return nil
}

func (r *Reconciler) deleteSnapshot(ctx context.Context, backup *v1.Backup, a decide.DeleteSnapshot) error {
	uid := types.UID(a.UID)

	err := r.client.Delete(ctx, build.SnapshotNamed(backup.Namespace, a.Name), client.Preconditions(metav1.Preconditions{UID: &uid}))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete snapshot: %w", err)
	}

	return nil
}
