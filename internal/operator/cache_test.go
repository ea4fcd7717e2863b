package operator

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// TestPodsAreTrimmed: the cache keeps of pods what decisions are made of, and not what takes the memory.
func TestPodsAreTrimmed(t *testing.T) {
	t.Parallel()

	env := []corev1.EnvVar{{Name: "A", Value: "b"}}
	meta := metav1.ObjectMeta{Name: "db-0", Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"c": "d"}}
	status := corev1.PodStatus{PodIP: "10.0.0.1", ContainerStatuses: []corev1.ContainerStatus{{Name: "postgres", Ready: true}}}
	pod := &corev1.Pod{
		ObjectMeta: *meta.DeepCopy(),
		Spec: corev1.PodSpec{
			NodeName:       "node-1",
			InitContainers: []corev1.Container{{Name: "install", Image: "caretaker:1", Command: []string{"install"}, Env: env}},
			Containers:     []corev1.Container{{Name: "postgres", Image: "postgres:17", Env: env}},
			Volumes:        []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
		},
		Status: status,
	}
	pod.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet"}}

	trimmed, err := trimPod(pod)
	if err != nil {
		t.Fatal(err)
	}

	want := &corev1.Pod{
		ObjectMeta: meta,
		Spec: corev1.PodSpec{
			NodeName:       "node-1",
			InitContainers: []corev1.Container{{Name: "install", Image: "caretaker:1", Command: []string{"install"}}},
			Containers:     []corev1.Container{{Name: "postgres", Image: "postgres:17"}},
			Volumes:        []corev1.Volume{{Name: "data"}},
		},
		Status: status,
	}
	if d := cmp.Diff(want, trimmed); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}

	tombstone := cache.DeletedFinalStateUnknown{Key: "a/b"}
	if got, err := trimPod(tombstone); err != nil || got != any(tombstone) {
		t.Errorf("a tombstone became %v, %v", got, err)
	}
}
