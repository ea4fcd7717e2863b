package cluster

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/backup/proof"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/cluster/decide"
	"github.com/caretaker-dev/caretaker/internal/instanceclient"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// observation is the view, and what is needed to reach the instances in it.
type observation struct {
	decide.View

	targets map[string]instanceclient.Target
}

// observe takes one snapshot of a Cluster and all that belongs to it. It writes nothing. What cannot be read makes it
// fail: unknown is not missing.
func (r *Reconciler) observe(ctx context.Context, cluster *v1.Cluster) (observation, error) {
	o := observation{View: decide.View{
		Now:          r.options.Clock.Now(),
		Cluster:      cluster.DeepCopy(),
		Operator:     build.Operator{Image: r.options.OperatorImage, PullPolicy: string(r.options.OperatorImagePullPolicy)},
		DefaultImage: r.options.DefaultImage,
		NewPassword: map[string]string{
			naming.SecretApp(cluster.Name):       rand.Text(),
			naming.SecretSuperuser(cluster.Name): rand.Text(),
		},
	}}

	steps := []func(context.Context, *observation) error{
		r.observeRecord,
		r.observePods,
		r.observeVolumes,
		r.observeOwned,
		r.observePodMonitor,
		r.observeBackups,
		r.observeRecoverySnapshot,
		r.observeRecoveryClaim,
		r.observeSecrets,
		r.observeStorageClasses,
		r.observeCertificates,
		r.observeInstances,
	}

	for _, step := range steps {
		if err := step(ctx, &o); err != nil {
			return observation{}, fmt.Errorf("observe: %w", err)
		}
	}

	return o, nil
}

func (r *Reconciler) observeRecord(ctx context.Context, o *observation) error {
	record := &v1.ClusterTerm{}

	found, err := get(ctx, r.client, o.Cluster.Namespace, naming.ClusterTerm(o.Cluster.Name), record)
	if found {
		o.Record = record
	}

	return err
}

func (r *Reconciler) observePods(ctx context.Context, o *observation) error {
	list := &corev1.PodList{}
	if err := r.client.List(ctx, list, ofCluster(o.Cluster)...); err != nil {
		return fmt.Errorf("list pods: %w", err)
	}

	o.Pods = map[string]*corev1.Pod{}

	for i := range list.Items {
		if isInstance(o.Cluster, list.Items[i].Name) && build.IsOurs(o.Cluster, &list.Items[i]) {
			o.Pods[list.Items[i].Name] = &list.Items[i]
		}
	}

	return nil
}

func (r *Reconciler) observeVolumes(ctx context.Context, o *observation) (err error) {
	o.Volumes, o.SetAside, err = listVolumes(ctx, r.client, o.Cluster)

	return err
}

// listVolumes tells those in use from those that recoveries in place set aside.
func listVolumes(ctx context.Context, reader client.Reader, cluster *v1.Cluster) (inUse, setAside map[string]*corev1.PersistentVolumeClaim, err error) {
	list := &corev1.PersistentVolumeClaimList{}
	if err := reader.List(ctx, list, ofCluster(cluster)...); err != nil {
		return nil, nil, fmt.Errorf("list persistent volume claims: %w", err)
	}

	inUse, setAside = map[string]*corev1.PersistentVolumeClaim{}, map[string]*corev1.PersistentVolumeClaim{}

	for i := range list.Items {
		volume := &list.Items[i]

		switch {
		case !isInstance(cluster, volume.Name):
		case volume.Labels[naming.LabelSetAside] != "":
			setAside[volume.Name] = volume
		default:
			inUse[volume.Name] = volume
		}
	}

	return inUse, setAside, nil
}

// isInstance tells instances from what a user made with copied labels.
func isInstance(cluster *v1.Cluster, name string) bool {
	_, ok := naming.Ordinal(cluster.Name, name)

	return ok
}

// observeOwned finds the objects that hold no data.
func (r *Reconciler) observeOwned(ctx context.Context, o *observation) error {
	o.Owned = map[decide.Key]build.Object{}

	for name, list := range map[string]client.ObjectList{
		"Secret":              &corev1.SecretList{},
		"ConfigMap":           &corev1.ConfigMapList{},
		"Service":             &corev1.ServiceList{},
		"ServiceAccount":      &corev1.ServiceAccountList{},
		"Role":                &rbacv1.RoleList{},
		"RoleBinding":         &rbacv1.RoleBindingList{},
		"PodDisruptionBudget": &policyv1.PodDisruptionBudgetList{},
	} {
		if err := r.client.List(ctx, list, ofCluster(o.Cluster)...); err != nil {
			return fmt.Errorf("list %s: %w", name, err)
		}

		items, err := meta.ExtractList(list)
		if err != nil {
			return fmt.Errorf("read list of %s: %w", name, err)
		}

		for _, item := range items {
			if object, ok := item.(client.Object); ok && build.IsOurs(o.Cluster, object) {
				o.Owned[decide.Key{Kind: name, Name: object.GetName()}] = object
			}
		}
	}

	return nil
}

// observePodMonitor looks at the API server only for Clusters that ask for a PodMonitor, or did.
func (r *Reconciler) observePodMonitor(ctx context.Context, o *observation) error {
	asked := o.Cluster.Spec.Monitoring != nil && o.Cluster.Spec.Monitoring.EnablePodMonitor
	if !asked && meta.FindStatusCondition(o.Cluster.Status.Conditions, v1.ConditionPodMonitor) == nil {
		return nil
	}

	gvk := build.PodMonitorGVK()

	if _, err := r.mapper.RESTMapping(gvk.GroupKind(), gvk.Version); err != nil {
		if meta.IsNoMatchError(err) {
			return nil
		}

		return fmt.Errorf("look for the kind PodMonitor: %w", err)
	}

	if err := r.podMonitors.Start(); err != nil {
		return err
	}

	o.PodMonitorAPI = true

	monitor := &unstructured.Unstructured{}
	monitor.SetGroupVersionKind(gvk)

	found, err := get(ctx, r.live, o.Cluster.Namespace, naming.PodMonitor(o.Cluster.Name), monitor)
	if found && build.IsOurs(o.Cluster, monitor) {
		o.Owned[decide.Key{Kind: gvk.Kind, Name: monitor.GetName()}] = monitor
	}

	return err
}

// observeSecrets reads the user's secrets from the API server: they lack our labels.
func (r *Reconciler) observeSecrets(ctx context.Context, o *observation) error {
	o.Secrets = map[string]map[string][]byte{}

	for _, name := range decide.UserSecrets(o.Cluster, o.Record, o.RecoveryBackup) {
		secret := &corev1.Secret{}

		found, err := get(ctx, r.live, o.Cluster.Namespace, name, secret)
		if err != nil {
			return err
		}

		o.Secrets[name] = nil
		if found {
			o.Secrets[name] = nonNil(secret.Data)
		}
	}

	return nil
}

// observeBackups finds the Cluster's Backups, who is to take the next ones, and the one that it is to be recovered from, in place or anew.
func (r *Reconciler) observeBackups(ctx context.Context, o *observation) error {
	list := &v1.BackupList{}
	if err := r.client.List(ctx, list, client.InNamespace(o.Cluster.Namespace)); err != nil {
		return fmt.Errorf("list backups: %w", err)
	}

	o.Backups = proof.Of(o.Cluster, list.Items)

	schedules := &v1.ScheduledBackupList{}
	if err := r.client.List(ctx, schedules, client.InNamespace(o.Cluster.Namespace)); err != nil {
		return fmt.Errorf("list scheduled backups: %w", err)
	}

	o.Schedules = slices.DeleteFunc(schedules.Items, func(s v1.ScheduledBackup) bool { return s.Spec.Cluster.Name != o.Cluster.Name })

	named := func(reference *v1.LocalObjectReference) *v1.Backup {
		for i := range list.Items {
			if reference != nil && list.Items[i].Name == reference.Name {
				return &list.Items[i]
			}
		}

		return nil
	}

	if bootstrap := o.Cluster.Spec.Bootstrap; bootstrap != nil && bootstrap.Recovery != nil {
		o.RecoveryBackup = named(bootstrap.Recovery.Backup)
	}

	if asked := o.Cluster.Spec.RecoverInPlace; asked != nil {
		o.InPlaceBackup = named(asked.Backup)
	}

	return nil
}

// observeRecoverySnapshot looks for the snapshot that the first volume is to be made of, past the cache: its kind may not be installed.
func (r *Reconciler) observeRecoverySnapshot(ctx context.Context, o *observation) error {
	snapshot := build.RecoverySnapshot(o.Cluster, o.RecoveryBackup)
	if snapshot == nil || len(o.Volumes) > 0 || o.Record != nil && o.Record.Spec.Established {
		return nil
	}

	found := build.SnapshotNamed(o.Cluster.Namespace, snapshot.Name)
	err := r.live.Get(ctx, client.ObjectKeyFromObject(found), found)

	switch {
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
		o.SnapshotMissing = true
	case err != nil:
		return fmt.Errorf("get snapshot %s: %w", snapshot.Name, err)
	}

	return nil
}

// observeRecoveryClaim looks for the volume with the archive that the data are to be made from, past the cache: it lacks our labels.
func (r *Reconciler) observeRecoveryClaim(ctx context.Context, o *observation) error {
	place, ok := build.RecoveryPlace(o.Cluster, o.RecoveryBackup)
	if !ok || place.Volume == nil || o.Record != nil && o.Record.Spec.Established {
		return nil
	}

	found, err := get(ctx, r.live, o.Cluster.Namespace, place.Volume.PersistentVolumeClaim.ClaimName, &corev1.PersistentVolumeClaim{})
	o.RecoveryClaimMissing = err == nil && !found

	return err
}

// observeStorageClasses asks whether volumes can grow, where one should.
func (r *Reconciler) observeStorageClasses(ctx context.Context, o *observation) error {
	o.Expandable = map[string]bool{}

	wanted := build.StorageSize(o.Cluster)

	for _, volume := range o.Volumes {
		if volume.Spec.StorageClassName == nil || wanted.Cmp(volume.Spec.Resources.Requests[corev1.ResourceStorage]) <= 0 {
			continue
		}

		class := &storagev1.StorageClass{}

		err := r.live.Get(ctx, client.ObjectKey{Name: *volume.Spec.StorageClassName}, class)

		switch {
		case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
			// A namespaced operator may not read classes: then the API server has the last word.
		case err != nil:
			return fmt.Errorf("get storage class %s: %w", *volume.Spec.StorageClassName, err)
		default:
			o.Expandable[class.Name] = class.AllowVolumeExpansion != nil && *class.AllowVolumeExpansion
		}
	}

	return nil
}

// observeInstances asks all instances at once.
func (r *Reconciler) observeInstances(ctx context.Context, o *observation) error {
	o.Reports = map[string]decide.Report{}
	o.targets = targets(o)

	var (
		mu sync.Mutex
		wg sync.WaitGroup
	)

	for name, target := range o.targets {
		wg.Go(func() {
			report := r.ask(ctx, o.Pods[name], target)

			mu.Lock()
			defer mu.Unlock()

			o.Reports[name] = report
		})
	}

	wg.Wait()

	return nil
}

func (r *Reconciler) ask(ctx context.Context, pod *corev1.Pod, target instanceclient.Target) decide.Report {
	status, err := r.options.Instances.Status(ctx, target)
	if err != nil {
		since := r.silence.missed(pod.UID, r.options.Clock.Now())
		log.FromContext(ctx).V(1).Info("An instance does not answer", "instance", pod.Name, "since", since, "error", err.Error())

		return decide.Report{Error: err.Error(), SilentSince: since}
	}

	r.silence.answered(pod.UID)

	return decide.Report{Status: &status}
}

func get(ctx context.Context, reader client.Reader, namespace, name string, into client.Object) (bool, error) {
	err := reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, into)
	if apierrors.IsNotFound(err) {
		return false, nil
	}

	if err != nil {
		return false, fmt.Errorf("get %T %s: %w", into, name, err)
	}

	return true, nil
}

func ofCluster(cluster *v1.Cluster) []client.ListOption {
	return []client.ListOption{
		client.InNamespace(cluster.Namespace),
		client.MatchingLabels{naming.LabelCluster: cluster.Name, "app.kubernetes.io/managed-by": "caretaker"},
	}
}

func nonNil(data map[string][]byte) map[string][]byte {
	if data == nil {
		return map[string][]byte{}
	}

	return data
}
