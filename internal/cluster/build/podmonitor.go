package build

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/caretaker-dev/caretaker/internal/naming"
)

// PodMonitorGVK is the kind of the Prometheus operator that finds pods to scrape. Its API may not be installed.
func PodMonitorGVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "monitoring.coreos.com", Version: "v1", Kind: "PodMonitor"}
}

// PodMonitor makes the Prometheus operator scrape the instances' metrics.
func PodMonitor(in Input) *unstructured.Unstructured {
	m := meta(in, naming.PodMonitor(in.Cluster.Name))

	monitor := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{
			"selector":            map[string]any{"matchLabels": map[string]any{naming.LabelCluster: in.Cluster.Name}},
			"podMetricsEndpoints": []any{map[string]any{"port": portNameMetrics}},
		},
	}}
	monitor.SetGroupVersionKind(PodMonitorGVK())
	monitor.SetName(m.Name)
	monitor.SetNamespace(m.Namespace)
	monitor.SetLabels(m.Labels)
	monitor.SetAnnotations(m.Annotations)
	monitor.SetOwnerReferences(m.OwnerReferences)
	stamp(monitor)

	return monitor
}
