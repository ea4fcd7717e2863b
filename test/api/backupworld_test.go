package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/backup"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/instanceclient"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/test/internal/crash"
)

// The instances of the Cluster that is backed up.
const (
	backupPrimary = "shop-0"
	backupReplica = "shop-1"
)

// backupTime is when the tests of backups begin.
func backupTime() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// backupWorld is a namespace with a Cluster "shop" of a primary and a replica that archive.
type backupWorld struct {
	*shortWorld

	clock     *clocktesting.FakePassiveClock
	instances *archivers
	// hasSnapshots: the kinds of snapshots are installed.
	hasSnapshots bool
}

// newBackupWorld has no Cluster yet.
func newBackupWorld(t *testing.T) *backupWorld {
	t.Helper()

	w := &backupWorld{
		shortWorld: newShortWorld(t, postgresqlv1.GroupVersion.WithKind("Backup")),
		clock:      clocktesting.NewFakePassiveClock(backupTime()),
	}
	w.instances = &archivers{clock: w.clock, status: map[string]*instanceapi.Status{}, known: map[string][]string{}}
	w.others = func(*testing.T) bool { return w.instances.turn() }
	w.make = func(t *testing.T, process *crash.Process) reconciler {
		t.Helper()

		c := process.Client()
		if !w.hasSnapshots {
			c = withoutSnapshots(c)
		}

		r, err := backup.New(c, backup.Options{
			Clock: w.clock, Instances: archiversOf{process, w.instances}, Recorder: w.events,
		})
		if err != nil {
			t.Fatal(err)
		}

		return r
	}

	return w
}

// archivingWorld has the Cluster, and its instances archive.
func archivingWorld(t *testing.T) *backupWorld {
	t.Helper()

	w := newBackupWorld(t)
	w.addCluster(t, &postgresqlv1.BackupConfiguration{ObjectStore: &postgresqlv1.ObjectStore{DestinationPath: "s3://bucket/path"}})

	return w
}

func (w *backupWorld) addCluster(t *testing.T, given *postgresqlv1.BackupConfiguration) {
	t.Helper()

	cluster := &postgresqlv1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: w.namespace}}
	cluster.Spec = postgresqlv1.ClusterSpec{
		Instances: 2, ImageName: "postgresql:17", Storage: postgresqlv1.StorageConfiguration{Size: "1Gi"}, Backup: given,
	}

	for _, object := range []client.Object{
		cluster,
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: naming.ConfigMap("shop")}, Data: map[string]string{instanceapi.ServerCAKey: "CA"}},
		&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: naming.SecretReplication("shop")},
			Data:       map[string][]byte{corev1.TLSCertKey: []byte("C"), corev1.TLSPrivateKeyKey: []byte("K")},
		},
	} {
		w.add(t, object)
	}

	cluster.Status.Image, cluster.Status.Major = "postgresql:17", 17
	w.writeStatus(t, cluster)

	w.addInstance(t, backupPrimary, instanceapi.RolePrimary)
	w.addInstance(t, backupReplica, instanceapi.RoleReplica)
}

// add makes an object in the world's namespace.
func (w *backupWorld) add(t *testing.T, object client.Object) {
	t.Helper()
	object.SetNamespace(w.namespace)

	if err := w.server.Client.Create(t.Context(), object); err != nil {
		t.Fatalf("create %T %s: %v", object, object.GetName(), err)
	}
}

func (w *backupWorld) writeStatus(t *testing.T, object client.Object) {
	t.Helper()

	if err := w.server.Client.Status().Update(t.Context(), object); err != nil {
		t.Fatalf("write the status of %T %s: %v", object, object.GetName(), err)
	}
}

func (w *backupWorld) addInstance(t *testing.T, name string, role instanceapi.Role) {
	t.Helper()

	labels := naming.CommonLabels("shop")
	labels[naming.LabelInstance] = name

	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "postgres", Image: "postgresql:17"}}},
	}
	w.add(t, pod)

	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: "10.0.0.1", PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}},
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: "postgres", Image: "postgresql:17", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		}},
	}
	w.writeStatus(t, pod)
	w.instances.start(name, role)
}

// removeInstance is a node that is lost with its pod.
func (w *backupWorld) removeInstance(t *testing.T, name string) {
	t.Helper()

	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.namespace}}
	if err := w.server.Client.Delete(t.Context(), pod, client.GracePeriodSeconds(0)); err != nil {
		t.Fatalf("delete pod %s: %v", name, err)
	}

	w.instances.stop(name)
}

// pass makes so many passes, without a turn of the instances in between.
func (w *backupWorld) pass(t *testing.T, times int) {
	t.Helper()

	r := w.make(t, crash.NewProcess(w.server.Client, 0))
	for range times {
		if _, err := r.Reconcile(t.Context(), w.request()); err != nil {
			t.Fatalf("reconcile: %v", err)
		}
	}
}

func (w *backupWorld) request() ctrl.Request {
	return ctrl.Request{NamespacedName: client.ObjectKey{Namespace: w.namespace, Name: "shop"}}
}

// after lets time pass.
func (w *backupWorld) after(t *testing.T, passed time.Duration) {
	t.Helper()
	w.clock.SetTime(w.clock.Now().Add(passed))
	w.settle(t)
}

func (w *backupWorld) backup(t *testing.T) *postgresqlv1.Backup {
	t.Helper()

	object := &postgresqlv1.Backup{}
	if !w.get(t, "shop", object) {
		t.Fatal("the Backup is gone")
	}

	return object
}

func newBackup(change ...func(*postgresqlv1.BackupSpec)) *postgresqlv1.Backup {
	object := &postgresqlv1.Backup{Spec: postgresqlv1.BackupSpec{Cluster: postgresqlv1.LocalObjectReference{Name: "shop"}}}
	for _, f := range change {
		f(&object.Spec)
	}

	return object
}

func reclaimed(spec *postgresqlv1.BackupSpec) { spec.ReclaimPolicy = postgresqlv1.BackupReclaimDelete }

// completeBackup is one that was taken at a moment.
func (w *backupWorld) completeBackup(t *testing.T, name string, stopped time.Time) *postgresqlv1.Backup {
	t.Helper()

	object := newBackup()
	object.Name = name
	w.add(t, object)

	at := metav1.NewTime(stopped)
	object.Status = postgresqlv1.BackupStatus{
		Phase: postgresqlv1.BackupCompleted, BackupID: "stored-" + name, StartedAt: &at, StoppedAt: &at, Major: 17,
		ObjectStore: &postgresqlv1.ObjectStore{DestinationPath: "s3://bucket/path"}, DestinationPath: "s3://bucket/path",
	}
	w.writeStatus(t, object)

	return object
}

// archivers are the instances' part: PID 1 of each takes one task at a time and does a step of it in each turn.
type archivers struct {
	clock *clocktesting.FakePassiveClock

	mu     sync.Mutex
	status map[string]*instanceapi.Status
	// silent instances do not answer.
	silent map[string]bool
	// orders in their sequence, such as "backup shop-1", and what ended the WAL segment for.
	orders   []string
	switched []string
	// told that their snapshot was taken, by request.
	told []string
	// stored are the backups in the store.
	stored []string
	// failures are what the next tasks end with.
	failures []string
	// stuck tasks do not move on.
	stuck bool
	// retention that is followed after a backup; deleted are the backups that it has deleted, known those asked about, by request.
	retention *instanceapi.RetentionRun
	deleted   []string
	known     map[string][]string
}

func (a *archivers) start(name string, role instanceapi.Role) {
	a.mu.Lock()
	defer a.mu.Unlock()

	a.status[name] = &instanceapi.Status{
		Instance: name, Ready: true, Role: role, State: instanceapi.StateRunning, Archiving: &instanceapi.Archiving{Server: "shop"},
	}
}

func (a *archivers) stop(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()

	delete(a.status, name)
}

// do changes what the instances are like.
func (a *archivers) do(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()

	change()
}

// turn moves each task a step on: copying, waiting for its last segment, the end.
func (a *archivers) turn() bool {
	a.mu.Lock()
	defer a.mu.Unlock()

	moved := false

	for _, status := range a.status {
		if run := status.ArchiveRun; run != nil && run.EndedAt == nil && !a.stuck {
			next := *run
			status.ArchiveRun = &next
			moved = a.step(status.Role, &next) || moved
		}
	}

	return moved
}

func (a *archivers) step(role instanceapi.Role, run *instanceapi.ArchiveRun) bool {
	switch {
	case len(a.failures) > 0:
		run.Error, a.failures = a.failures[0], a.failures[1:]
		a.end(run)
	case run.Task == instanceapi.TaskDelete:
		a.stored = slices.DeleteFunc(a.stored, func(id string) bool { return id == run.BackupID })
		a.end(run)
	case run.Task == instanceapi.TaskSnapshot && run.Progress == nil:
		run.Progress = &instanceapi.ArchiveProgress{Step: archiveapi.PhaseSnapshot}
	case run.Task == instanceapi.TaskSnapshot && run.Progress.Step == archiveapi.PhaseSnapshot:
		if !slices.Contains(a.told, run.Request) {
			return false
		}

		run.Progress = &instanceapi.ArchiveProgress{Step: archiveapi.PhaseWaiting}
	case run.Progress == nil:
		run.Progress = &instanceapi.ArchiveProgress{Step: "Copying", Done: 40, Total: 100}
	case run.Progress.Step == "Copying":
		run.Progress = &instanceapi.ArchiveProgress{Step: "WaitingForWAL", Done: 100, Total: 100}
	case role == instanceapi.RoleReplica && !slices.Contains(a.switched, run.Request):
		// It waits for a segment that only the primary can end.
		return false
	default:
		a.stored = append(a.stored, "20260301T120000Z")
		run.Backup = &instanceapi.TakenBackup{
			ID: "20260301T120000Z", BeginLSN: "0/2000028", EndLSN: "0/2000158", BeginWAL: "000000010000000000000002",
			EndWAL: "000000010000000000000002", Timeline: 1, SystemID: "7", Major: 17, StoredBytes: 1288490188, DataBytes: 4 << 30,
			StartedAt: backupTime(), StoppedAt: backupTime().Add(4*time.Minute + 10*time.Second), Verified: true,
		}
		a.retain(run)
		a.end(run)
	}

	return true
}

func (a *archivers) retain(run *instanceapi.ArchiveRun) {
	if a.retention == nil {
		return
	}

	followed := *a.retention
	followed.At = a.clock.Now()

	for _, id := range a.known[run.Request] {
		if slices.Contains(a.deleted, id) {
			followed.Gone = append(followed.Gone, id)
		}
	}

	run.Retention = &followed
}

func (a *archivers) end(run *instanceapi.ArchiveRun) {
	now := a.clock.Now()
	run.EndedAt, run.Progress = &now, nil
}

// archiversOf are the instances as a process sees them: an order counts as its write.
type archiversOf struct {
	process *crash.Process
	*archivers
}

func (a archiversOf) Status(_ context.Context, target instanceclient.Target) (status instanceapi.Status, err error) {
	return status, a.process.Read(func() error {
		a.mu.Lock()
		defer a.mu.Unlock()

		seen := a.status[target.Name]
		if seen == nil || a.silent[target.Name] || len(target.ServerCA) == 0 || len(target.ClientKey) == 0 {
			return &instanceclient.UnreachableError{Instance: target.Name, Err: context.DeadlineExceeded}
		}

		status = *seen

		return nil
	})
}

func (a archiversOf) Archive(_ context.Context, target instanceclient.Target, request instanceapi.ArchiveRequest) error {
	if a.knows(target.Name, request) {
		return a.process.Read(func() error { return nil })
	}

	return a.process.Write(fmt.Sprintf("order %s of %s", request.Task, target.Name), func() error {
		a.mu.Lock()
		defer a.mu.Unlock()

		return a.take(target.Name, request)
	})
}

// knows says whether an order was given before: then it does nothing.
func (a archiversOf) knows(name string, request instanceapi.ArchiveRequest) bool {
	a.mu.Lock()
	defer a.mu.Unlock()

	if request.Task == instanceapi.TaskSwitch {
		return slices.Contains(a.switched, strings.TrimSuffix(request.Request, "/switch"))
	}

	if request.Task == instanceapi.TaskSnapshotTaken {
		return slices.Contains(a.told, request.Request)
	}

	seen := a.status[name]

	return seen != nil && seen.ArchiveRun != nil && seen.ArchiveRun.Request == request.Request
}

func (a *archivers) take(name string, request instanceapi.ArchiveRequest) error {
	seen := a.status[name]

	switch {
	case seen == nil:
		return &instanceclient.UnreachableError{Instance: name, Err: context.DeadlineExceeded}
	case request.Task == instanceapi.TaskSwitch && seen.Role != instanceapi.RolePrimary:
		return &instanceclient.RefusedError{Instance: name, StatusCode: 409, Message: "only a primary can end a segment"}
	case request.Task == instanceapi.TaskSwitch:
		a.switched = append(a.switched, strings.TrimSuffix(request.Request, "/switch"))

		return nil
	case request.Task == instanceapi.TaskSnapshotTaken && (seen.ArchiveRun == nil || seen.ArchiveRun.Request != request.Request):
		return &instanceclient.RefusedError{Instance: name, StatusCode: 409, Message: "no snapshot is waited for"}
	case request.Task == instanceapi.TaskSnapshotTaken:
		a.told = append(a.told, request.Request)

		return nil
	case seen.ArchiveRun != nil && seen.ArchiveRun.EndedAt == nil:
		return &instanceclient.RefusedError{Instance: name, StatusCode: 409, Message: "another task with the archive runs"}
	}

	a.orders = append(a.orders, string(request.Task)+" "+name)
	a.known[request.Request] = request.Known
	seen.ArchiveRun = &instanceapi.ArchiveRun{
		Request: request.Request, Task: request.Task, BackupID: request.BackupID, StartedAt: a.clock.Now(),
	}

	return nil
}

// backupKinds are what the controllers of backups write.
func backupKinds(more ...schema.GroupVersionKind) []schema.GroupVersionKind {
	return append([]schema.GroupVersionKind{postgresqlv1.GroupVersion.WithKind("Backup")}, more...)
}
