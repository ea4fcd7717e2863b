package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// readyTimeout is generous: what is fast is measured where nothing else runs, see TestQuiet.
const readyTimeout = 3 * time.Minute

// fixture is a namespace of one test and the Cluster "db" in it.
type fixture struct {
	*kube.Kube

	environment environment
	namespace   string
	// name of the Cluster.
	name string
}

func newFixture(t *testing.T, prefix string) *fixture {
	t.Helper()

	k := testEnvironment.kube

	// What never came may be the operator's doing: on a starved machine it loses its lease, and starts again and again.
	t.Cleanup(func() {
		if t.Failed() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()

			k.Dump(ctx, t, testEnvironment.namespace)
		}
	})

	return &fixture{Kube: k, environment: testEnvironment, namespace: k.Namespace(t, prefix), name: "db"}
}

// longOnly leaves a test to `make test-all`: it takes long, or has not been seen to pass often enough to stand in the way.
func longOnly(t *testing.T) {
	t.Helper()

	if !testEnvironment.long {
		t.Skip("runs with CARETAKER_E2E_LONG=1, as in make test-all")
	}
}

// step is a part of a test that later ones build on. It is given what it works with.
func step[T any](t *testing.T, with T, name string, run func(*testing.T, T)) {
	t.Helper()

	if !t.Run(name, func(t *testing.T) { run(t, with) }) {
		t.FailNow()
	}
}

// newCluster is a Cluster of small pods.
func (f *fixture) newCluster(instances int32, change ...func(*postgresqlv1.ClusterSpec)) *postgresqlv1.Cluster {
	cluster := &postgresqlv1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: f.name},
		Spec: postgresqlv1.ClusterSpec{
			Instances: instances,
			ImageName: image(mainMajor),
			Storage:   postgresqlv1.StorageConfiguration{Size: "1Gi"},
			// On a starved machine nobody answers for seconds (7 were seen); TestFailover goes by the defaults.
			Failover: &postgresqlv1.FailoverConfiguration{
				HeartbeatInterval: &metav1.Duration{Duration: 4 * time.Second}, Promise: &metav1.Duration{Duration: 16 * time.Second},
			},
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{
					corev1.ResourceCPU: resource.MustParse("20m"), corev1.ResourceMemory: resource.MustParse("128Mi"),
				},
				Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("384Mi")},
			},
		},
	}
	if f.environment.storageClass != "" {
		cluster.Spec.Storage.StorageClass = &f.environment.storageClass
	}

	for _, c := range change {
		c(&cluster.Spec)
	}

	return cluster
}

func (f *fixture) create(t *testing.T, object client.Object) {
	t.Helper()

	if err := f.Client.Create(t.Context(), object); err != nil {
		t.Fatalf("create %T %s: %v", object, object.GetName(), err)
	}
}

// start creates a Cluster and waits until it is ready.
func (f *fixture) start(t *testing.T, cluster *postgresqlv1.Cluster) {
	t.Helper()
	f.create(t, cluster)
	f.waitReady(t)
}

func (f *fixture) get(ctx context.Context) (*postgresqlv1.Cluster, error) {
	cluster := &postgresqlv1.Cluster{}
	err := f.Client.Get(ctx, client.ObjectKey{Namespace: f.namespace, Name: f.name}, cluster)

	return cluster, err
}

func (f *fixture) cluster(t *testing.T) *postgresqlv1.Cluster {
	t.Helper()

	cluster, err := f.get(t.Context())
	if err != nil {
		t.Fatalf("get cluster: %v", err)
	}

	return cluster
}

// change the Cluster as a user would.
func (f *fixture) change(t *testing.T, mutate func(*postgresqlv1.Cluster)) {
	t.Helper()

	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		cluster, err := f.get(t.Context())
		if err != nil {
			return err
		}

		mutate(cluster)

		return f.Client.Update(t.Context(), cluster)
	})
	if err != nil {
		t.Fatalf("change cluster: %v", err)
	}
}

func (f *fixture) annotate(t *testing.T, annotation, value string) {
	t.Helper()
	f.change(t, func(cluster *postgresqlv1.Cluster) {
		metav1.SetMetaDataAnnotation(&cluster.ObjectMeta, annotation, value)
	})
}

func (f *fixture) setParameter(t *testing.T, name, value string) {
	t.Helper()
	f.change(t, func(cluster *postgresqlv1.Cluster) {
		if cluster.Spec.PostgreSQL.Parameters == nil {
			cluster.Spec.PostgreSQL.Parameters = map[string]string{}
		}

		cluster.Spec.PostgreSQL.Parameters[name] = value
	})
}

// ready says why the Cluster is not ready; nil if it is, for its current generation.
func ready(cluster *postgresqlv1.Cluster) error {
	condition := meta.FindStatusCondition(cluster.Status.Conditions, postgresqlv1.ConditionReady)

	switch {
	case condition == nil:
		return fmt.Errorf("no condition Ready yet")
	case cluster.Status.ObservedGeneration != cluster.Generation:
		return fmt.Errorf("status is of generation %d, not %d", cluster.Status.ObservedGeneration, cluster.Generation)
	case condition.Status != metav1.ConditionTrue:
		return fmt.Errorf("Ready is %s: %s: %s", condition.Status, condition.Reason, condition.Message)
	case cluster.Status.ReadyInstances != cluster.Spec.Instances || cluster.Status.Instances != cluster.Spec.Instances:
		return fmt.Errorf("Ready with %d of %d instances", cluster.Status.ReadyInstances, cluster.Status.Instances)
	default:
		return nil
	}
}

func (f *fixture) waitReady(t *testing.T) {
	t.Helper()
	f.waitReadyWithin(t, readyTimeout)
}

func (f *fixture) waitReadyWithin(t *testing.T, timeout time.Duration) {
	t.Helper()
	kube.Eventually(t, timeout, "cluster "+f.name+" is ready", func(ctx context.Context) error {
		cluster, err := f.get(ctx)
		if err != nil {
			return err
		}

		return errors.Join(ready(cluster), f.current(ctx, cluster))
	})
}

// current says whether the status knows who leads: the instances write the record, and the operator, which may not have run, what
// became of it.
func (f *fixture) current(ctx context.Context, cluster *postgresqlv1.Cluster) error {
	record := &postgresqlv1.ClusterTerm{}
	if err := f.Client.Get(ctx, client.ObjectKey{Namespace: f.namespace, Name: naming.ClusterTerm(f.name)}, record); err != nil {
		return client.IgnoreNotFound(err)
	}

	if told := cluster.Status.Term; told != record.Spec.Term {
		return fmt.Errorf("the status is of term %d, the record of %d", told, record.Spec.Term)
	}

	return nil
}

// waitCondition waits for a condition that is True, with a reason and a part of its message.
func (f *fixture) waitCondition(t *testing.T, conditionType, reason, message string) {
	t.Helper()
	kube.Eventually(t, time.Minute, conditionType+" with reason "+reason, func(ctx context.Context) error {
		cluster, err := f.get(ctx)
		if err != nil {
			return err
		}

		condition := meta.FindStatusCondition(cluster.Status.Conditions, conditionType)
		if condition == nil {
			return fmt.Errorf("no such condition; there are %s", conditionsOf(cluster))
		}

		if condition.Status != metav1.ConditionTrue || condition.Reason != reason || !strings.Contains(condition.Message, message) {
			return fmt.Errorf("%s is %s: %s: %s", conditionType, condition.Status, condition.Reason, condition.Message)
		}

		return nil
	})
}

func conditionsOf(cluster *postgresqlv1.Cluster) string {
	var all []string
	for _, c := range cluster.Status.Conditions {
		all = append(all, fmt.Sprintf("%s=%s (%s: %s)", c.Type, c.Status, c.Reason, c.Message))
	}

	return strings.Join(all, "; ")
}

// pods of the Cluster by name.
func (f *fixture) pods(t *testing.T) map[string]corev1.Pod {
	t.Helper()

	var list corev1.PodList

	err := f.Client.List(t.Context(), &list, client.InNamespace(f.namespace), client.MatchingLabels(naming.SelectorLabels(f.name)))
	if err != nil {
		t.Fatalf("list pods: %v", err)
	}

	pods := map[string]corev1.Pod{}
	for _, pod := range list.Items {
		pods[pod.Name] = pod
	}

	return pods
}

// instances are the names of the Cluster's members as its status has them.
func (f *fixture) instances(t *testing.T) []string {
	t.Helper()

	var names []string
	for _, member := range f.cluster(t).Status.Members {
		names = append(names, member.Name)
	}

	slices.Sort(names)

	return names
}

func (f *fixture) primary(t *testing.T) string {
	t.Helper()

	primary := f.cluster(t).Status.Primary
	if primary == "" {
		t.Fatal("status names no primary")
	}

	return primary
}

// replicas are the names of all instances but the primary.
func (f *fixture) replicas(t *testing.T) []string {
	t.Helper()

	primary := f.primary(t)

	return slices.DeleteFunc(f.instances(t), func(name string) bool { return name == primary })
}

func (f *fixture) container(instance string) kube.Container {
	return kube.Container{Namespace: f.namespace, Pod: instance, Container: "postgres"}
}

// trySQL runs SQL in an instance, as the superuser over the local socket.
func (f *fixture) trySQL(ctx context.Context, instance, database, sql string) (string, error) {
	return f.Exec(ctx, f.container(instance), "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql)
}

func (f *fixture) sql(t *testing.T, instance, database, sql string) string {
	t.Helper()

	out, err := f.trySQL(t.Context(), instance, database, sql)
	if err != nil {
		t.Fatalf("SQL %q: %v", sql, err)
	}

	return out
}

// waitSQL waits until SQL gives a result.
func (f *fixture) waitSQL(t *testing.T, instance, database, sql, want string) {
	t.Helper()
	kube.Eventually(t, readyTimeout, fmt.Sprintf("%q on %s gives %q", sql, instance, want), func(ctx context.Context) error {
		got, err := f.trySQL(ctx, instance, database, sql)
		if err != nil {
			return err
		}

		if got != want {
			return fmt.Errorf("it gives %q", got)
		}

		return nil
	})
}

// postmasterStarts are the moments when PostgreSQL was started, by instance.
func (f *fixture) postmasterStarts(t *testing.T) map[string]string {
	t.Helper()

	starts := map[string]string{}
	for _, instance := range f.instances(t) {
		starts[instance] = f.sql(t, instance, "postgres", "SELECT pg_postmaster_start_time()")
	}

	return starts
}

// podUIDs by instance.
func (f *fixture) podUIDs(t *testing.T) map[string]string {
	t.Helper()

	uids := map[string]string{}
	for name, pod := range f.pods(t) {
		uids[name] = string(pod.UID)
	}

	return uids
}

// memberIDs by instance, from status.
func (f *fixture) memberIDs(t *testing.T) map[string]string {
	t.Helper()

	ids := map[string]string{}
	for _, member := range f.cluster(t).Status.Members {
		ids[member.Name] = member.MemberID
	}

	return ids
}

func (f *fixture) secret(t *testing.T, name string) map[string]string {
	t.Helper()

	secret := &corev1.Secret{}
	if err := f.Client.Get(t.Context(), client.ObjectKey{Namespace: f.namespace, Name: name}, secret); err != nil {
		t.Fatalf("get secret %s: %v", name, err)
	}

	data := map[string]string{}
	for key, value := range secret.Data {
		data[key] = string(value)
	}

	return data
}

func (f *fixture) setSecret(t *testing.T, name string, data map[string]string) {
	t.Helper()

	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: name}, StringData: data}

	err := f.Client.Create(t.Context(), secret)
	if !apierrors.IsAlreadyExists(err) {
		if err != nil {
			t.Fatalf("create secret %s: %v", name, err)
		}

		return
	}

	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		if err := f.Client.Get(t.Context(), client.ObjectKeyFromObject(secret), secret); err != nil {
			return err
		}

		for key, value := range data {
			secret.Data[key] = []byte(value)
		}

		return f.Client.Update(t.Context(), secret)
	})
	if err != nil {
		t.Fatalf("update secret %s: %v", name, err)
	}
}

// restrictedPod is a pod of the PostgreSQL image that does nothing, for psql.
func restrictedPod(namespace, name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: ptr.To[int64](0),
			AutomountServiceAccountToken:  new(false),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), RunAsUser: ptr.To[int64](999), RunAsGroup: ptr.To[int64](999),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "client", Image: image(mainMajor), Command: []string{"sleep", "86400"},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false),
					Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
}
