package api

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestClusterObjects lists everything that a Cluster of three consists of.
func TestClusterObjects(t *testing.T) {
	t.Parallel()

	w := started(t)

	var got []string
	for _, object := range w.objects(t) {
		got = append(got, object.GetKind()+"/"+object.GetName())
	}

	want := []string{
		"Cluster/db", "ClusterTerm/db",
		"Pod/db-0", "Pod/db-1", "Pod/db-2",
		"PersistentVolumeClaim/db-0", "PersistentVolumeClaim/db-1", "PersistentVolumeClaim/db-2",
		"Secret/db-app", "Secret/db-ca", "Secret/db-replication", "Secret/db-server",
		"ConfigMap/db-postgresql",
		"Service/db-members", "Service/db-r", "Service/db-ro", "Service/db-rw",
		"ServiceAccount/db", "Role/db", "RoleBinding/db", "PodDisruptionBudget/db",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("other objects than designed (-want +got):\n%s", diff)
	}

	if writes := w.settle(t); len(writes) > 0 {
		t.Errorf("everything is there, and yet it writes: %v", writes)
	}
}
