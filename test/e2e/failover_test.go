package e2e

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// How long an application may be unable to write. The aims are a small fraction of these, see docs/benchmarks.md: here
// the machine may be busy with other things, and what is looked for is whether writes go on by themselves.
const (
	plannedGap  = 30 * time.Second
	failoverGap = time.Minute
)

// TestFailover takes the primary away in each way there is while an application writes. It runs before the parallel
// tests: the operator is stopped for a while, and a node is cordoned.
func TestFailover(t *testing.T) {
	f := newFixture(t, "failover")
	f.start(t, f.newCluster(3, func(spec *postgresqlv1.ClusterSpec) { spec.Failover = nil }))
	w := f.newWriter(t)

	step(t, w, "commits wait for a replica", synchronous)
	step(t, w, "the primary's pod is deleted by force while there is no operator", deleteByForce)
	step(t, w, "switchover by annotation", switchOver)
	step(t, w, "the primary's pod is deleted", deleteInOrder)
	step(t, w, "the primary's node is drained", drainNode)
	step(t, w, "a rolling update", rollingUpdate)
	step(t, w, "the term record is deleted", deleteRecord)
	step(t, w, "scaled down while the last one leads", scaleDownPrimary)
	step(t, w, "everything that was acknowledged is there", nothingIsLost)
	step(t, f, "the term record is deleted while it sleeps", deleteRecordAsleep)
}

// writer inserts rows through the read-write service, all the time, in a pod of its own.
type writer struct {
	*psqlClient

	rw connection
}

// What psql prints it prints when the commit was acknowledged. A session that ends, or that hangs, is followed by another.
const writerScript = `while [ ! -e /tmp/stop ]; do
  yes "INSERT INTO written DEFAULT VALUES RETURNING id || ' ' || extract(epoch FROM clock_timestamp()); SELECT FROM pg_sleep(0.02);" |
    head -n 300 | psql -XAtq -v ON_ERROR_STOP=1 -d "$1" >>/tmp/acknowledged 2>>/tmp/errors
  sleep 0.02
done
touch /tmp/stopped`

func (f *fixture) newWriter(t *testing.T) *writer {
	t.Helper()

	c := f.newClient(t)
	w := &writer{psqlClient: c, rw: c.newConnection(t, naming.ServiceReadWrite(f.name))}
	w.rw["connect_timeout"], w.rw["tcp_user_timeout"] = "2", "2000"

	c.waitSQL(t, w.rw, "CREATE TABLE IF NOT EXISTS written (id bigserial PRIMARY KEY)", "")
	c.writeFile(t, "/tmp/write.sh", writerScript)

	if _, err := c.Exec(t.Context(), c.pod, "sh", "-c", `sh /tmp/write.sh "$1" >/tmp/output 2>&1 </dev/null &`, "sh", w.rw.words()); err != nil {
		t.Fatalf("start the writer: %v", err)
	}

	return w
}

type acknowledgement struct {
	id string
	at time.Time
}

func (w *writer) acknowledged(ctx context.Context) ([]acknowledgement, error) {
	out, err := w.Exec(ctx, w.pod, "cat", "/tmp/acknowledged")
	if err != nil {
		return nil, err
	}

	var all []acknowledgement

	for line := range strings.Lines(out) {
		id, seconds, found := strings.Cut(strings.TrimSpace(line), " ")
		if !found {
			continue
		}

		at, err := strconv.ParseFloat(seconds, 64)
		if err != nil {
			return nil, fmt.Errorf("the writer wrote %q: %w", line, err)
		}

		all = append(all, acknowledgement{id: id, at: time.UnixMicro(int64(at * 1e6))})
	}

	return all, nil
}

// gapSince waits until writes go on, and gives the longest time without since a moment.
func (w *writer) gapSince(t *testing.T, since time.Time) time.Duration {
	t.Helper()

	longest, now := time.Duration(0), time.Now()

	kube.Eventually(t, readyTimeout, "writes go on", func(ctx context.Context) error {
		all, err := w.acknowledged(ctx)
		if err != nil {
			return err
		}

		if len(all) == 0 || all[len(all)-1].at.Before(now.Add(time.Second)) {
			return fmt.Errorf("%d were acknowledged, none of them lately", len(all))
		}

		longest = 0

		for i := 1; i < len(all); i++ {
			if all[i].at.After(since) {
				longest = max(longest, all[i].at.Sub(all[i-1].at))
			}
		}

		return nil
	})

	return longest
}

// changesPrimary does something to the primary, and waits until another leads and all is well again.
func (w *writer) changesPrimary(t *testing.T, bound time.Duration, do func(primary string)) {
	t.Helper()

	old, began := w.primary(t), time.Now()
	do(old)

	kube.Eventually(t, readyTimeout, "another instance than "+old+" leads", func(ctx context.Context) error {
		record := &postgresqlv1.ClusterTerm{}
		if err := w.Client.Get(ctx, client.ObjectKey{Namespace: w.namespace, Name: naming.ClusterTerm(w.name)}, record); err != nil {
			return err
		}

		if record.Spec.Primary == nil || record.Spec.Primary.Name == old || record.Spec.Pending != nil {
			return fmt.Errorf("the record says %+v", record.Spec)
		}

		return nil
	})

	gap := w.gapSince(t, began)
	t.Logf("the application could not write for %.2f s", gap.Seconds())

	if gap > bound {
		t.Errorf("the application could not write for %s; the bound is %s", gap, bound)
	}
}

func synchronous(t *testing.T, w *writer) {
	t.Helper()
	w.waitCondition(t, postgresqlv1.ConditionSyncReplication, postgresqlv1.ReasonSynchronous, "(required)")

	kube.Eventually(t, time.Minute, "both replicas count", func(ctx context.Context) error {
		got, err := w.trySQL(ctx, w.primary(t), "postgres", "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'")
		if err == nil && got != "2" {
			err = fmt.Errorf("%s do", got)
		}

		return err
	})
}

func deleteByForce(t *testing.T, w *writer) {
	t.Helper()
	w.scaleOperator(t, 0)
	t.Cleanup(func() { w.scaleOperator(t, 2) })

	old := ""

	w.changesPrimary(t, failoverGap, func(primary string) {
		old = primary

		pod := w.pods(t)[primary]
		if err := w.Client.Delete(t.Context(), &pod, client.GracePeriodSeconds(0)); err != nil {
			t.Fatalf("delete pod: %v", err)
		}
	})

	// The plugin asks the instances, where nobody has written down yet who leads.
	terminal := w.terminal(t)
	terminal.waitStatus(t, `Cluster db .* serves, but not all is well: 2 of 3 instances serve\.`,
		`db-\d +primary +yes +Running .*- +- +- +\d+% of .*`, `  - db-\d says that it leads, the Cluster's status names `+old+`: .*`, `.* kubectl get pods -A -l app.kubernetes.io/name=caretaker`)

	// The service follows, too: nobody but the instances could have changed the labels.
	if got := w.sql(t, w.rw, "SELECT pg_is_in_recovery()"); got != "f" {
		t.Errorf("the service -rw leads to a standby")
	}

	w.scaleOperator(t, 2)
	w.waitReady(t)
	// On a starved machine there may have been another one meanwhile.
	terminal.waitStatus(t, `  Last failover: +\d+[sm] ago: db-\d took over from db-\d, term \d+.*`)
}

// scaleOperator changes the number of the operator's pods and waits until it is so.
func (f *fixture) scaleOperator(t *testing.T, replicas int32) {
	t.Helper()

	// Also while a test ends.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), readyTimeout)
	defer cancel()

	deployment := &appsv1.Deployment{}
	key := client.ObjectKey{Namespace: f.environment.namespace, Name: f.environment.deployment}

	if err := f.Client.Get(ctx, key, deployment); err != nil {
		t.Fatalf("get the operator's deployment: %v", err)
	}

	patch := client.MergeFrom(deployment.DeepCopy())
	deployment.Spec.Replicas = &replicas

	if err := f.Client.Patch(ctx, deployment, patch); err != nil {
		t.Fatalf("scale the operator: %v", err)
	}

	kube.EventuallyWith(ctx, t, fmt.Sprintf("the operator has %d pods", replicas), func(ctx context.Context) error {
		if err := f.Client.Get(ctx, key, deployment); err != nil {
			return err
		}

		if status := deployment.Status; status.Replicas != replicas || status.ReadyReplicas != replicas {
			return fmt.Errorf("it has %d, %d of them ready", status.Replicas, status.ReadyReplicas)
		}

		return nil
	})
}

func switchOver(t *testing.T, w *writer) {
	t.Helper()

	target := w.replicas(t)[0]

	w.changesPrimary(t, plannedGap, func(string) { w.annotate(t, naming.AnnotationSwitchover, target+"/1") })
	w.waitReady(t)

	// On a starved machine the target may lack the end of the log: then it is told.
	last := w.cluster(t).Status.LastSwitchover
	if last == nil || last.Result != postgresqlv1.SwitchoverCompleted || last.To != target && last.Message == "" {
		t.Errorf("the last switchover is %+v; it was to be to %s", last, target)
	}
}

func deleteInOrder(t *testing.T, w *writer) {
	t.Helper()

	members := w.memberIDs(t)

	w.changesPrimary(t, plannedGap, func(primary string) { w.replacePod(t, primary) })
	w.waitReady(t)

	if diff := cmp.Diff(members, w.memberIDs(t)); diff != "" {
		t.Errorf("members changed, though only a pod was deleted (-before +after):\n%s", diff)
	}
}

// drainNode does what kubectl drain does: no new pods on the node, and an eviction of those that are there.
func drainNode(t *testing.T, w *writer) {
	t.Helper()

	pod := w.pods(t)[w.primary(t)]
	w.cordon(t, pod.Spec.NodeName, true)
	t.Cleanup(func() { w.cordon(t, pod.Spec.NodeName, false) })

	w.changesPrimary(t, plannedGap, func(primary string) {
		kube.Eventually(t, readyTimeout, "the pod may be evicted", func(ctx context.Context) error {
			err := w.Clientset.PolicyV1().Evictions(w.namespace).Evict(ctx, &policyv1.Eviction{
				ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: primary},
			})
			if apierrors.IsNotFound(err) {
				return nil
			}

			return err
		})
	})

	w.cordon(t, pod.Spec.NodeName, false)
	w.waitReady(t)
}

func (f *fixture) cordon(t *testing.T, name string, unschedulable bool) {
	t.Helper()

	ctx := context.WithoutCancel(t.Context())
	node := &corev1.Node{}

	if err := f.Client.Get(ctx, client.ObjectKey{Name: name}, node); err != nil {
		t.Fatalf("get node: %v", err)
	}

	patch := client.MergeFrom(node.DeepCopy())
	node.Spec.Unschedulable = unschedulable

	if err := f.Client.Patch(ctx, node, patch); err != nil {
		t.Fatalf("cordon node: %v", err)
	}
}

func rollingUpdate(t *testing.T, w *writer) {
	t.Helper()

	before := w.podUIDs(t)

	w.changesPrimary(t, plannedGap, func(string) {
		w.change(t, func(cluster *postgresqlv1.Cluster) {
			cluster.Spec.Env = append(cluster.Spec.Env, corev1.EnvVar{Name: "UPDATED", Value: "yes"})
		})
	})
	w.waitReady(t)

	for name, uid := range w.podUIDs(t) {
		if before[name] == uid {
			t.Errorf("the pod %s was not replaced", name)
		}
	}
}

// deleteRecord: the primary, which serves all the while, writes it again.
func deleteRecord(t *testing.T, w *writer) {
	t.Helper()

	before, primary, began := w.postmasterStarts(t), w.primary(t), time.Now()
	w.deleteTerm(t)

	kube.Eventually(t, readyTimeout, "the record names the primary again", func(ctx context.Context) error {
		record := &postgresqlv1.ClusterTerm{}
		if err := w.Client.Get(ctx, client.ObjectKey{Namespace: w.namespace, Name: naming.ClusterTerm(w.name)}, record); err != nil {
			return err
		}

		if record.Spec.Primary == nil || record.Spec.Primary.Name != primary || len(record.Spec.Voters) != 2 {
			return fmt.Errorf("it says %+v", record.Spec)
		}

		return nil
	})
	w.waitReady(t)

	if diff := cmp.Diff(before, w.postmasterStarts(t)); diff != "" {
		t.Errorf("PostgreSQL was restarted (-before +after):\n%s", diff)
	}

	if gap := w.gapSince(t, began); gap > plannedGap {
		t.Errorf("the application could not write for %s", gap)
	}
}

func (f *fixture) deleteTerm(t *testing.T) {
	t.Helper()

	record := &postgresqlv1.ClusterTerm{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: naming.ClusterTerm(f.name)}}
	if err := f.Client.Delete(t.Context(), record); err != nil {
		t.Fatalf("delete the term record: %v", err)
	}
}

// scaleDownPrimary: the highest instance goes, which first hands over.
func scaleDownPrimary(t *testing.T, w *writer) {
	t.Helper()

	if w.primary(t) != "db-2" {
		w.annotate(t, naming.AnnotationSwitchover, "db-2/before-scaling")

		kube.Eventually(t, readyTimeout, "db-2 leads", func(ctx context.Context) error {
			cluster, err := w.get(ctx)
			if err != nil {
				return err
			}

			if cluster.Status.Primary != "db-2" {
				return fmt.Errorf("%s does", cluster.Status.Primary)
			}

			return ready(cluster)
		})
	}

	w.changesPrimary(t, plannedGap, func(string) {
		w.change(t, func(cluster *postgresqlv1.Cluster) { cluster.Spec.Instances = 2 })
	})
	w.waitReady(t)

	if diff := cmp.Diff([]string{"db-0", "db-1"}, w.instances(t)); diff != "" {
		t.Errorf("the members are others than expected (-want +got):\n%s", diff)
	}

	// Two that come from three stay as safe: see docs/concepts/cluster.md.
	w.waitCondition(t, postgresqlv1.ConditionSyncReplication, postgresqlv1.ReasonSynchronous, "1 of 1 replicas")
}

func nothingIsLost(t *testing.T, w *writer) {
	t.Helper()

	kube.Eventually(t, readyTimeout, "the writer stops", func(ctx context.Context) error {
		_, err := w.Exec(ctx, w.pod, "sh", "-c", "touch /tmp/stop; test -e /tmp/stopped")

		return err
	})

	all, err := w.acknowledged(t.Context())
	if err != nil || len(all) == 0 {
		t.Fatalf("%d rows were acknowledged: %v", len(all), err)
	}

	there := strings.Fields(w.sql(t, w.rw, "SELECT id FROM written"))
	slices.Sort(there)

	var lost []string

	for _, row := range all {
		if _, found := slices.BinarySearch(there, row.id); !found {
			lost = append(lost, row.id)
		}
	}

	t.Logf("%d rows were acknowledged, %d are there", len(all), len(there))

	if len(lost) > 0 {
		t.Errorf("%d acknowledged rows are lost: %v", len(lost), lost)
	}
}

// deleteRecordAsleep: nobody serves, so the user decides whose data count.
func deleteRecordAsleep(t *testing.T, f *fixture) {
	t.Helper()

	primary, rows := f.primary(t), f.sql(t, f.primary(t), "app", "SELECT count(*) FROM written")
	f.annotate(t, naming.AnnotationHibernate, "on")

	kube.Eventually(t, readyTimeout, "no pod is left", func(context.Context) error {
		if pods := f.pods(t); len(pods) > 0 {
			return fmt.Errorf("%d pods", len(pods))
		}

		return nil
	})

	f.deleteTerm(t)
	f.annotate(t, naming.AnnotationHibernate, "off")
	f.waitCondition(t, postgresqlv1.ConditionStalled, postgresqlv1.ReasonRecordMissing, naming.AnnotationBootstrapFrom)
	f.annotate(t, naming.AnnotationBootstrapFrom, primary)
	f.waitReady(t)

	if got := f.primary(t); got != primary {
		t.Errorf("%s leads; the user named %s", got, primary)
	}

	f.waitSQL(t, f.replicas(t)[0], "app", "SELECT count(*) FROM written", rows)
}
