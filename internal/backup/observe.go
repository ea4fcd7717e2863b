package backup

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/backup/decide"
	"github.com/caretaker-dev/caretaker/internal/backup/proof"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/instanceclient"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// observation is the view, and what is needed to reach the instances in it.
type observation struct {
	decide.View

	targets map[string]instanceclient.Target
}

// observe takes one snapshot. It writes nothing.
func (r *Reconciler) observe(ctx context.Context, backup *v1.Backup) (observation, error) {
	o := observation{View: decide.View{
		Now: r.options.Clock.Now(), Backup: backup, Instances: map[string]decide.Instance{},
	}}

	if err := r.observeDrill(ctx, &o); err != nil {
		return o, err
	}

	if err := r.observeSiblings(ctx, &o); err != nil {
		return o, err
	}

	if err := r.observeSnapshots(ctx, &o); err != nil {
		return o, err
	}

	// What has ended asks nobody.
	if backup.Status.StoppedAt != nil && backup.DeletionTimestamp == nil {
		return o, nil
	}

	cluster := &v1.Cluster{}

	err := r.client.Get(ctx, client.ObjectKey{Namespace: backup.Namespace, Name: backup.Spec.Cluster.Name}, cluster)
	if apierrors.IsNotFound(err) {
		return o, nil
	}

	if err != nil {
		return o, fmt.Errorf("get the cluster: %w", err)
	}

	o.Cluster = cluster

	if err := r.observeInstances(ctx, &o); err != nil {
		return o, err
	}

	return o, r.observeDrivers(ctx, &o)
}

// observeSiblings finds the other Backups that name the Cluster, for all that can still learn something from them.
func (r *Reconciler) observeSiblings(ctx context.Context, o *observation) error {
	if proof.IsFailed(o.Backup) || o.Backup.Status.Expired != nil {
		return nil
	}

	list := &v1.BackupList{}
	// They are only read. A Cluster has hundreds, and each of them looks at all when the operator starts.
	if err := r.client.List(ctx, list, client.InNamespace(o.Backup.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list backups: %w", err)
	}

	o.Siblings = slices.DeleteFunc(proof.Named(o.Backup.Spec.Cluster.Name, list.Items), func(other v1.Backup) bool { return other.Name == o.Backup.Name })

	return nil
}

func (r *Reconciler) observeInstances(ctx context.Context, o *observation) error {
	trust, err := r.trust(ctx, o.Cluster)
	if err != nil || trust == nil {
		return err
	}

	pods := &corev1.PodList{}
	if err := r.client.List(ctx, pods, client.InNamespace(o.Cluster.Namespace), client.MatchingLabels(naming.SelectorLabels(o.Cluster.Name))); err != nil {
		return fmt.Errorf("list pods: %w", err)
	}

	o.targets = map[string]instanceclient.Target{}

	var (
		mu sync.Mutex
		wg sync.WaitGroup
	)

	for i := range pods.Items {
		pod := &pods.Items[i]
		if _, ok := naming.Ordinal(o.Cluster.Name, pod.Name); !ok || !build.IsOurs(o.Cluster, pod) || !isRunning(pod) {
			continue
		}

		target := *trust
		target.Name, target.Address = pod.Name, net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(naming.PortStatus))
		o.targets[pod.Name] = target

		wg.Go(func() {
			instance := r.ask(ctx, pod, target)

			mu.Lock()
			defer mu.Unlock()

			o.Instances[pod.Name] = instance
		})
	}

	wg.Wait()

	return nil
}

func (r *Reconciler) ask(ctx context.Context, pod *corev1.Pod, target instanceclient.Target) decide.Instance {
	status, err := r.options.Instances.Status(ctx, target)

	r.mu.Lock()
	defer r.mu.Unlock()

	if err != nil {
		if r.silent[pod.UID].IsZero() {
			r.silent[pod.UID] = r.options.Clock.Now()
		}

		return decide.Instance{PodUID: string(pod.UID), SilentSince: r.silent[pod.UID]}
	}

	delete(r.silent, pod.UID)

	return decide.Instance{PodUID: string(pod.UID), Status: &status}
}

// trust is what instances are reached with; nil while there is none yet.
func (r *Reconciler) trust(ctx context.Context, cluster *v1.Cluster) (*instanceclient.Target, error) {
	secret, config := &corev1.Secret{}, &corev1.ConfigMap{}

	for object, name := range map[client.Object]string{
		secret: naming.SecretReplication(cluster.Name), config: naming.ConfigMap(cluster.Name),
	} {
		err := r.client.Get(ctx, client.ObjectKey{Namespace: cluster.Namespace, Name: name}, object)
		if apierrors.IsNotFound(err) {
			return nil, nil //nolint:nilnil // not there yet, and nothing went wrong
		}

		if err != nil {
			return nil, fmt.Errorf("get %s: %w", name, err)
		}
	}

	return &instanceclient.Target{
		ServerCA:   []byte(config.Data[instanceapi.ServerCAKey]),
		ClientCert: secret.Data[corev1.TLSCertKey], ClientKey: secret.Data[corev1.TLSPrivateKeyKey],
	}, nil
}

func isRunning(pod *corev1.Pod) bool {
	if pod.Status.PodIP == "" {
		return false
	}

	for _, status := range pod.Status.ContainerStatuses {
		if status.Name == build.ContainerPostgres {
			return status.State.Running != nil
		}
	}

	return false
}

// observeDrill reads what the newest drill with this backup has written as its last words.
func (r *Reconciler) observeDrill(ctx context.Context, o *observation) error {
	pods := &corev1.PodList{}
	if err := r.client.List(ctx, pods, client.InNamespace(o.Backup.Namespace),
		client.MatchingLabels{naming.LabelDrill: o.Backup.Spec.Cluster.Name}); err != nil {
		return fmt.Errorf("list drills: %w", err)
	}

	for i := range pods.Items {
		pod := &pods.Items[i]
		if pod.Annotations[naming.AnnotationDrillBackup] != o.Backup.Name {
			continue
		}

		found := proof.DrillResult(pod)
		if found == nil {
			continue
		}

		newest := o.Drill
		if newest == nil {
			newest = o.Backup.Status.Drill
		}

		if newest == nil || newest.StoppedAt.Before(found.StoppedAt) {
			o.Drill = found
		}
	}

	return nil
}

func setFinalizer(backup *v1.Backup, present bool) bool { //nolint:revive // the flag is the wanted state
	if present {
		return controllerutil.AddFinalizer(backup, decide.Finalizer)
	}

	return controllerutil.RemoveFinalizer(backup, decide.Finalizer)
}
