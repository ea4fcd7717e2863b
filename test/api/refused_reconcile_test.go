package api

import (
	"encoding/json"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	backupv1 "github.com/caretaker-dev/caretaker/api/backup/v1"
	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
)

// TestRefusedByReconciler sends every row that only the operator can refuse: it says so and changes nothing.
func TestRefusedByReconciler(t *testing.T) {
	t.Parallel()

	for _, section := range readRefusals(t).Sections {
		for _, row := range section.Rows {
			if row.Where != whereReconcile {
				continue
			}

			t.Run(row.Input, func(t *testing.T) {
				t.Parallel()

				kind := row.object(t, "").GroupVersionKind()
				if kind.Group == backupv1.GroupVersion.Group {
					refusedDump(t, row)

					return
				}

				switch kind.Kind {
				case "Cluster":
					refusedByReconciler(t, row)
				case "Backup":
					refusedBackup(t, row, archivingWorld(t))
				case "ScheduledBackup":
					refusedBackup(t, row, newScheduleWorld(t))
				case "AppConfig":
					refusedAppConfig(t, row)
				default:
					t.Fatal("there is no world for this kind")
				}
			})
		}
	}
}

func refusedByReconciler(t *testing.T, row refusal) {
	t.Helper()

	w := newWorld(t)

	for _, given := range row.Given {
		object := &unstructured.Unstructured{}
		if err := json.Unmarshal(given, &object.Object); err != nil {
			t.Fatalf("decode given object: %v", err)
		}

		w.create(t, object)
	}

	object := row.object(t, w.namespace, []byte(`{"metadata":{"name":"db"},"spec":{"imageName":"postgresql:17"}}`), row.Create)
	w.create(t, object)
	w.settle(t)

	before := w.withoutCluster(t)

	if row.Update != nil {
		w.wantReady(t)

		changed := row.object(t, w.namespace, []byte(`{"metadata":{"name":"db"},"spec":{"imageName":"postgresql:17"}}`), row.Create, row.Update)
		changed.SetResourceVersion(w.cluster(t).ResourceVersion)

		if err := w.server.Client.Update(t.Context(), changed); err != nil {
			t.Fatalf("update: %v", err)
		}

		w.settle(t)

		if diff := cmp.Diff(before, w.withoutCluster(t)); diff != "" {
			t.Errorf("objects were changed (-before +after):\n%s", diff)
		}
	} else if pods := w.pods(t); len(pods) > 0 {
		t.Errorf("%d pods were made", len(pods))
	}

	condition := meta.FindStatusCondition(w.cluster(t).Status.Conditions, postgresqlv1.ConditionStalled)
	if condition == nil || condition.Status != metav1.ConditionTrue {
		t.Fatalf("not stalled: %s", conditions(w.cluster(t)))
	}

	if condition.Reason != row.Reason || !row.matches(condition.Message) {
		t.Errorf("refused otherwise\n got: %s: %s\nwant: %s: %s", condition.Reason, condition.Message, row.Reason, row.Message)
	}

	if writes := w.settle(t); len(writes) > 0 {
		t.Errorf("it is stalled, and yet it writes: %v", writes)
	}
}

// refusedBackup sends a row of a Backup or ScheduledBackup: no instance is ordered to do anything, and no Backup is made.
func refusedBackup(t *testing.T, row refusal, w *backupWorld) {
	t.Helper()

	object := row.object(t, w.namespace, []byte(`{"metadata":{"name":"shop"},"spec":{"cluster":{"name":"shop"}}}`), row.Create)
	made := len(w.backups(t))
	w.create(t, object)

	if object.GetKind() == "Backup" {
		made++
	}

	w.settle(t)

	if len(w.backups(t)) != made || len(w.instances.orders) > 0 {
		t.Errorf("%d Backups, orders %v", len(w.backups(t)), w.instances.orders)
	}

	w.get(t, "shop", object)
	wantStalled(t, row, object)
}

// refusedAppConfig sends a row of an AppConfig: no configuration is made.
func refusedAppConfig(t *testing.T, row refusal) {
	t.Helper()

	w := newApplications(t)
	object := row.object(t, w.namespace, []byte(`{"metadata":{"name":"shop"}}`), row.Create)
	w.create(t, object)
	w.settle(t)

	if w.exists(t, "shop-config", &corev1.ConfigMap{}) {
		t.Error("a configuration was made")
	}

	w.get(t, "shop", object)
	wantStalled(t, row, object)
}

// wantStalled: the object says what the row does.
func wantStalled(t *testing.T, row refusal, object *unstructured.Unstructured) {
	t.Helper()

	all, _, err := unstructured.NestedSlice(object.Object, "status", "conditions")
	if err != nil {
		t.Fatal(err)
	}

	for _, one := range all {
		condition, _ := one.(map[string]any)
		message, _ := condition["message"].(string)

		if condition["type"] == postgresqlv1.ConditionStalled {
			if condition["reason"] != row.Reason || !row.matches(message) {
				t.Errorf("refused otherwise\n got: %v: %s\nwant: %s: %s", condition["reason"], message, row.Reason, row.Message)
			}

			return
		}
	}

	t.Errorf("not stalled: %v", all)
}

// withoutCluster is everything but the Cluster itself.
func (w *world) withoutCluster(t *testing.T) map[string]string {
	t.Helper()

	state := maps.Clone(w.State(t))
	delete(state, "Cluster/db")

	return state
}
