package operator

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	caretakerappsv1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	backupv1 "github.com/caretaker-dev/caretaker/api/backup/v1"
	configv1 "github.com/caretaker-dev/caretaker/api/config/v1"
	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	platformv1 "github.com/caretaker-dev/caretaker/api/platform/v1"
	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// newScheme registers what the operator works with, and nothing else: every registered kind costs memory.
func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()

	for _, add := range []func(*runtime.Scheme) error{
		postgresqlv1.AddToScheme,
		databasev1.AddToScheme,
		caretakerappsv1.AddToScheme,
		backupv1.AddToScheme,
		configv1.AddToScheme,
		platformv1.AddToScheme,
		appsv1.AddToScheme,
		autoscalingv2.AddToScheme,
		batchv1.AddToScheme,
		networkingv1.AddToScheme,
		corev1.AddToScheme,
		rbacv1.AddToScheme,
		policyv1.AddToScheme,
		storagev1.AddToScheme,
		addMeta,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("register API kinds: %w", err)
		}
	}

	return scheme, nil
}

func addMeta(scheme *runtime.Scheme) error {
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})

	return nil
}

// cacheOptions: of the kinds that others have too, only our own objects are kept in memory, of no object the managed
// fields, and of pods what is looked at.
func cacheOptions(namespaces []string) cache.Options {
	ours := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{naming.LabelManagedBy: naming.ManagedBy})}
	pods := ours
	pods.Transform = trimPod

	options := cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}:                   pods,
			&corev1.PersistentVolumeClaim{}: ours,
			&corev1.Secret{}:                ours,
			&corev1.ConfigMap{}:             ours,
			&corev1.Service{}:               ours,
			&corev1.ServiceAccount{}:        ours,
			&rbacv1.Role{}:                  ours,
			&rbacv1.RoleBinding{}:           ours,
			&policyv1.PodDisruptionBudget{}: ours,

			&appsv1.Deployment{}:                     ours,
			&appsv1.StatefulSet{}:                    ours,
			&autoscalingv2.HorizontalPodAutoscaler{}: ours,
			&networkingv1.Ingress{}:                  ours,
			&networkingv1.NetworkPolicy{}:            ours,
			&batchv1.CronJob{}:                       ours,
			&batchv1.Job{}:                           ours,
		},
	}

	if len(namespaces) > 0 {
		options.DefaultNamespaces = make(map[string]cache.Config, len(namespaces))
		for _, namespace := range namespaces {
			options.DefaultNamespaces[namespace] = cache.Config{}
		}
	}

	return options
}

// trimPod keeps of a pod its metadata, its status, where it runs, which programs, and what its volumes are called. The rest
// is what we asked for, known by its hash, and the largest part of what a Cluster costs in memory. A pod from the cache must
// not be written back as a whole; nobody does, since a pod's spec cannot be changed.
func trimPod(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		// What the cache holds of an object whose deletion it has missed.
		return object, nil
	}

	volumes := pod.Spec.Volumes
	pod.ManagedFields = nil
	pod.Spec = corev1.PodSpec{
		NodeName:       pod.Spec.NodeName,
		InitContainers: trimContainers(pod.Spec.InitContainers),
		Containers:     trimContainers(pod.Spec.Containers),
		Volumes:        make([]corev1.Volume, 0, len(volumes)),
	}

	for i := range volumes {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: volumes[i].Name})
	}

	return pod, nil
}

func trimContainers(containers []corev1.Container) []corev1.Container {
	trimmed := make([]corev1.Container, 0, len(containers))
	for i := range containers {
		trimmed = append(trimmed, corev1.Container{Name: containers[i].Name, Image: containers[i].Image, Command: containers[i].Command})
	}

	return trimmed
}

// clientOptions: storage classes are read now and then, by name; a cache would need the right to watch them all.
func clientOptions() client.Options {
	return client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&storagev1.StorageClass{}}}}
}
