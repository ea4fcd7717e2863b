package api

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/test/internal/crash"
)

// TestDrift changes and deletes what belongs to a Cluster: it is put back.
//
//nolint:tparallel // one world for all of them
func TestDrift(t *testing.T) {
	t.Parallel()

	w := started(t)
	want := w.State(t)
	c := w.server.Client

	object := func(o client.Object, name string) client.Object {
		o.SetNamespace(w.namespace)
		o.SetName(name)

		return o
	}

	patch := func(o client.Object, patch string) func(context.Context) error {
		return func(ctx context.Context) error {
			return c.Patch(ctx, o, client.RawPatch(types.MergePatchType, []byte(patch)))
		}
	}

	remove := func(o client.Object) func(context.Context) error {
		return func(ctx context.Context) error { return c.Delete(ctx, o) }
	}

	tests := []struct {
		name  string
		drift func(context.Context) error
	}{
		{"a service's selector", patch(object(&corev1.Service{}, "db-rw"), `{"spec":{"selector":{"caretaker.dev/role":"replica"}}}`)},
		{"the configuration", patch(object(&corev1.ConfigMap{}, "db-postgresql"), `{"data":{"config.json":"{}"}}`)},
		{"a label", patch(object(&corev1.ServiceAccount{}, "db"), `{"metadata":{"labels":{"app.kubernetes.io/name":"mine"}}}`)},
		{"a volume's label", patch(object(&corev1.PersistentVolumeClaim{}, "db-1"), `{"metadata":{"labels":{"postgresql":"mine"}}}`)},
		{"a pod's label", patch(object(&corev1.Pod{}, "db-1"), `{"metadata":{"labels":{"postgresql":"mine"}}}`)},
		{"a service deleted", remove(object(&corev1.Service{}, "db-r"))},
		{"the budget deleted", remove(object(&policyv1.PodDisruptionBudget{}, "db"))},
		{"the configuration deleted", remove(object(&corev1.ConfigMap{}, "db-postgresql"))},
		{"the application's secret", remove(object(&corev1.Secret{}, "db-app"))},
		{"the server's certificate", remove(object(&corev1.Secret{}, "db-server"))},
		{"a replica's pod deleted", remove(object(&corev1.Pod{}, "db-2"))},
		{"the primary's pod deleted", remove(object(&corev1.Pod{}, "db-0"))},
		{"a service's port", patch(object(&corev1.Service{}, "db-ro"), `{"spec":{"ports":[{"name":"postgresql","port":5433}]}}`)},
	}

	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.drift(t.Context()); err != nil {
				t.Fatal(err)
			}

			w.settle(t)
			w.wantReady(t)

			if diff := cmp.Diff(want, w.State(t)); diff != "" {
				t.Errorf("not put back (-before +after):\n%s", diff)
			}

			if writes := w.settle(t); len(writes) > 0 {
				t.Errorf("and then it writes: %v", writes)
			}
		})
	}
}

// TestUsersFieldsAreKept: what others add to our objects is theirs.
func TestUsersFieldsAreKept(t *testing.T) {
	t.Parallel()

	w := started(t)
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "db-rw"}}

	err := w.server.Client.Patch(t.Context(), service, client.RawPatch(types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"example.com/mine":"yes"},"labels":{"example.com/mine":"yes"}},"spec":{"type":"LoadBalancer"}}`)))
	if err != nil {
		t.Fatal(err)
	}

	w.change(t, func(c *postgresqlv1.Cluster) { c.Spec.Instances = 2 })
	w.settle(t)

	if err := w.server.Client.Get(t.Context(), client.ObjectKeyFromObject(service), service); err != nil {
		t.Fatal(err)
	}

	if service.Annotations["example.com/mine"] != "yes" || service.Labels["example.com/mine"] != "yes" {
		t.Errorf("the user's metadata is gone: %v %v", service.Annotations, service.Labels)
	}
}

// TestRollout: replicas first, one at a time, each ready before the next; the primary last.
func TestRollout(t *testing.T) {
	t.Parallel()

	w := started(t)
	process := crash.NewProcess(w.Client(), 0)

	w.change(t, func(c *postgresqlv1.Cluster) { c.Spec.ImageName = "postgresql:17.9" })
	w.Run(t, process)
	w.wantReady(t)

	if diff := cmp.Diff([]string{"delete Pod db-2", "delete Pod db-1", "delete Pod db-0"}, podDeletions(process)); diff != "" {
		t.Errorf("another order (-want +got):\n%s", diff)
	}

	for name, pod := range w.pods(t) {
		if got := pod.Spec.Containers[0].Image; got != "postgresql:17.9" {
			t.Errorf("%s runs %s", name, got)
		}
	}
}

func podDeletions(process *crash.Process) []string {
	return slices.DeleteFunc(process.Writes(), func(write string) bool { return !strings.HasPrefix(write, "delete Pod") })
}

// TestRolloutStops at the first instance that does not come back, and goes on when the image is corrected.
func TestRolloutStops(t *testing.T) {
	t.Parallel()

	w := started(t)
	w.machine.LoseImage("postgresql:17.99")

	process := crash.NewProcess(w.Client(), 0)

	w.change(t, func(c *postgresqlv1.Cluster) { c.Spec.ImageName = "postgresql:17.99" })
	w.Run(t, process)

	if diff := cmp.Diff([]string{"delete Pod db-2"}, podDeletions(process)); diff != "" {
		t.Errorf("other pods were replaced (-want +got):\n%s", diff)
	}

	if all := conditions(w.cluster(t)); !strings.Contains(all, postgresqlv1.ReasonImagePullFailed) {
		t.Errorf("no word of the image: %s", all)
	}

	process = crash.NewProcess(w.Client(), 0)

	w.change(t, func(c *postgresqlv1.Cluster) { c.Spec.ImageName = "postgresql:17" })
	w.Run(t, process)
	w.wantReady(t)

	if diff := cmp.Diff([]string{"delete Pod db-2"}, podDeletions(process)); diff != "" {
		t.Errorf("other pods were replaced to go back (-want +got):\n%s", diff)
	}
}

// TestOperatorUpgrade: another operator image, with another default for PostgreSQL's, restarts nothing.
func TestOperatorUpgrade(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.create(t, w.newCluster(func(spec *postgresqlv1.ClusterSpec) { spec.ImageName = "" }))
	w.settle(t)
	w.wantReady(t)

	before := podUIDs(w.pods(t))
	w.operatorImage, w.defaultImage = "caretaker:2", "postgresql:17.99"

	process := crash.NewProcess(w.Client(), 0)
	w.Run(t, process)

	if diff := cmp.Diff(before, podUIDs(w.pods(t))); diff != "" {
		t.Errorf("pods were replaced (-before +after):\n%s", diff)
	}

	// A pod that is made anew for another reason gets the new instance manager and the same PostgreSQL.
	pod := w.pods(t)["db-2"]
	if err := w.server.Client.Delete(t.Context(), &pod); err != nil {
		t.Fatal(err)
	}

	w.settle(t)

	spec := w.pods(t)["db-2"].Spec
	if got := spec.InitContainers[0].Image + " " + spec.Containers[0].Image; got != "caretaker:2 postgresql:17" {
		t.Errorf("the new pod has %s", got)
	}
}

func podUIDs(pods map[string]corev1.Pod) map[string]types.UID {
	uids := map[string]types.UID{}
	for name, pod := range pods {
		uids[name] = pod.UID
	}

	return uids
}

// TestParameters: a reload reaches everybody, restarts come in the right order, one at a time.
func TestParameters(t *testing.T) {
	t.Parallel()

	w := started(t)

	set := func(name, value string) []string {
		before := len(w.machine.Restarts())
		w.change(t, func(c *postgresqlv1.Cluster) { c.Spec.PostgreSQL.Parameters = map[string]string{name: value} })
		w.settle(t)
		w.wantReady(t)

		return w.machine.Restarts()[before:]
	}

	tests := []struct {
		name, value string
		want        []string
	}{
		{"work_mem", "8MB", []string{}},
		{"max_connections", "200", []string{"db-2", "db-1", "db-0"}},
		// Raised, the primary handed over to db-1.
		{"max_connections", "50", []string{"db-1", "db-2", "db-0"}},
	}

	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, set(tt.name, tt.value)); diff != "" {
			t.Errorf("%s = %s: restarted others, or in another order (-want +got):\n%s", tt.name, tt.value, diff)
		}
	}

	if pending := w.cluster(t).Status.PendingRestart; len(pending) > 0 {
		t.Errorf("still pending: %v", pending)
	}
}

// TestSupervised: the primary is not touched without the user's word.
func TestSupervised(t *testing.T) {
	t.Parallel()

	w := started(t, func(spec *postgresqlv1.ClusterSpec) {
		spec.PrimaryUpdateStrategy = postgresqlv1.PrimaryUpdateSupervised
	})
	w.change(t, func(c *postgresqlv1.Cluster) {
		c.Spec.PostgreSQL.Parameters = map[string]string{"max_connections": "200"}
	})
	w.settle(t)

	if diff := cmp.Diff([]string{"db-2", "db-1"}, w.machine.Restarts()); diff != "" {
		t.Errorf("restarted others (-want +got):\n%s", diff)
	}

	if all := conditions(w.cluster(t)); !strings.Contains(all, postgresqlv1.ReasonWaitingForUser) {
		t.Errorf("nobody is asked: %s", all)
	}

	w.change(t, func(c *postgresqlv1.Cluster) {
		metav1.SetMetaDataAnnotation(&c.ObjectMeta, naming.AnnotationRestart, "now")
	})
	w.settle(t)
	w.wantReady(t)

	if !slices.Contains(w.machine.Restarts(), "db-0") {
		t.Errorf("the user's word did not restart the primary: %v", w.machine.Restarts())
	}
}

// TestScaleDownHandsOver: a primary that is one too many hands over before it goes.
func TestScaleDownHandsOver(t *testing.T) {
	t.Parallel()

	w := started(t)

	// As after a failover: db-2 leads.
	record := &postgresqlv1.ClusterTerm{}
	key := client.ObjectKey{Namespace: w.namespace, Name: "db"}

	if err := w.server.Client.Get(t.Context(), key, record); err != nil {
		t.Fatal(err)
	}

	record.Spec.Term, record.Spec.Timeline = 2, 2
	record.Spec.Primary = &postgresqlv1.TermHolder{MemberID: w.member(t, "db-2"), Name: "db-2", PodUID: string(w.pods(t)["db-2"].UID)}

	if err := w.server.Client.Update(t.Context(), record); err != nil {
		t.Fatal(err)
	}

	w.settle(t)
	w.change(t, func(c *postgresqlv1.Cluster) { c.Spec.Instances = 1 })
	w.settle(t)
	w.wantReady(t)

	if pods := w.pods(t); len(pods) != 1 || pods["db-0"].Name == "" {
		t.Errorf("left over: %v", podUIDs(pods))
	}

	if got := w.cluster(t).Status.Primary; got != "db-0" {
		t.Errorf("the primary is %q", got)
	}
}

func (w *world) member(t *testing.T, instance string) string {
	t.Helper()

	for _, member := range w.cluster(t).Status.Members {
		if member.Name == instance {
			return member.MemberID
		}
	}

	t.Fatalf("status knows no %s", instance)

	return ""
}

// TestReplicaVolumeLost: a new volume is a new member. TestPrimaryVolumeLost: it is never replaced by an empty one.
func TestReplicaVolumeLost(t *testing.T) {
	t.Parallel()

	w := started(t)
	old := w.member(t, "db-1")
	w.loseVolume(t, "db-1")
	w.settle(t)
	w.wantReady(t)

	if got := w.member(t, "db-1"); got == old {
		t.Errorf("the member is still %s", got)
	}
}

func TestPrimaryVolumeLost(t *testing.T) {
	t.Parallel()

	// Of several, another would take over.
	w := started(t, func(spec *postgresqlv1.ClusterSpec) { spec.Instances = 1 })
	w.loseVolume(t, "db-0")
	w.settle(t)
	w.wantStalled(t, postgresqlv1.ReasonVolumeMissing, "db-0")

	volume := &corev1.PersistentVolumeClaim{}
	if err := w.server.Client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "db-0"}, volume); err == nil {
		t.Errorf("an empty volume took the primary's place")
	}
}

// loseVolume deletes a volume and its pod.
func (w *world) loseVolume(t *testing.T, name string) {
	t.Helper()

	metadata := metav1.ObjectMeta{Namespace: w.namespace, Name: name}
	for _, object := range []client.Object{&corev1.PersistentVolumeClaim{ObjectMeta: metadata}, &corev1.Pod{ObjectMeta: metadata}} {
		if err := w.server.Client.Delete(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}

	for range 3 {
		if _, err := w.machine.Turn(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRecordMissing: with several volumes only the user can say which one is trusted.
func TestRecordMissing(t *testing.T) {
	t.Parallel()

	w := started(t)
	w.deleteCluster(t)

	record := &postgresqlv1.ClusterTerm{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "db"}}
	if err := w.server.Client.Delete(t.Context(), record); err != nil {
		t.Fatal(err)
	}

	w.create(t, w.newCluster())
	w.settle(t)
	w.wantStalled(t, postgresqlv1.ReasonRecordMissing, naming.AnnotationBootstrapFrom)

	if pods := w.pods(t); len(pods) > 0 {
		t.Errorf("%d pods run without a record", len(pods))
	}

	w.change(t, func(c *postgresqlv1.Cluster) {
		metav1.SetMetaDataAnnotation(&c.ObjectMeta, naming.AnnotationBootstrapFrom, "db-1")
	})
	w.settle(t)
	w.wantReady(t)

	if got := w.cluster(t).Status.Primary; got != "db-1" {
		t.Errorf("the primary is %q, the user named db-1", got)
	}
}

// TestDeletionPolicy: what the garbage collector would remove, and what it would not.
func TestDeletionPolicy(t *testing.T) {
	t.Parallel()

	w := started(t)

	owned := func() []string {
		var names []string
		for _, object := range w.objects(t) {
			if metav1.GetControllerOf(object) != nil {
				names = append(names, object.GetKind()+"/"+object.GetName())
			}
		}

		return names
	}

	retained := []string{"ClusterTerm/db", "PersistentVolumeClaim/db-0", "PersistentVolumeClaim/db-1", "PersistentVolumeClaim/db-2"}

	for _, name := range retained {
		if slices.Contains(owned(), name) {
			t.Errorf("Retain: %s goes with the Cluster", name)
		}
	}

	w.change(t, func(c *postgresqlv1.Cluster) { c.Spec.DeletionPolicy = postgresqlv1.DeletionPolicyDelete })
	w.settle(t)

	for _, name := range retained {
		if !slices.Contains(owned(), name) {
			t.Errorf("Delete: %s stays", name)
		}
	}

	w.change(t, func(c *postgresqlv1.Cluster) { c.Spec.DeletionPolicy = postgresqlv1.DeletionPolicyRetain })
	w.settle(t)

	for _, name := range retained {
		if slices.Contains(owned(), name) {
			t.Errorf("Retain again: %s goes with the Cluster", name)
		}
	}
}

// TestAdoption: a Cluster of the same name takes up the volumes of one that was deleted, and the password is new.
func TestAdoption(t *testing.T) {
	t.Parallel()

	w := started(t, func(spec *postgresqlv1.ClusterSpec) { spec.ImageName = "" })
	members := w.cluster(t).Status.Members
	w.deleteCluster(t)

	// The operator's default is another one by now; the volumes remember theirs.
	w.defaultImage = "postgresql:18"
	w.create(t, w.newCluster(func(spec *postgresqlv1.ClusterSpec) { spec.ImageName = "" }))
	w.settle(t)
	w.wantReady(t)

	c := w.cluster(t)
	if c.Status.Image != "postgresql:17" || c.Status.Major != 17 || c.Status.SystemID == "" {
		t.Errorf("status: image %s, major %d, system ID %s", c.Status.Image, c.Status.Major, c.Status.SystemID)
	}

	for i := range members {
		if c.Status.Members[i].MemberID != members[i].MemberID {
			t.Errorf("member %s was %s, is %s", members[i].Name, members[i].MemberID, c.Status.Members[i].MemberID)
		}
	}
}

// TestPaused: nothing is changed, status says why.
func TestPaused(t *testing.T) {
	t.Parallel()

	w := started(t)
	w.change(t, func(c *postgresqlv1.Cluster) {
		metav1.SetMetaDataAnnotation(&c.ObjectMeta, naming.AnnotationPaused, "true")
		c.Spec.Instances = 1
		c.Spec.PostgreSQL.Parameters = map[string]string{"work_mem": "8MB"}
	})

	writes := slices.DeleteFunc(w.settle(t), func(write string) bool { return write == "update status of Cluster db" })
	if len(writes) > 0 {
		t.Errorf("paused, and yet it writes: %v", writes)
	}

	if !meta.IsStatusConditionTrue(w.cluster(t).Status.Conditions, postgresqlv1.ConditionPaused) {
		t.Errorf("no condition Paused: %s", conditions(w.cluster(t)))
	}
}

// TestConfigReachesInstances: what an instance runs with is what the ConfigMap has, and names every member.
func TestConfigReachesInstances(t *testing.T) {
	t.Parallel()

	w := started(t)
	w.change(t, func(c *postgresqlv1.Cluster) { c.Spec.Instances = 2 })
	w.settle(t)

	config := &corev1.ConfigMap{}
	if err := w.server.Client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: naming.ConfigMap("db")}, config); err != nil {
		t.Fatal(err)
	}

	var stored struct{ Members []string }
	if err := json.Unmarshal([]byte(config.Data["config.json"]), &stored); err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff([]string{"db-0", "db-1"}, stored.Members); diff != "" {
		t.Errorf("members in the configuration (-want +got):\n%s", diff)
	}
}

// TestStatusOfTrouble: a replica that is not ready is named, with the Cluster serving on.
func TestStatusOfTrouble(t *testing.T) {
	t.Parallel()

	w := started(t)
	w.machine.Down("db-2", true)
	w.settle(t)

	c := w.cluster(t)
	if c.Status.ReadyInstances != 2 || meta.IsStatusConditionTrue(c.Status.Conditions, postgresqlv1.ConditionReady) {
		t.Errorf("%d ready; %s", c.Status.ReadyInstances, conditions(c))
	}

	if all := conditions(c); !strings.Contains(all, "db-2") {
		t.Errorf("nobody says which instance: %s", all)
	}

	w.machine.Down("db-2", false)
	w.settle(t)
	w.wantReady(t)

	if fmt.Sprint(w.cluster(t).Status.ReadyInstances) != "3" {
		t.Errorf("%d ready", w.cluster(t).Status.ReadyInstances)
	}
}
