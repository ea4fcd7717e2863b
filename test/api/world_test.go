package api

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/instanceclient"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/test/internal/apiserver"
	"github.com/caretaker-dev/caretaker/test/internal/crash"
	"github.com/caretaker-dev/caretaker/test/internal/machine"
)

// Storage classes whose volumes can grow, or not.
const (
	classGrowing = "api-growing"
	classFixed   = "api-fixed"
)

// maxPasses bounds a run; a Cluster of three takes about twenty.
const maxPasses = 200

// world is a namespace with a Cluster "db", a machine that its pods run on, and the real Reconciler.
type world struct {
	server    *apiserver.Server
	machine   *machine.Machine
	namespace string
	events    *recorder
	// operatorImage of the controllers that are made from now on.
	operatorImage string
	// defaultImage of PostgreSQL, likewise.
	defaultImage string
}

func newWorld(t *testing.T) *world {
	t.Helper()

	server := suite.Server(t)
	ns := server.Namespace(t)

	for name, grows := range map[string]bool{classGrowing: true, classFixed: false} {
		class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: "test", AllowVolumeExpansion: &grows}
		if err := server.Client.Create(t.Context(), class); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatalf("create storage class: %v", err)
		}
	}

	return &world{
		server: server, namespace: ns, events: &recorder{}, operatorImage: "caretaker:1", defaultImage: "postgresql:17",
		machine: machine.New(server.Client, ns, clock.RealClock{}),
	}
}

// newCluster is a Cluster of three; the defaults are the API server's, so it goes there as a user writes it.
func (w *world) newCluster(change ...func(*postgresqlv1.ClusterSpec)) *postgresqlv1.Cluster {
	c := &postgresqlv1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "db"}}
	c.Spec.Instances = 3
	c.Spec.ImageName = "postgresql:17"
	c.Spec.Storage.Size = "1Gi"
	c.Spec.Storage.StorageClass = new(classGrowing)

	for _, f := range change {
		f(&c.Spec)
	}

	return c
}

func (w *world) create(t *testing.T, object client.Object) {
	t.Helper()

	object.SetNamespace(w.namespace)

	if err := w.server.Client.Create(t.Context(), object); err != nil {
		t.Fatalf("create %T %s: %v", object, object.GetName(), err)
	}
}

// started is a world with a Cluster that is ready.
func started(t *testing.T, change ...func(*postgresqlv1.ClusterSpec)) *world {
	t.Helper()

	w := newWorld(t)
	w.create(t, w.newCluster(change...))
	w.settle(t)
	w.wantReady(t)

	return w
}

func (w *world) cluster(t *testing.T) *postgresqlv1.Cluster {
	t.Helper()

	c := &postgresqlv1.Cluster{}
	if err := w.server.Client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "db"}, c); err != nil {
		t.Fatalf("get cluster: %v", err)
	}

	return c
}

func (w *world) change(t *testing.T, mutate func(*postgresqlv1.Cluster)) {
	t.Helper()

	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		c := w.cluster(t)
		mutate(c)

		return w.server.Client.Update(t.Context(), c)
	})
	if err != nil {
		t.Fatalf("change cluster: %v", err)
	}
}

// settle lets a controller work until nothing is left to do; the result is what it wrote.
func (w *world) settle(t *testing.T) []string {
	t.Helper()

	process := crash.NewProcess(w.server.Client, 0)
	w.Run(t, process)

	return process.Writes()
}

// Client is the world's own.
func (w *world) Client() client.WithWatch { return w.server.Client }

// Run makes a controller on the process, and lets it and the machine take turns until both have nothing to do.
func (w *world) Run(t *testing.T, process *crash.Process) {
	t.Helper()

	reconciler := w.reconciler(t, process)
	ctx, cancel := process.Context(t.Context())

	defer cancel()

	quiet := 0
	for range maxPasses {
		before := len(process.Writes())

		_, err := reconciler.Reconcile(ctx, w.request())
		if process.IsDead() {
			return
		}

		// An error that is not worth a word is tried again by the queue.
		if err != nil && !apierrors.IsConflict(err) {
			t.Fatalf("reconcile: %v", err)
		}

		moved, err := w.machine.Turn(t.Context())
		if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			t.Fatalf("machine: %v", err)
		}

		quiet++
		if moved || err != nil || len(process.Writes()) > before {
			quiet = 0
		}

		// One quiet pass could be one that looked before the machine moved.
		if quiet == 2 {
			return
		}
	}

	t.Fatalf("it does not come to rest; conditions: %s; last writes: %v", conditions(w.cluster(t)), tail(process.Writes()))
}

func (w *world) request() ctrl.Request {
	return ctrl.Request{NamespacedName: client.ObjectKey{Namespace: w.namespace, Name: "db"}}
}

func (w *world) reconciler(t *testing.T, process *crash.Process) *cluster.Reconciler {
	t.Helper()

	c := process.Client()

	reconciler, err := cluster.New(c, c, c.RESTMapper(), cluster.Options{
		DefaultImage:  w.defaultImage,
		OperatorImage: w.operatorImage,
		Clock:         clock.RealClock{},
		Instances:     &instances{process: process, machine: w.machine},
		Recorder:      w.events,
	})
	if err != nil {
		t.Fatalf("make reconciler: %v", err)
	}

	return reconciler
}

// State is every object of the Cluster.
func (w *world) State(t *testing.T) map[string]string {
	t.Helper()

	state, err := crash.Normalise(w.objects(t), map[string]string{w.namespace: "<namespace>"})
	if err != nil {
		t.Fatal(err)
	}

	return state
}

// kinds that a Cluster consists of.
func kinds() []schema.GroupVersionKind {
	core := schema.GroupVersion{Version: "v1"}
	rbac := schema.GroupVersion{Group: "rbac.authorization.k8s.io", Version: "v1"}

	return []schema.GroupVersionKind{
		postgresqlv1.GroupVersion.WithKind("Cluster"), postgresqlv1.GroupVersion.WithKind("ClusterTerm"),
		core.WithKind("Pod"), core.WithKind("PersistentVolumeClaim"), core.WithKind("Secret"), core.WithKind("ConfigMap"),
		core.WithKind("Service"), core.WithKind("ServiceAccount"), rbac.WithKind("Role"), rbac.WithKind("RoleBinding"),
		{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"},
	}
}

func (w *world) objects(t *testing.T) []*unstructured.Unstructured {
	t.Helper()

	var objects []*unstructured.Unstructured

	for _, kind := range kinds() {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind)

		if err := w.server.Client.List(t.Context(), list, client.InNamespace(w.namespace)); err != nil {
			t.Fatalf("list %s: %v", kind.Kind, err)
		}

		for i := range list.Items {
			objects = append(objects, &list.Items[i])
		}
	}

	return objects
}

func (w *world) wantReady(t *testing.T) {
	t.Helper()

	c := w.cluster(t)
	if !meta.IsStatusConditionTrue(c.Status.Conditions, postgresqlv1.ConditionReady) || c.Status.ReadyInstances != c.Spec.Instances {
		t.Fatalf("the Cluster is not ready: %d of %d; %s", c.Status.ReadyInstances, c.Spec.Instances, conditions(c))
	}
}

// wantStalled demands the condition Stalled with a reason and a part of its message.
func (w *world) wantStalled(t *testing.T, reason, message string) {
	t.Helper()

	condition := meta.FindStatusCondition(w.cluster(t).Status.Conditions, postgresqlv1.ConditionStalled)
	if condition == nil || condition.Status != metav1.ConditionTrue {
		t.Fatalf("not stalled: %s", conditions(w.cluster(t)))
	}

	if condition.Reason != reason || !strings.Contains(condition.Message, message) {
		t.Errorf("stalled for %s: %s\nwant %s: %s", condition.Reason, condition.Message, reason, message)
	}
}

func (w *world) pods(t *testing.T) map[string]corev1.Pod {
	t.Helper()

	var list corev1.PodList
	if err := w.server.Client.List(t.Context(), &list, client.InNamespace(w.namespace), client.HasLabels{naming.LabelInstance}); err != nil {
		t.Fatalf("list pods: %v", err)
	}

	pods := map[string]corev1.Pod{}
	for _, pod := range list.Items {
		pods[pod.Name] = pod
	}

	return pods
}

func conditions(c *postgresqlv1.Cluster) string {
	var all []string
	for _, condition := range c.Status.Conditions {
		all = append(all, fmt.Sprintf("%s=%s (%s: %s)", condition.Type, condition.Status, condition.Reason, condition.Message))
	}

	return strings.Join(all, "; ")
}

func tail(lines []string) []string { return lines[max(0, len(lines)-10):] }

// instances are the machine's, as a process sees them: calls that change something count as its writes.
type instances struct {
	process *crash.Process
	machine *machine.Machine
}

func (i *instances) Status(ctx context.Context, target instanceclient.Target) (instanceapi.Status, error) {
	var status instanceapi.Status

	err := i.process.Read(func() (err error) {
		status, err = i.machine.Status(ctx, target)

		return err
	})

	return status, err
}

func (i *instances) PutConfig(ctx context.Context, target instanceclient.Target, encoded []byte) error {
	return i.process.Write("configure "+target.Name, func() error { return i.machine.PutConfig(ctx, target, encoded) })
}

func (i *instances) Restart(ctx context.Context, target instanceclient.Target, request instanceapi.RestartRequest) error {
	return i.process.Write("restart "+target.Name, func() error { return i.machine.Restart(ctx, target, request) })
}

func (i *instances) Switchover(ctx context.Context, target instanceclient.Target, request instanceapi.SwitchoverRequest) error {
	return i.process.Write("switch over from "+target.Name, func() error { return i.machine.Switchover(ctx, target, request) })
}

// recorder keeps events.
type recorder struct{ notes []string }

// Eventf keeps an event.
//
//nolint:revive // the interface has this many arguments
func (r *recorder) Eventf(_, _ runtime.Object, eventType, reason, action, note string, args ...any) {
	r.notes = append(r.notes, eventType+" "+reason+" "+action+": "+fmt.Sprintf(note, args...))
}

// deleteCluster deletes the Cluster and, in the garbage collector's place, all that it owns.
func (w *world) deleteCluster(t *testing.T) {
	t.Helper()

	owner := w.cluster(t)
	if err := w.server.Client.Delete(t.Context(), owner); err != nil {
		t.Fatalf("delete cluster: %v", err)
	}

	for _, object := range w.objects(t) {
		if reference := metav1.GetControllerOf(object); reference == nil || reference.UID != owner.UID {
			continue
		}

		if err := w.server.Client.Delete(t.Context(), object); client.IgnoreNotFound(err) != nil {
			t.Fatalf("collect %s %s: %v", object.GetKind(), object.GetName(), err)
		}
	}

	// The kubelets stop the pods.
	for range 3 {
		if _, err := w.machine.Turn(t.Context()); err != nil {
			t.Fatalf("machine: %v", err)
		}
	}
}
