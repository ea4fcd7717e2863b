package build

import (
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/caretaker-dev/caretaker/internal/naming"
)

// PodMonitorGVK is the Prometheus operator's kind for pods that are to be scraped.
func PodMonitorGVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "monitoring.coreos.com", Version: "v1", Kind: "PodMonitor"}
}

// PodMonitor tells Prometheus of the backend's pods.
func PodMonitor(in Input) *unstructured.Unstructured {
	path := in.Stack.Spec.Monitoring.Path
	if path == "" {
		path = "/metrics"
	}

	meta := Owner(in.Stack).Meta(Name(in.Stack, Monitoring))
	maps.Copy(meta.Labels, Inherited(in.Stack, Monitoring))

	object := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"selector": map[string]any{"matchLabels": map[string]any{
			naming.LabelStack: in.Stack.Name, naming.LabelComponent: Backend,
		}},
		"podMetricsEndpoints": []any{map[string]any{"port": "http", "path": path}},
	}}}
	object.SetGroupVersionKind(PodMonitorGVK())
	object.SetName(meta.Name)
	object.SetNamespace(meta.Namespace)
	object.SetLabels(meta.Labels)
	object.SetAnnotations(meta.Annotations)
	object.SetOwnerReferences(meta.OwnerReferences)

	return object
}
