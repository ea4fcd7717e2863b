package target

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

const (
	startTimeout = 3 * time.Minute
	startPoll    = 250 * time.Millisecond
	clusterName  = "db"
)

// Wish is a Cluster to make for tests.
type Wish struct {
	Instances    int32
	Image        string
	StorageClass string
	// Namespace of its own.
	Namespace string
	// S3Image of the server that it archives to; empty for no archive.
	S3Image string
}

// Provide makes a Cluster in a namespace of its own, or finds the one there, and waits until it is whole.
func Provide(ctx context.Context, k *kube.Kube, wish Wish, nodes *Nodes) (*Target, error) {
	if err := makeAll(ctx, k, wish); err != nil {
		return nil, err
	}

	key := client.ObjectKey{Namespace: wish.Namespace, Name: clusterName}
	cluster := &Caretaker{Kube: k, Key: key}

	coming, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()

	if err := kube.Poll(coming, startPoll, cluster.Whole); err != nil {
		return nil, fmt.Errorf("the Cluster of %d instances does not come up: %w", wish.Instances, err)
	}

	t, err := NewCaretaker(ctx, k, key, nodes)
	if err == nil && wish.S3Image != "" {
		err = errors.Join(fill(ctx, t), cluster.backUp(ctx))
	}

	return t, err
}

// fill makes a table that takes a backup some time.
func fill(ctx context.Context, t *Target) error {
	primary, err := t.Primary(ctx)
	if err != nil {
		return err
	}

	_, err = t.Exec(ctx, t.InContainer(primary.Name), "psql", "-qd", "app", "-c", "CREATE TABLE IF NOT EXISTS filler AS "+
		"SELECT gen_random_uuid() a, gen_random_uuid() b, gen_random_uuid() c, gen_random_uuid() d FROM generate_series(1, 3000000)")

	return err
}

// Remove deletes the namespace of a wish, and waits until it is gone.
func Remove(ctx context.Context, k *kube.Kube, namespace string) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if err := k.Client.Delete(ctx, ns); err != nil {
		return client.IgnoreNotFound(err)
	}

	err := wait.PollUntilContextTimeout(ctx, startPoll, startTimeout, true, func(ctx context.Context) (bool, error) {
		return apierrors.IsNotFound(k.Client.Get(ctx, client.ObjectKeyFromObject(ns), ns)), nil
	})
	if err != nil {
		return fmt.Errorf("delete namespace %s: %w", namespace, err)
	}

	return nil
}

func create(ctx context.Context, k *kube.Kube, object client.Object) error {
	if err := k.Client.Create(ctx, object); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create %s: %w", object.GetName(), err)
	}

	return nil
}

func makeAll(ctx context.Context, k *kube.Kube, wish Wish) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: wish.Namespace, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	if err := create(ctx, k, ns); err != nil {
		return err
	}

	cluster := &postgresqlv1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: wish.Namespace, Name: clusterName},
		Spec: postgresqlv1.ClusterSpec{
			Instances: wish.Instances,
			ImageName: wish.Image,
			Storage:   postgresqlv1.StorageConfiguration{Size: "1Gi"},
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{
					corev1.ResourceCPU: resource.MustParse("20m"), corev1.ResourceMemory: resource.MustParse("128Mi"),
				},
				Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
			},
		},
	}
	if wish.StorageClass != "" {
		cluster.Spec.Storage.StorageClass = &wish.StorageClass
	}

	if wish.S3Image != "" {
		s3 := kube.S3{Namespace: wish.Namespace, Name: "s3", Image: wish.S3Image, StorageClass: wish.StorageClass}
		for _, object := range s3.Objects() {
			if err := create(ctx, k, object); err != nil {
				return err
			}
		}

		cluster.Spec.Backup = &postgresqlv1.BackupConfiguration{ObjectStore: s3.Store(clusterName)}
	}

	return create(ctx, k, cluster)
}
