package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// databaseTimeout is generous: MySQL takes a while to initialize on two cores.
const databaseTimeout = 6 * time.Minute

// waitConditions waits for an object to be Ready.
func (f *fixture) waitConditions(t *testing.T, object client.Object, conditions func() []metav1.Condition) {
	t.Helper()

	kube.Eventually(t, databaseTimeout, fmt.Sprintf("%T %s is ready", object, object.GetName()), func(ctx context.Context) error {
		if err := f.Client.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}

		if !meta.IsStatusConditionTrue(conditions(), "Ready") {
			return fmt.Errorf("conditions: %v", conditions())
		}

		return nil
	})
}

// smallPods are the resources of a small pod, for a manifest of the source documents.
const smallPods = "resources: {requests: {cpu: 20m, memory: 128Mi}, limits: {memory: 384Mi}}"

// TestPostgreSQLKinds: the documents' manifest and check, a database in the Cluster, and its end.
func TestPostgreSQLKinds(t *testing.T) {
	t.Parallel()

	f := newFixture(t, "databases")
	f.name = "test-db"

	f.applyDocument(t, "postgresql-test-db.yaml", fmt.Sprintf(`
metadata: {labels: {platform: shop}}
spec: {version: %q, storageClass: %q, %s}`, mainMajor, f.environment.storageClass, smallPods))

	printed := f.terminal(t).run(t, `
		kubectl wait --for=condition=Ready postgresql/test-db --timeout=300s
		kubectl exec test-db-0 -- psql -U postgres -c "SELECT version();"`)
	if !strings.Contains(printed, "PostgreSQL "+mainMajor) {
		t.Errorf("another version than %s", mainMajor)
	}

	server := &databasev1.PostgreSQL{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: f.name}}
	if err := f.Client.Get(t.Context(), client.ObjectKeyFromObject(server), server); err != nil {
		t.Fatal(err)
	}

	if server.Status.Primary != "test-db-0" || server.Status.ReadyReplicas != 1 || server.Status.SecretName != "test-db-app" {
		t.Errorf("status is %+v", server.Status)
	}

	pods := &corev1.PodList{}
	if err := f.Client.List(t.Context(), pods, client.InNamespace(f.namespace), client.MatchingLabels{"platform": "shop"}); err != nil || len(pods.Items) != 1 {
		t.Errorf("%d pods have the object's label (%v), want 1", len(pods.Items), err)
	}

	database := &postgresqlv1.Database{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "orders"},
		Spec: postgresqlv1.DatabaseSpec{
			Cluster: &postgresqlv1.LocalObjectReference{Name: f.name}, ReclaimPolicy: postgresqlv1.DatabaseReclaimDelete,
			Extensions: []postgresqlv1.DatabaseExtension{{Name: "pg_trgm"}}, Schemas: []postgresqlv1.DatabaseSchema{{Name: "monthly"}},
		},
	}
	f.create(t, database)
	f.waitConditions(t, database, func() []metav1.Condition { return database.Status.Conditions })

	if got := f.sql(t, "test-db-0", "orders", "SELECT string_agg(nspname, ',') FROM pg_namespace WHERE nspname = 'monthly'"); got != "monthly" {
		t.Errorf("schemas: %q", got)
	}

	secret := &corev1.Secret{}
	if err := f.Client.Get(t.Context(), client.ObjectKey{Namespace: f.namespace, Name: "orders-app"}, secret); err != nil {
		t.Fatal(err)
	}

	// A node's kube-proxy refuses connections to a Service until it has seen its first endpoint, which may be a second after everybody else.
	kube.Eventually(t, time.Minute, "the Secret's uri connects", func(ctx context.Context) error {
		out, err := f.Exec(ctx, kube.Container{Namespace: f.namespace, Pod: "test-db-0"}, "psql", string(secret.Data["uri"]), "-Atc", "SELECT current_user")
		if err == nil && out != "orders" {
			return fmt.Errorf("with the Secret's uri one is %q", out)
		}

		return err
	})

	if err := f.Client.Delete(t.Context(), database); err != nil {
		t.Fatal(err)
	}

	f.waitSQL(t, "test-db-0", "postgres", "SELECT count(*) FROM pg_database d FULL JOIN pg_roles r ON r.rolname = d.datname WHERE 'orders' IN (d.datname, r.rolname)", "0")

	if err := f.Client.Delete(t.Context(), server); err != nil {
		t.Fatal(err)
	}

	kube.Eventually(t, databaseTimeout, "the pod is gone, and the volume is not", func(ctx context.Context) error {
		err := f.Client.Get(ctx, client.ObjectKey{Namespace: f.namespace, Name: "test-db-0"}, &corev1.Pod{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("pod: %w", err)
		}

		return f.Client.Get(ctx, client.ObjectKey{Namespace: f.namespace, Name: "test-db-0"}, &corev1.PersistentVolumeClaim{})
	})
}

// TestDatabaseOfTheDocuments brings up a Database with a Cluster of its own, and uses its connection.
func TestDatabaseOfTheDocuments(t *testing.T) {
	t.Parallel()

	f := newFixture(t, "database")
	f.name = "example-database"

	object := f.applyDocument(t, "database-example-database.yaml", fmt.Sprintf(`
spec: {version: %q, image: %q, storage: 1Gi, %s}`, mainMajor, image(mainMajor), smallPods))
	f.terminal(t).run(t, `
		kubectl wait --for=condition=Ready database/example-database --timeout=300s
		kubectl get databases`)

	database := &postgresqlv1.Database{}
	if err := f.Client.Get(t.Context(), client.ObjectKeyFromObject(object), database); err != nil {
		t.Fatal(err)
	}

	uri := f.secret(t, database.Status.SecretName)["uri"]

	// The nodes learn a moment later where a Service leads.
	kube.Eventually(t, time.Minute, "the Secret's uri leads to PostgreSQL "+mainMajor, func(ctx context.Context) error {
		out, err := f.Exec(ctx, f.container("example-database-0"), "psql", uri, "-Atc", "SHOW server_version")
		if err == nil && !strings.HasPrefix(out, mainMajor+".") {
			err = errors.New("it is " + out)
		}

		return err
	})
}

// TestMySQL: three members form a group; another takes over from a primary that is killed; after all were down, what was
// written is there.
func TestMySQL(t *testing.T) {
	longOnly(t)
	t.Parallel()

	f := newFixture(t, "mysql")
	f.name = "shop"
	three := int32(3)

	server := &databasev1.MySQL{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: f.name},
		Spec: databasev1.MySQLSpec{
			Storage: "1Gi", StorageClass: &f.environment.storageClass, Replicas: &three,
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("20m"), corev1.ResourceMemory: resource.MustParse("256Mi")},
				Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")},
			},
		},
	}
	ready := func(t *testing.T) {
		t.Helper()
		f.waitConditions(t, server, func() []metav1.Condition { return server.Status.Conditions })
	}

	f.create(t, server)
	ready(t)

	f.mysql(t, "CREATE TABLE IF NOT EXISTS app.kept (answer INT PRIMARY KEY); REPLACE INTO app.kept VALUES (42)")

	former := server.Status.Primary
	zero := int64(0)

	// The pod and its processes, at once.
	err := f.Client.Delete(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: former}}, &client.DeleteOptions{GracePeriodSeconds: &zero})
	if err != nil {
		t.Fatal(err)
	}

	kube.Eventually(t, databaseTimeout, "another primary", func(ctx context.Context) error {
		if err := f.Client.Get(ctx, client.ObjectKeyFromObject(server), server); err != nil {
			return err
		}

		if server.Status.Primary == "" || server.Status.Primary == former {
			return errors.New("the primary is " + server.Status.Primary)
		}

		return nil
	})
	f.mysql(t, "REPLACE INTO app.kept VALUES (43)")
	ready(t)

	// All at once: nobody is left to join.
	err = f.Client.DeleteAllOf(t.Context(), &corev1.Pod{}, client.InNamespace(f.namespace), client.MatchingLabels{naming.LabelMySQL: f.name})
	if err != nil {
		t.Fatal(err)
	}

	kube.Eventually(t, databaseTimeout, "it is seen that they are gone", func(ctx context.Context) error {
		if err := f.Client.Get(ctx, client.ObjectKeyFromObject(server), server); err != nil {
			return err
		}

		if meta.IsStatusConditionTrue(server.Status.Conditions, "Ready") {
			return errors.New("it is ready")
		}

		return nil
	})
	ready(t)

	if got := f.mysql(t, "SELECT COUNT(*) FROM app.kept"); got != "2" {
		t.Errorf("%s rows are left of 2", got)
	}
}

// mysql runs SQL as the application, over TLS by way of the service that leads to the primary.
func (f *fixture) mysql(t *testing.T, statements string) string {
	t.Helper()

	secret := &corev1.Secret{}
	if err := f.Client.Get(t.Context(), client.ObjectKey{Namespace: f.namespace, Name: f.name + "-app"}, secret); err != nil {
		t.Fatal(err)
	}

	var out string

	kube.Eventually(t, databaseTimeout, "MySQL takes "+statements, func(ctx context.Context) error {
		pods := &corev1.PodList{}
		if err := f.Client.List(ctx, pods, client.InNamespace(f.namespace), client.MatchingLabels{naming.LabelMySQL: f.name}); err != nil {
			return err
		}

		for _, pod := range pods.Items {
			if pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning {
				continue
			}

			var err error
			out, err = f.Exec(ctx, kube.Container{Namespace: f.namespace, Pod: pod.Name}, "env", "MYSQL_PWD="+string(secret.Data["password"]),
				"mysql", "--host="+string(secret.Data["host"]), "--user="+string(secret.Data["username"]), "--ssl-mode=REQUIRED",
				"--connect-timeout=5", "-BN", "-e", statements)

			return err
		}

		return errors.New("no pod runs")
	})

	return out
}
