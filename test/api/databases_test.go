package api

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/database"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/instanceclient"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/postgresql"
	"github.com/caretaker-dev/caretaker/internal/postgresql/shortform"
	"github.com/caretaker-dev/caretaker/test/internal/apiserver"
	"github.com/caretaker-dev/caretaker/test/internal/crash"
)

// shortWorld is a namespace with one object "shop" of a short kind, its real Reconciler, and in place of the other
// controllers and of kubelets a function that does what they would do.
type shortWorld struct {
	server    *apiserver.Server
	namespace string
	events    *recorder
	kinds     []schema.GroupVersionKind
	make      func(t *testing.T, process *crash.Process) reconciler
	// others moves on what is not the Reconciler's; true if something moved.
	others func(t *testing.T) bool
}

type reconciler interface {
	Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error)
}

func (w *shortWorld) Client() client.WithWatch { return w.server.Client }

func (w *shortWorld) Run(t *testing.T, process *crash.Process) {
	t.Helper()

	r := w.make(t, process)
	ctx, cancel := process.Context(t.Context())

	defer cancel()

	quiet := 0
	for range maxPasses {
		before := len(process.Writes())

		_, err := r.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKey{Namespace: w.namespace, Name: "shop"}})
		if process.IsDead() {
			return
		}

		if err != nil && !apierrors.IsConflict(err) {
			t.Fatalf("reconcile: %v", err)
		}

		quiet++
		if w.others(t) || err != nil || len(process.Writes()) > before {
			quiet = 0
		}

		if quiet == 2 {
			return
		}
	}

	t.Fatalf("it does not come to rest; last writes: %v", tail(process.Writes()))
}

func (w *shortWorld) settle(t *testing.T) {
	t.Helper()
	w.Run(t, crash.NewProcess(w.server.Client, 0))
}

func (w *shortWorld) State(t *testing.T) map[string]string {
	t.Helper()

	var objects []*unstructured.Unstructured

	for _, kind := range w.kinds {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind)

		if err := w.server.Client.List(t.Context(), list, client.InNamespace(w.namespace)); err != nil {
			t.Fatalf("list %s: %v", kind.Kind, err)
		}

		for i := range list.Items {
			objects = append(objects, &list.Items[i])
		}
	}

	state, err := crash.Normalise(objects, map[string]string{w.namespace: "<namespace>"})
	if err != nil {
		t.Fatal(err)
	}

	return state
}

func (w *shortWorld) create(t *testing.T, object client.Object) {
	t.Helper()
	object.SetNamespace(w.namespace)
	object.SetName("shop")

	if err := w.server.Client.Create(t.Context(), object); err != nil {
		t.Fatalf("create %T: %v", object, err)
	}
}

func (w *shortWorld) get(t *testing.T, name string, into client.Object) bool {
	t.Helper()

	err := w.server.Client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, into)
	if apierrors.IsNotFound(err) {
		return false
	}

	if err != nil {
		t.Fatalf("get %T %s: %v", into, name, err)
	}

	return true
}

// wantCondition demands a condition, with a part of its message.
func wantCondition(t *testing.T, all []metav1.Condition, kind, reason, message string) {
	t.Helper()

	found := meta.FindStatusCondition(all, kind)
	if found == nil || found.Reason != reason || !strings.Contains(found.Message, message) {
		t.Errorf("%s is %+v, want %s: %s", kind, found, reason, message)
	}
}

func newShortWorld(t *testing.T, kinds ...schema.GroupVersionKind) *shortWorld {
	t.Helper()

	server := suite.Server(t)

	return &shortWorld{server: server, namespace: server.Namespace(t), events: &recorder{}, kinds: kinds, others: func(*testing.T) bool { return false }}
}

func serverDefaults() shortform.Defaults {
	return shortform.Defaults{Version: "18", Images: map[string]string{"17": "postgres:17", "18": "postgres:18"}}
}

// clusterTurnsReady is the Cluster controller, which is tested elsewhere.
func (w *shortWorld) clusterTurnsReady(t *testing.T) bool {
	t.Helper()

	cluster := &postgresqlv1.Cluster{}
	if !w.get(t, "shop", cluster) || cluster.Status.ObservedGeneration == cluster.Generation {
		return false
	}

	cluster.Status = postgresqlv1.ClusterStatus{
		ObservedGeneration: cluster.Generation, Instances: cluster.Spec.Instances, ReadyInstances: cluster.Spec.Instances,
		Primary: "shop-0", Major: 17, Version: "17.5", SystemID: "7",
		Conditions: []metav1.Condition{{
			Type: postgresqlv1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Ready", Message: "ready",
			LastTransitionTime: metav1.Unix(1, 0),
		}},
	}

	if err := w.server.Client.Status().Update(t.Context(), cluster); err != nil {
		t.Fatalf("write the Cluster's status: %v", err)
	}

	return true
}

func newPostgreSQLWorld(t *testing.T) *shortWorld {
	t.Helper()

	w := newShortWorld(t, postgresqlv1.GroupVersion.WithKind("Cluster"), databasev1.GroupVersion.WithKind("PostgreSQL"))
	w.others = w.clusterTurnsReady
	w.make = func(t *testing.T, process *crash.Process) reconciler {
		t.Helper()

		r, err := postgresql.New(process.Client(), process.Client(), postgresql.Options{
			Defaults: postgresql.Defaults{Defaults: serverDefaults()}, Clock: clock.RealClock{}, Recorder: w.events,
		})
		if err != nil {
			t.Fatal(err)
		}

		return r
	}

	return w
}

func newPostgreSQL() *databasev1.PostgreSQL {
	return &databasev1.PostgreSQL{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"platform": "shop"}},
		Spec:       databasev1.PostgreSQLSpec{Version: "17", Storage: "1Gi"},
	}
}

// TestPostgreSQL: from the manifest to the status, and what becomes of changes.
func TestPostgreSQL(t *testing.T) {
	t.Parallel()

	w := newPostgreSQLWorld(t)
	w.create(t, newPostgreSQL())
	w.settle(t)

	object, cluster := &databasev1.PostgreSQL{}, &postgresqlv1.Cluster{}
	w.get(t, "shop", object)
	w.get(t, "shop", cluster)

	if object.Status.Primary != "shop-0" || object.Status.SecretName != "shop-app" || !meta.IsStatusConditionTrue(object.Status.Conditions, "Ready") {
		t.Errorf("status is %+v", object.Status)
	}

	if cluster.Spec.ImageName != "postgres:17" || cluster.Spec.InheritedMetadata.Labels["platform"] != "shop" {
		t.Errorf("the Cluster's spec is %+v", cluster.Spec)
	}

	// What others set on the Cluster stays, what is ours is put right.
	cluster.Spec.PostgreSQL.Parameters = map[string]string{"work_mem": "8MB"}
	cluster.Spec.Instances = 4

	if err := w.server.Client.Update(t.Context(), cluster); err != nil {
		t.Fatal(err)
	}

	w.settle(t)
	w.get(t, "shop", cluster)

	if cluster.Spec.Instances != 1 || cluster.Spec.PostgreSQL.Parameters["work_mem"] != "8MB" {
		t.Errorf("instances %d, parameters %v", cluster.Spec.Instances, cluster.Spec.PostgreSQL.Parameters)
	}

	// Another major is refused, and changes nothing.
	w.get(t, "shop", object)
	object.Spec.Version = "18"
	object.Spec.Backup = &databasev1.BackupSpec{Enabled: true, Schedule: "0 2 * * *"}

	if err := w.server.Client.Update(t.Context(), object); err != nil {
		t.Fatal(err)
	}

	before := cluster.ResourceVersion

	w.settle(t)
	w.get(t, "shop", object)
	w.get(t, "shop", cluster)
	wantCondition(t, object.Status.Conditions, "Stalled", postgresqlv1.ReasonMajorVersionChange, `set it back to "17"`)
	wantCondition(t, object.Status.Conditions, databasev1.ConditionBackup, databasev1.ReasonDestinationMissing, "database.backup.destination")

	if cluster.ResourceVersion != before {
		t.Error("the Cluster was written to")
	}
}

// TestPostgreSQLLeavesClustersAlone that were not made for it.
func TestPostgreSQLLeavesClustersAlone(t *testing.T) {
	t.Parallel()

	w := newPostgreSQLWorld(t)
	w.create(t, &postgresqlv1.Cluster{Spec: postgresqlv1.ClusterSpec{Instances: 3, Storage: postgresqlv1.StorageConfiguration{Size: "5Gi"}}})
	w.create(t, newPostgreSQL())
	w.settle(t)

	object, cluster := &databasev1.PostgreSQL{}, &postgresqlv1.Cluster{}
	w.get(t, "shop", object)
	w.get(t, "shop", cluster)
	wantCondition(t, object.Status.Conditions, "Stalled", shortform.ReasonClusterNotOwned, "Choose another metadata.name")

	if cluster.Spec.Instances != 3 || len(cluster.OwnerReferences) > 0 {
		t.Errorf("the Cluster was taken over: %+v", cluster.Spec)
	}
}

// primary is PID 1 of a primary: what it was asked for last, and the roles that it has made.
type primary struct {
	process *crash.Process
	roles   map[string]string
	dropped []string
	refuses string
}

func (p *primary) EnsureDatabase(_ context.Context, target instanceclient.Target, request instanceapi.DatabaseRequest) (instanceapi.DatabaseReport, error) {
	report := instanceapi.DatabaseReport{Owner: request.DefaultOwner, OwnerManaged: true, SystemID: "7"}

	if target.Address == "" || len(target.ServerCA) == 0 || len(target.ClientCert) == 0 {
		return report, errors.New("the target lacks what it is reached by")
	}

	if p.refuses != "" {
		return report, &instanceclient.RefusedError{Instance: target.Name, StatusCode: 422, Message: p.refuses}
	}

	have, exists := p.roles[request.DefaultOwner]
	if exists && (request.OwnerPassword == "" || have == request.OwnerPassword) {
		return report, nil
	}

	return report, p.process.Write("ensure "+request.Name, func() error {
		p.roles[request.DefaultOwner] = request.OwnerPassword

		return nil
	})
}

func (p *primary) DropDatabase(_ context.Context, _ instanceclient.Target, request instanceapi.DropDatabaseRequest) (instanceapi.DatabaseReport, error) {
	return instanceapi.DatabaseReport{}, p.process.Write("drop "+request.Name, func() error {
		p.dropped = append(p.dropped, request.Name)

		return nil
	})
}

// newDatabaseWorld has a Cluster "main" with a primary.
func newDatabaseWorld(t *testing.T) (*shortWorld, *primary) {
	t.Helper()

	w := newShortWorld(t, postgresqlv1.GroupVersion.WithKind("Database"), corev1.SchemeGroupVersion.WithKind("Secret"))
	p := &primary{roles: map[string]string{}}

	cluster := &postgresqlv1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "main", Namespace: w.namespace}}
	cluster.Spec = postgresqlv1.ClusterSpec{Instances: 1, Storage: postgresqlv1.StorageConfiguration{Size: "1Gi"}}

	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "main-0", Namespace: w.namespace},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "postgres", Image: "postgres:17"}}},
	}
	objects := []client.Object{
		cluster, pod,
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: naming.ConfigMap("main"), Namespace: w.namespace}, Data: map[string]string{instanceapi.ServerCAKey: "CA"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: naming.SecretReplication("main"), Namespace: w.namespace}, Data: map[string][]byte{"tls.crt": []byte("C"), "tls.key": []byte("K")}},
	}

	for _, object := range objects {
		if err := w.server.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}

	cluster.Status = postgresqlv1.ClusterStatus{Primary: "main-0", SystemID: "7"}
	pod.Status.PodIP = "10.0.0.1"

	for _, object := range []client.Object{cluster, pod} {
		if err := w.server.Client.Status().Update(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}

	w.make = func(t *testing.T, process *crash.Process) reconciler {
		t.Helper()

		p.process = process

		r, err := database.New(process.Client(), process.Client(), database.Options{
			Defaults:  database.Defaults{Defaults: serverDefaults(), Replicas: 1, Storage: "1Gi"},
			Instances: p, Clock: clock.RealClock{}, Recorder: w.events,
		})
		if err != nil {
			t.Fatal(err)
		}

		return r
	}

	return w, p
}

func newDatabase(policy postgresqlv1.DatabaseReclaimPolicy) *postgresqlv1.Database {
	return &postgresqlv1.Database{Spec: postgresqlv1.DatabaseSpec{Cluster: &postgresqlv1.LocalObjectReference{Name: "main"}, ReclaimPolicy: policy}}
}

// TestDatabase: the role's password is the Secret's, a refusal is told, and the database is dropped at the end.
func TestDatabase(t *testing.T) {
	t.Parallel()

	w, p := newDatabaseWorld(t)
	w.create(t, newDatabase(postgresqlv1.DatabaseReclaimDelete))
	w.settle(t)

	object, secret := &postgresqlv1.Database{}, &corev1.Secret{}
	w.get(t, "shop", object)
	w.get(t, "shop-app", secret)
	wantCondition(t, object.Status.Conditions, "Ready", "Ready", "owner shop, in Cluster main")

	if password := string(secret.Data["password"]); password == "" || p.roles["shop"] != password || !strings.Contains(string(secret.Data["uri"]), password) {
		t.Errorf("the role has %q, the Secret %v", p.roles["shop"], secret.Data)
	}

	// A password that a person changes is set, and is in the connection strings.
	secret.Data["password"] = []byte("changed")
	if err := w.server.Client.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}

	w.settle(t)
	w.get(t, "shop-app", secret)

	if p.roles["shop"] != "changed" || !strings.Contains(string(secret.Data["uri"]), "changed") {
		t.Errorf("the role has %q, the uri is %s", p.roles["shop"], secret.Data["uri"])
	}

	p.refuses = `spec.extensions[0]: PostgreSQL says: extension "x" is not available`

	w.get(t, "shop", object)
	object.Spec.Extensions = []postgresqlv1.DatabaseExtension{{Name: "x"}}

	if err := w.server.Client.Update(t.Context(), object); err != nil {
		t.Fatal(err)
	}

	w.settle(t)
	w.get(t, "shop", object)
	wantCondition(t, object.Status.Conditions, "Stalled", postgresqlv1.ReasonDatabaseRefused, `extension "x" is not available`)

	if err := w.server.Client.Delete(t.Context(), object); err != nil {
		t.Fatal(err)
	}

	w.settle(t)

	if w.get(t, "shop", object) || !slices.Equal(p.dropped, []string{"shop"}) {
		t.Errorf("dropped %v, finalizers left %v", p.dropped, object.Finalizers)
	}
}

// TestShortKindsCrashAfterEveryWrite kills each controller after each single write.
func TestShortKindsCrashAfterEveryWrite(t *testing.T) {
	t.Parallel()

	for name, start := range map[string]func(*testing.T) crash.World{
		"PostgreSQL": func(t *testing.T) crash.World {
			t.Helper()

			w := newPostgreSQLWorld(t)
			w.create(t, newPostgreSQL())

			return w
		},
		"Database": func(t *testing.T) crash.World {
			t.Helper()

			w, _ := newDatabaseWorld(t)
			w.create(t, newDatabase(postgresqlv1.DatabaseReclaimDelete))

			return w
		},
		"MySQL": func(t *testing.T) crash.World {
			t.Helper()

			w := newMySQLWorld(t)
			w.create(t, newMySQL())

			return w
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			crash.AfterEveryWrite(t, start)
		})
	}
}
