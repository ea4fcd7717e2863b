package shortform_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/diff"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/postgresql/shortform"
)

var update = flag.Bool("update", false, "write the golden file")

func wish() shortform.Wish {
	object := &databasev1.PostgreSQL{ObjectMeta: metav1.ObjectMeta{
		Name: "shop-db", Namespace: "shop", UID: "11111111-2222-3333-4444-555555555555",
		Labels: map[string]string{"platform": "shop", "helm.sh/chart": "shop-1.0.0"},
	}}

	return shortform.Wish{
		Owner: owned.Owner{
			Object: object, GVK: databasev1.GroupVersion.WithKind("PostgreSQL"), Label: naming.LabelPostgreSQLServer,
			Application: "postgresql", Labels: shortform.InheritedLabels(object.Labels),
		},
		Version: "17", Instances: 3, Storage: "10Gi", DeletionPolicy: v1.DeletionPolicyRetain,
	}
}

func defaults() shortform.Defaults {
	return shortform.Defaults{Version: "18", Images: map[string]string{"17": "postgres:17", "18": "postgres:18"}}
}

// made is the Cluster that a wish leads to, as if the API server had it.
func made(t *testing.T, w shortform.Wish, change ...func(*v1.Cluster)) *v1.Cluster {
	t.Helper()

	plan := w.Decide(defaults(), nil)
	if len(plan.Changes) != 1 {
		t.Fatalf("changes are %v, want one; outcome %+v", plan.Changes, plan.Outcome)
	}

	apply, ok := plan.Changes[0].(owned.Apply)
	if !ok {
		t.Fatalf("the change is %T", plan.Changes[0])
	}

	u, err := diff.Unstructured(apply.Object)
	if err != nil {
		t.Fatal(err)
	}

	encoded, err := yaml.Marshal(u.Object)
	if err != nil {
		t.Fatal(err)
	}

	cluster := &v1.Cluster{}
	if err := yaml.UnmarshalStrict(encoded, cluster); err != nil {
		t.Fatal(err)
	}

	cluster.Generation, cluster.Status.ObservedGeneration = 1, 1

	for _, c := range change {
		c(cluster)
	}

	return cluster
}

func condition(kind string, status metav1.ConditionStatus, reason, message string) func(*v1.Cluster) {
	return func(c *v1.Cluster) {
		c.Status.Conditions = append(c.Status.Conditions, metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message})
	}
}

// TestCluster compares the Cluster with a golden file: every field in it is one that the short form owns.
func TestCluster(t *testing.T) {
	w := wish()
	w.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}
	w.Backup = &v1.BackupConfiguration{RetentionPolicy: "30d", ObjectStore: &v1.ObjectStore{DestinationPath: "s3://backups/shop/shop-db"}}

	plan := w.Decide(defaults(), nil)

	apply, ok := plan.Changes[0].(owned.Apply)
	if !ok {
		t.Fatalf("the change is %T", plan.Changes[0])
	}

	u, err := diff.Unstructured(apply.Object)
	if err != nil {
		t.Fatal(err)
	}

	got, err := yaml.Marshal(u.Object)
	if err != nil {
		t.Fatal(err)
	}

	const golden = "testdata/cluster.golden.yaml"
	if *update {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}

	if delta := cmp.Diff(string(want), string(got)); delta != "" {
		t.Errorf("another Cluster (run with -update if that is right; -want +got):\n%s", delta)
	}
}

// TestImageOfTheClusterStays: neither the operator's configuration nor another minor on the Cluster changes it.
func TestImageOfTheClusterStays(t *testing.T) {
	t.Parallel()

	cluster := made(t, wish(), func(c *v1.Cluster) { c.Spec.ImageName = "postgres:17.9" })
	changed := defaults()
	changed.Images["17"] = "postgres:17.10"

	for _, change := range wish().Decide(changed, cluster).Changes {
		apply, ok := change.(owned.Apply)
		if !ok {
			t.Fatalf("the change is %T", change)
		}

		u, err := diff.Unstructured(apply.Object)
		if err != nil {
			t.Fatal(err)
		}

		if image, _, _ := unstructured.NestedString(u.Object, "spec", "imageName"); image != "postgres:17.9" {
			t.Errorf("the Cluster gets the image %s", image)
		}
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()

	ready := condition(v1.ConditionReady, metav1.ConditionTrue, "Ready", "3 of 3 instances ready")
	notReady := condition(v1.ConditionReady, metav1.ConditionFalse, "Cloning", "Cloning 2 replicas")

	for name, tc := range map[string]struct {
		change  func(*shortform.Wish)
		cluster []func(*v1.Cluster)
		missing bool
		changes int
		outcome conditions.Outcome
	}{
		"missing": {missing: true, changes: 1, outcome: conditions.Outcome{Kind: conditions.Waiting, Reason: shortform.ReasonCreatingCluster, Message: "creating"}},
		"ready": {
			cluster: []func(*v1.Cluster){ready},
			outcome: conditions.Outcome{Kind: conditions.Done, Reason: "Ready", Message: "3 of 3 instances ready"},
		},
		"what others set on the Cluster stays": {
			cluster: []func(*v1.Cluster){ready, func(c *v1.Cluster) {
				c.Spec.PostgreSQL.Parameters = map[string]string{"work_mem": "8MB"}
			}},
			outcome: conditions.Outcome{Kind: conditions.Done, Reason: "Ready"},
		},
		"scaled": {
			change: func(w *shortform.Wish) { w.Instances = 5 }, cluster: []func(*v1.Cluster){ready}, changes: 1,
			outcome: conditions.Outcome{Kind: conditions.Waiting, Reason: shortform.ReasonWaitingForCluster},
		},
		"the Cluster has not looked yet": {
			cluster: []func(*v1.Cluster){ready, func(c *v1.Cluster) { c.Generation = 2 }},
			outcome: conditions.Outcome{Kind: conditions.Waiting, Reason: shortform.ReasonWaitingForCluster},
		},
		"under way": {
			cluster: []func(*v1.Cluster){notReady, condition(v1.ConditionReconciling, metav1.ConditionTrue, "Cloning", "Cloning 2 replicas")},
			outcome: conditions.Outcome{Kind: conditions.Waiting, Reason: "Cloning", Message: "Cloning 2 replicas"},
		},
		"stalled": {
			cluster: []func(*v1.Cluster){notReady, condition(v1.ConditionStalled, metav1.ConditionTrue, "InvalidParameters", "work_mem is no number")},
			outcome: conditions.Outcome{Kind: conditions.Stalled, Reason: "InvalidParameters", Message: "work_mem is no number"},
		},
		"hibernated": {
			cluster: []func(*v1.Cluster){condition(v1.ConditionReady, metav1.ConditionFalse, "Hibernated", "Hibernated")},
			outcome: conditions.Outcome{Kind: conditions.Resting, Reason: "Hibernated"},
		},
		"not ours": {
			cluster: []func(*v1.Cluster){ready, func(c *v1.Cluster) { c.OwnerReferences, c.Labels = nil, nil }},
			outcome: conditions.Outcome{Kind: conditions.Stalled, Reason: shortform.ReasonClusterNotOwned, Message: "Choose another metadata.name"},
		},
		"another major": {
			change: func(w *shortform.Wish) { w.Version = "18" }, cluster: []func(*v1.Cluster){ready},
			outcome: conditions.Outcome{Kind: conditions.Stalled, Reason: v1.ReasonMajorVersionChange, Message: `set it back to "17"`},
		},
		"no version any more": {
			change: func(w *shortform.Wish) { w.Version = "" }, cluster: []func(*v1.Cluster){ready},
			outcome: conditions.Outcome{Kind: conditions.Done, Reason: "Ready"},
		},
		"no image": {
			change: func(w *shortform.Wish) { w.Version = "16" }, missing: true,
			outcome: conditions.Outcome{Kind: conditions.Stalled, Reason: shortform.ReasonImageNotConfigured, Message: "use one of 17, 18, or add it to the chart's value database.images"},
		},
		"image of another version": {
			change: func(w *shortform.Wish) { w.Image = "postgres:14" }, missing: true,
			outcome: conditions.Outcome{Kind: conditions.Stalled, Reason: v1.ReasonInvalidImage, Message: "spec.image: postgres:14 is PostgreSQL 14"},
		},
		"image alone": {
			change: func(w *shortform.Wish) { w.Version, w.Image = "", "postgres:14" }, missing: true, changes: 1,
			outcome: conditions.Outcome{Kind: conditions.Waiting, Reason: shortform.ReasonCreatingCluster},
		},
		"being deleted": {
			cluster: []func(*v1.Cluster){ready, func(c *v1.Cluster) { c.DeletionTimestamp = &metav1.Time{} }},
			outcome: conditions.Outcome{Kind: conditions.Waiting, Reason: v1.ReasonDeleting},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			var cluster *v1.Cluster
			if !tc.missing {
				cluster = made(t, wish(), tc.cluster...)
			}

			w := wish()
			if tc.change != nil {
				tc.change(&w)
			}

			plan := w.Decide(defaults(), cluster)

			if len(plan.Changes) != tc.changes {
				t.Errorf("changes: %v, want %d", plan.Changes, tc.changes)
			}

			if got := plan.Outcome; got.Kind != tc.outcome.Kind || got.Reason != tc.outcome.Reason || !strings.Contains(got.Message, tc.outcome.Message) {
				t.Errorf("outcome is %+v\nwant %+v", got, tc.outcome)
			}
		})
	}
}
