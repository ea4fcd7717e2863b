package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// TestLifecycle follows one Cluster of three instances through what users do to it and what happens to it.
func TestLifecycle(t *testing.T) {
	t.Parallel()

	f := newFixture(t, "lifecycle")
	f.start(t, f.newCluster(3))
	c := f.newClient(t)

	step(t, c, "an application writes and reads", writeAndRead)
	step(t, f, "status says who is who", statusTellsTheTruth)
	step(t, f, "metrics", metricsAnswer)
	step(t, f, "a parameter that needs a reload", reloadParameter)
	step(t, f, "a parameter that needs a restart, up and down", restartParameter)
	step(t, f, "a wrong parameter", wrongParameter)
	step(t, f, "postgres is killed", killPostgres)
	step(t, f, "PID 1 is killed", killInstance)
	step(t, f, "a pod is deleted", deletePod)
	step(t, f, "a replica's pod and volume are deleted", deleteReplica)
	step(t, f, "the primary's pod is deleted", deletePrimaryPod)
	step(t, c, "the application still finds its data", dataIsThere)
}

func dataIsThere(t *testing.T, c *psqlClient) {
	t.Helper()
	c.waitSQL(t, c.newConnection(t, naming.ServiceReadWrite(c.name)), "SELECT count(*) FROM orders", "1000")
}

func writeAndRead(t *testing.T, c *psqlClient) {
	t.Helper()

	rw := c.newConnection(t, naming.ServiceReadWrite(c.name))
	c.sql(t, rw, "CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders SELECT generate_series(1, 1000)")

	if got := c.sql(t, rw, "SELECT pg_is_in_recovery()"); got != "f" {
		t.Errorf("the service -rw leads to a standby")
	}

	if got := c.sql(t, rw, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"); got != "t" {
		t.Errorf("the connection is not encrypted")
	}

	ro := c.newConnection(t, naming.ServiceReadOnly(c.name))
	c.waitSQL(t, ro, "SELECT count(*) FROM orders", "1000")

	if got := c.sql(t, ro, "SELECT pg_is_in_recovery()"); got != "t" {
		t.Errorf("the service -ro leads to the primary")
	}

	if _, err := c.try(t.Context(), ro, "INSERT INTO orders VALUES (0)"); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("a replica took a write, or failed for another reason: %v", err)
	}

	c.waitSQL(t, c.newConnection(t, naming.ServiceRead(c.name)), "SELECT count(*) FROM orders", "1000")

	app := c.secret(t, naming.SecretApp(c.name))
	if got := c.sql(t, connection{"host": rw["host"], "user": rw["user"], "password": app["password"], "dbname": "app", "sslmode": "require"},
		"SELECT current_user || '@' || current_database()"); got != "app@app" {
		t.Errorf("connected as %q", got)
	}

	uri, err := c.Exec(t.Context(), c.pod, "psql", "-XAtc", "SELECT 'by uri'", app["uri"])
	if err != nil || uri != "by uri" {
		t.Errorf("the secret's uri does not work: %q, %v", uri, err)
	}

	wrong := c.newConnection(t, naming.ServiceReadWrite(c.name))
	wrong["password"] = "wrong"

	if _, err := c.try(t.Context(), wrong, "SELECT 1"); err == nil || !strings.Contains(err.Error(), "password authentication failed") {
		t.Errorf("a wrong password: %v", err)
	}
}

func statusTellsTheTruth(t *testing.T, f *fixture) {
	t.Helper()

	cluster := f.cluster(t)
	primary := f.primary(t)

	if len(cluster.Status.Members) != 3 {
		t.Errorf("status has %d members", len(cluster.Status.Members))
	}

	for _, member := range cluster.Status.Members {
		recovery := f.sql(t, member.Name, "postgres", "SELECT pg_is_in_recovery()")
		if (recovery == "f") != (member.Role == postgresqlv1.RolePrimary) || (member.Name == primary) != (member.Role == postgresqlv1.RolePrimary) {
			t.Errorf("status calls %s %s; pg_is_in_recovery() is %s, the primary %s", member.Name, member.Role, recovery, primary)
		}

		id, err := f.Exec(t.Context(), f.container(member.Name), "cat", "/var/lib/postgresql/data/caretaker/member.json")
		if err != nil || member.MemberID == "" || !strings.Contains(id, member.MemberID) {
			t.Errorf("status gives %s the member ID %q; on its volume is %q (%v)", member.Name, member.MemberID, id, err)
		}

		if got := f.sql(t, member.Name, "postgres", "SELECT system_identifier FROM pg_control_system()"); got != cluster.Status.SystemID {
			t.Errorf("system identifier of %s is %s, in status %s", member.Name, got, cluster.Status.SystemID)
		}
	}

	f.waitSQL(t, primary, "postgres", "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'", "2")
	f.waitSQL(t, primary, "postgres", "SELECT count(*) FROM pg_replication_slots WHERE active", "2")

	if got := f.sql(t, primary, "postgres",
		"SELECT count(*) FROM pg_stat_replication r JOIN pg_stat_ssl s USING (pid) WHERE s.ssl AND s.client_dn LIKE '%streaming_replica%'"); got != "2" {
		t.Errorf("%s of 2 replicas stream over TLS with a client certificate", got)
	}

	if got := f.sql(t, primary, "postgres", "SHOW archive_mode"); got != "always" {
		t.Errorf("archive_mode is %s", got)
	}
}

func metricsAnswer(t *testing.T, f *fixture) {
	t.Helper()

	for _, instance := range f.instances(t) {
		var content []byte

		var err error
		for _, scheme := range []string{"http", "https"} {
			content, err = f.Clientset.CoreV1().Pods(f.namespace).
				ProxyGet(scheme, instance, strconv.Itoa(naming.PortMetrics), "/metrics", nil).DoRaw(t.Context())
			if err == nil {
				break
			}
		}

		if err != nil {
			t.Errorf("metrics of %s: %v", instance, err)

			continue
		}

		if n := strings.Count(string(content), "\n# TYPE "); n < 10 {
			t.Errorf("metrics of %s: only %d families", instance, n)
		}
	}
}

func reloadParameter(t *testing.T, f *fixture) {
	t.Helper()

	before := f.postmasterStarts(t)
	f.setParameter(t, "work_mem", "7MB")

	for _, instance := range f.instances(t) {
		f.waitSQL(t, instance, "postgres", "SHOW work_mem", "7MB")
	}

	f.waitReady(t)

	if diff := cmp.Diff(before, f.postmasterStarts(t)); diff != "" {
		t.Errorf("PostgreSQL was restarted for a parameter that needs a reload (-before +after):\n%s", diff)
	}
}

// restartParameter changes max_connections, which a standby refuses to have lower than its primary.
func restartParameter(t *testing.T, f *fixture) {
	t.Helper()

	uids := f.podUIDs(t)

	for _, value := range []string{"150", "90"} {
		before, primary := f.postmasterStarts(t), f.primary(t)
		f.setParameter(t, "max_connections", value)

		for _, instance := range f.instances(t) {
			f.waitSQL(t, instance, "postgres", "SHOW max_connections", value)
		}

		f.waitReady(t)

		after := f.postmasterStarts(t)
		for instance := range before {
			if before[instance] == after[instance] {
				t.Errorf("max_connections is %s on %s, though it was not restarted", value, instance)
			}
		}

		// Up: who led until then comes last. Down: it comes first, in its place; should another take over meanwhile, that
		// one is the next, and each as often as it needs to.
		for other := range after {
			// Parsed by PostgreSQL: the order of text is not the order of times.
			isLast := f.sql(t, primary, "postgres", fmt.Sprintf("SELECT '%s'::timestamptz <= '%s'::timestamptz", after[other], after[primary]))
			if value == "150" && isLast != "t" {
				t.Errorf("max_connections to %s: %s started at %s, after the primary %s at %s", value, other, after[other], primary, after[primary])
			}
		}

		f.waitSQL(t, f.primary(t), "postgres", "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'", "2")
	}

	if diff := cmp.Diff(uids, f.podUIDs(t)); diff != "" {
		t.Errorf("pods were replaced for a restart of PostgreSQL (-before +after):\n%s", diff)
	}
}

func wrongParameter(t *testing.T, f *fixture) {
	t.Helper()

	before := f.postmasterStarts(t)
	f.setParameter(t, "work_memm", "9MB")
	f.waitCondition(t, postgresqlv1.ConditionStalled, postgresqlv1.ReasonInvalidParameters, "work_memm")
	f.setParameter(t, "work_mem", "9MB")

	// Nothing of a configuration that is partly wrong is taken.
	kube.Always(t, 3*time.Second, "work_mem stays as it was", func(ctx context.Context) error {
		got, err := f.trySQL(ctx, f.primary(t), "postgres", "SHOW work_mem")
		if err == nil && got != "7MB" {
			err = fmt.Errorf("it is %s", got)
		}

		return err
	})

	f.change(t, func(cluster *postgresqlv1.Cluster) { delete(cluster.Spec.PostgreSQL.Parameters, "work_memm") })
	f.waitReady(t)

	for _, instance := range f.instances(t) {
		f.waitSQL(t, instance, "postgres", "SHOW work_mem", "9MB")
	}

	if diff := cmp.Diff(before, f.postmasterStarts(t)); diff != "" {
		t.Errorf("PostgreSQL was restarted (-before +after):\n%s", diff)
	}
}

// killPostgres kills the postmaster, as the kernel does when memory runs out.
func killPostgres(t *testing.T, f *fixture) {
	t.Helper()

	for _, instance := range []string{f.replicas(t)[0], f.primary(t)} {
		uids, before, restarts := f.podUIDs(t), f.postmasterStarts(t)[instance], f.containerRestarts(t, instance)

		if _, err := f.Exec(t.Context(), f.container(instance), "sh", "-c",
			"kill -9 $(head -1 /var/lib/postgresql/data/pgdata/postmaster.pid)"); err != nil {
			t.Fatalf("kill: %v", err)
		}

		f.waitStartedAgain(t, instance, before)
		f.waitReady(t)

		if diff := cmp.Diff(uids, f.podUIDs(t)); diff != "" {
			t.Errorf("pods were replaced (-before +after):\n%s", diff)
		}

		if now := f.containerRestarts(t, instance); now != restarts {
			t.Errorf("the container of %s was restarted; PostgreSQL alone should have been", instance)
		}

		f.waitSQL(t, f.primary(t), "postgres", "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'", "2")
	}
}

// killInstance kills PID 1: the kernel then kills everything else in the container, the kubelet starts it again.
func killInstance(t *testing.T, f *fixture) {
	t.Helper()

	for _, instance := range []string{f.replicas(t)[0], f.primary(t)} {
		uids, before, restarts := f.podUIDs(t), f.postmasterStarts(t)[instance], f.containerRestarts(t, instance)
		f.crashPID1(t, instance)
		f.waitStartedAgain(t, instance, before)
		f.waitReady(t)

		if now := f.containerRestarts(t, instance); now != restarts+1 {
			t.Errorf("the container of %s was restarted %d times, not once", instance, now-restarts)
		}

		if diff := cmp.Diff(uids, f.podUIDs(t)); diff != "" {
			t.Errorf("pods were replaced (-before +after):\n%s", diff)
		}

		f.waitSQL(t, f.primary(t), "postgres", "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'", "2")
	}
}

// crashPID1 kills PID 1 of an instance with SIGKILL where the node is this machine. From within the container the kernel
// does not let that signal through to PID 1; on other people's nodes an abort, which Go answers by dying, stands for it.
func (f *fixture) crashPID1(t *testing.T, instance string) {
	t.Helper()

	if pid := localPID1(string(f.pods(t)[instance].UID)); pid != 0 {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatalf("kill PID 1 of %s: %v", instance, err)
		}

		return
	}

	t.Log("the node is not this machine: PID 1 is aborted from within")

	if _, err := f.Exec(t.Context(), f.container(instance), "sh", "-c", "kill -SEGV 1"); err != nil {
		t.Logf("abort PID 1: %v", err)
	}
}

// localPID1 finds the process that is PID 1 of a pod's database container among this machine's; 0 if it is not here.
func localPID1(podUID string) int {
	paths, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return 0
	}

	for _, path := range paths {
		dir := filepath.Dir(path)
		groups, _ := os.ReadFile(path)
		command, _ := os.ReadFile(filepath.Join(dir, "cmdline"))

		if !strings.Contains(strings.ReplaceAll(string(groups), "_", "-"), podUID) || !strings.HasPrefix(string(command), instanceapi.Binary) {
			continue
		}

		// The last number is the one in the innermost PID namespace.
		status, _ := os.ReadFile(filepath.Join(dir, "status"))
		for line := range strings.Lines(string(status)) {
			if numbers := strings.Fields(line); len(numbers) > 1 && numbers[0] == "NSpid:" && numbers[len(numbers)-1] == "1" {
				pid, _ := strconv.Atoi(filepath.Base(dir))

				return pid
			}
		}
	}

	return 0
}

func (f *fixture) containerRestarts(t *testing.T, instance string) int32 {
	t.Helper()

	pod := f.pods(t)[instance]
	for _, status := range pod.Status.ContainerStatuses {
		if status.Name == "postgres" {
			return status.RestartCount
		}
	}

	t.Fatalf("pod %s has no container postgres", instance)

	return 0
}

// waitStartedAgain waits until PostgreSQL's start time differs from an earlier one.
func (f *fixture) waitStartedAgain(t *testing.T, instance, before string) {
	t.Helper()
	kube.Eventually(t, readyTimeout, "PostgreSQL on "+instance+" starts again", func(ctx context.Context) error {
		now, err := f.trySQL(ctx, instance, "postgres", "SELECT pg_postmaster_start_time()")
		if err == nil && now == before {
			err = fmt.Errorf("it runs since %s", now)
		}

		return err
	})
}

func deletePod(t *testing.T, f *fixture) {
	t.Helper()

	replica := f.replicas(t)[0]
	members := f.memberIDs(t)
	f.replacePod(t, replica)
	f.waitReady(t)

	if diff := cmp.Diff(members, f.memberIDs(t)); diff != "" {
		t.Errorf("members changed, though only a pod was deleted (-before +after):\n%s", diff)
	}
}

// replacePod deletes a pod and waits until its successor is there.
func (f *fixture) replacePod(t *testing.T, instance string) {
	t.Helper()

	pod := f.pods(t)[instance]
	if err := f.Client.Delete(t.Context(), &pod); err != nil {
		t.Fatalf("delete pod: %v", err)
	}

	kube.Eventually(t, readyTimeout, "pod "+instance+" is made anew", func(ctx context.Context) error {
		now := corev1.Pod{}
		if err := f.Client.Get(ctx, client.ObjectKeyFromObject(&pod), &now); err != nil {
			return err
		}

		if now.UID == pod.UID {
			return fmt.Errorf("it is still the old one")
		}

		return nil
	})
}

// deleteReplica takes pod and volume away: the replica comes back as a new member with the primary's data.
func deleteReplica(t *testing.T, f *fixture) {
	t.Helper()

	replica := f.replicas(t)[1]
	members := f.memberIDs(t)

	f.replaceCopy(t, replica)

	known := []string{}
	for _, id := range members {
		known = append(known, id)
	}

	fresh := 0
	for name, id := range f.memberIDs(t) {
		if slices.Contains(known, id) {
			continue
		}

		fresh++

		f.waitSQL(t, name, "app", "SELECT count(*) FROM orders", "1000")
	}

	if fresh != 1 {
		t.Errorf("%d new members, not one", fresh)
	}

	f.waitSQL(t, f.primary(t), "postgres", "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'", "2")
	f.waitSQL(t, f.primary(t), "postgres", "SELECT count(*) FROM pg_replication_slots", "2")
}

// replaceCopy takes an instance's pod and volume away, and waits until a new member has its place.
func (f *fixture) replaceCopy(t *testing.T, instance string) {
	t.Helper()

	member := f.memberIDs(t)[instance]
	f.deleteVolume(t, instance)

	pod := f.pods(t)[instance]
	if err := f.Client.Delete(t.Context(), &pod); err != nil {
		t.Fatalf("delete pod: %v", err)
	}

	kube.Eventually(t, readyTimeout, "a new member takes the place of "+instance, func(ctx context.Context) error {
		cluster, err := f.get(ctx)
		if err != nil {
			return err
		}

		for _, m := range cluster.Status.Members {
			if m.MemberID == member {
				return fmt.Errorf("the old member is still there")
			}
		}

		return ready(cluster)
	})
}

// deleteVolume of an instance; it goes once its pod has.
func (f *fixture) deleteVolume(t *testing.T, instance string) {
	t.Helper()

	volume := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: instance}}
	if err := f.Client.Delete(t.Context(), volume); err != nil {
		t.Fatalf("delete volume: %v", err)
	}
}

// deletePrimaryPod: it hands over, and comes back as a replica on its own data.
func deletePrimaryPod(t *testing.T, f *fixture) {
	t.Helper()

	primary, members := f.primary(t), f.memberIDs(t)
	f.replacePod(t, primary)
	f.waitReady(t)

	if got := f.primary(t); got == primary {
		t.Errorf("the primary is %s still", got)
	}

	if diff := cmp.Diff(members, f.memberIDs(t)); diff != "" {
		t.Errorf("members changed (-before +after):\n%s", diff)
	}

	f.waitSQL(t, f.primary(t), "postgres", "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'", "2")
}

// isGone says whether an object is not there.
func (f *fixture) isGone(ctx context.Context, object client.Object, name string) error {
	err := f.Client.Get(ctx, client.ObjectKey{Namespace: f.namespace, Name: name}, object)
	if apierrors.IsNotFound(err) {
		return nil
	}

	if err != nil {
		return err
	}

	return fmt.Errorf("%s is still there", name)
}
