package api

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/backup"
	"github.com/caretaker-dev/caretaker/internal/drill"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/test/internal/crash"
)

// drillWorld has a Cluster whose backups are restored at four in the morning. In the place of the kubelet and of what runs
// in the throw-away instance the world lets pods end with their last words.
type drillWorld struct {
	*backupWorld

	// ends is what the pod of a drill ends like; nil while it goes on.
	ends func(pod *corev1.Pod)
}

func newDrillWorld(t *testing.T) *drillWorld {
	t.Helper()

	w := &drillWorld{backupWorld: newBackupWorld(t)}
	w.addCluster(t, &postgresqlv1.BackupConfiguration{
		ObjectStore: &postgresqlv1.ObjectStore{DestinationPath: "s3://bucket/path"},
		Drill: &postgresqlv1.DrillConfiguration{
			Schedule: "0 4 * * *", Checks: []postgresqlv1.DrillCheck{{Name: "accounts", SQL: "SELECT count(*) > 0 FROM accounts"}},
		},
	})
	w.kinds = backupKinds(corev1.SchemeGroupVersion.WithKind("Pod"))

	// Drills can be due from the Cluster's creation on, and pods are as old as the API server says.
	cluster := &postgresqlv1.Cluster{}
	w.get(t, "shop", cluster)
	w.clock.SetTime(cluster.CreationTimestamp.Add(time.Second))
	w.others = w.kubelet
	w.make = func(t *testing.T, process *crash.Process) reconciler {
		t.Helper()

		drills, err := drill.New(process.Client(), drill.Options{OperatorImage: "caretaker:1", Clock: w.clock, Recorder: w.events})
		if err != nil {
			t.Fatal(err)
		}

		backups, err := backup.New(process.Client(), backup.Options{
			Clock: w.clock, Instances: archiversOf{process, w.instances}, Recorder: w.events,
		})
		if err != nil {
			t.Fatal(err)
		}

		return drillReconciler{process.Client(), drills, backups}
	}

	return w
}

// drillReconciler is the controller of drills and that of Backups, which reads their results.
type drillReconciler struct {
	client         client.Client
	drills, backup reconciler
}

func (r drillReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	result, err := r.drills.Reconcile(ctx, request)

	list := &postgresqlv1.BackupList{}
	err = errors.Join(err, r.client.List(ctx, list, client.InNamespace(request.Namespace)))

	for _, object := range list.Items {
		_, failed := r.backup.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&object)})
		err = errors.Join(err, failed)
	}

	return result, err
}

func (w *drillWorld) pods(t *testing.T) []corev1.Pod {
	t.Helper()

	list := &corev1.PodList{}
	if err := w.server.Client.List(t.Context(), list, client.InNamespace(w.namespace), client.MatchingLabels{naming.LabelDrill: "shop"}); err != nil {
		t.Fatal(err)
	}

	return list.Items
}

func (w *drillWorld) kubelet(t *testing.T) bool {
	t.Helper()

	moved := false

	for _, pod := range w.pods(t) {
		if w.ends == nil || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			continue
		}

		w.ends(&pod)
		w.writeStatus(t, &pod)

		moved = true
	}

	return moved
}

// says ends a drill with its last words.
func (w *drillWorld) says(result postgresqlv1.DrillStatus) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		at := metav1.NewTime(w.clock.Now())
		result.StartedAt = &at

		words, err := json.Marshal(result)
		if err != nil {
			panic(err)
		}

		pod.Status.Phase = map[bool]corev1.PodPhase{true: corev1.PodSucceeded, false: corev1.PodFailed}[result.Succeeded]
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "drill", State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{Message: string(words), FinishedAt: at},
		}}}
	}
}

func good() postgresqlv1.DrillStatus {
	return postgresqlv1.DrillStatus{Succeeded: true, RestoreSeconds: 60, RestoredBytes: 6 << 30, Checks: []string{"amcheck", "accounts"}}
}

// morning is the next moment of the schedule.
func (w *drillWorld) morning() time.Time {
	year, month, day := w.clock.Now().UTC().Date()
	at := time.Date(year, month, day, 4, 0, 0, 0, time.UTC)

	if !at.After(w.clock.Now()) {
		at = at.AddDate(0, 0, 1)
	}

	return at
}

func (w *drillWorld) untilMorning(t *testing.T) {
	t.Helper()
	w.clock.SetTime(w.morning())
	w.settle(t)
}

func (w *drillWorld) named(t *testing.T, name string) *postgresqlv1.Backup {
	t.Helper()

	object := &postgresqlv1.Backup{}
	if !w.get(t, name, object) {
		t.Fatalf("Backup %s is gone", name)
	}

	return object
}

// TestDrill restores the newest backup at its time, tells what came of it, and leaves nothing behind.
func TestDrill(t *testing.T) {
	t.Parallel()

	w := newDrillWorld(t)
	w.untilMorning(t)

	if pods := w.pods(t); len(pods) > 0 {
		t.Fatalf("without a backup there is a drill: %s", pods[0].Name)
	}

	now := w.clock.Now()
	w.completeBackup(t, "older", now.Add(-2*time.Hour))
	w.completeBackup(t, "newer", now.Add(-time.Hour))

	failed := w.completeBackup(t, "failed", now.Add(-time.Minute))
	failed.Status.Error, failed.Status.BackupID = "403 Forbidden", ""
	w.writeStatus(t, failed)

	w.settle(t)

	pods := w.pods(t)
	if len(pods) != 1 || pods[0].Name != "shop-drill-"+now.UTC().Format("20060102150405") {
		t.Fatalf("drills: %v", pods)
	}

	var told instanceapi.Drill
	if err := json.Unmarshal([]byte(pods[0].Spec.Containers[0].Env[0].Value), &told); err != nil {
		t.Fatal(err)
	}

	if told.Recovery.BackupID != "stored-newer" || len(told.Checks) != 1 || told.Checks[0].Database != "app" || !told.Amcheck {
		t.Errorf("it is told %+v", told)
	}

	// Nothing that serves clients or counts members may take it for an instance.
	for _, label := range []string{naming.LabelCluster, naming.LabelRole, naming.LabelInstance, "postgresql"} {
		if pods[0].Labels[label] != "" {
			t.Errorf("it has the label %s", label)
		}
	}

	// The next morning comes while it still runs: there is no second one.
	w.clock.SetTime(w.clock.Now().Add(30 * time.Hour))
	w.settle(t)

	if pods := w.pods(t); len(pods) != 1 {
		t.Errorf("%d drills at once", len(pods))
	}

	w.ends = w.says(good())
	w.settle(t)

	status := w.named(t, "newer").Status
	wantCondition(t, status.Conditions, postgresqlv1.ConditionRestorable, postgresqlv1.ReasonVerified, "it was restored, replayed and checked at ")

	if status.Drill == nil || !status.Drill.Succeeded || status.Drill.RestoreSeconds != 60 || status.Drill.StoppedAt == nil {
		t.Errorf("the drill's result is %+v", status.Drill)
	}

	if pods := w.pods(t); len(pods) > 0 {
		t.Errorf("it is left behind: %s", pods[0].Name)
	}

	if w.named(t, "older").Status.Drill != nil {
		t.Error("the result is told of another backup")
	}

	w.wantEvents(t, "Normal DrillStarted Drill: "+pods[0].Name+" restores Backup newer", "Normal Verified Backup: it was restored and checked")
	w.ends = nil
	w.untilMorning(t)

	if pods := w.pods(t); len(pods) != 1 {
		t.Errorf("in the next morning there are %d drills", len(pods))
	}
}

// TestDrillFails: the Backup is not restorable any more, and says what was wrong.
func TestDrillFails(t *testing.T) {
	t.Parallel()

	evicted := func(pod *corev1.Pod) {
		pod.Status.Phase, pod.Status.Reason, pod.Status.Message = corev1.PodFailed, "Evicted", "the node was low on memory"
	}

	for name, tc := range map[string]struct {
		ends    func(*drillWorld) func(*corev1.Pod)
		message string
	}{
		"a check is not true": {func(w *drillWorld) func(*corev1.Pod) {
			return w.says(postgresqlv1.DrillStatus{Message: "check accounts: it is not true"})
		}, "check accounts: it is not true"},
		"its pod was evicted": {func(*drillWorld) func(*corev1.Pod) { return evicted }, "ended without a word: Evicted the node was low on memory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newDrillWorld(t)
			w.ends = tc.ends(w)
			w.completeBackup(t, "monday", w.clock.Now())
			w.untilMorning(t)

			status := w.named(t, "monday").Status
			wantCondition(t, status.Conditions, postgresqlv1.ConditionRestorable, postgresqlv1.ReasonDrillFailed, tc.message)

			if last := w.events.notes[len(w.events.notes)-1]; !strings.HasPrefix(last, "Warning DrillFailed") || !strings.Contains(last, tc.message) {
				t.Errorf("the last event is %q", last)
			}

			// Another drill in the next morning, with success: it counts.
			w.ends = w.says(good())
			w.untilMorning(t)
			wantCondition(t, w.named(t, "monday").Status.Conditions, postgresqlv1.ConditionRestorable, postgresqlv1.ReasonVerified, "restored")
		})
	}
}

// TestCrashOfDrills kills both controllers after each write.
func TestCrashOfDrills(t *testing.T) {
	t.Parallel()

	for name, result := range map[string]postgresqlv1.DrillStatus{"good": good(), "bad": {Message: "check accounts: it is not true"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			crash.AfterEveryWrite(t, func(t *testing.T) crash.World {
				t.Helper()

				w := newDrillWorld(t)
				w.ends = w.says(result)
				w.completeBackup(t, "monday", w.clock.Now())
				w.clock.SetTime(w.morning())

				return w
			})
		})
	}
}

// TestBackupVerified: a Cluster says whether its backups were proved lately.
func TestBackupVerified(t *testing.T) {
	t.Parallel()

	archives := func(given *postgresqlv1.DrillConfiguration) func(*postgresqlv1.ClusterSpec) {
		return func(spec *postgresqlv1.ClusterSpec) {
			spec.Instances = 1
			spec.Backup = &postgresqlv1.BackupConfiguration{Drill: given, Volume: &postgresqlv1.VolumeStore{}}
			spec.Backup.Volume.PersistentVolumeClaim.ClaimName = "archive"
		}
	}
	daily := &postgresqlv1.DrillConfiguration{Schedule: "@daily"}
	ago := func(passed time.Duration) *postgresqlv1.DrillStatus {
		at := metav1.NewTime(time.Now().Add(-passed))

		return &postgresqlv1.DrillStatus{Succeeded: true, StoppedAt: &at}
	}

	for name, tc := range map[string]struct {
		given   *postgresqlv1.DrillConfiguration
		drill   *postgresqlv1.DrillStatus
		value   metav1.ConditionStatus
		reason  string
		message string
	}{
		"no schedule": {nil, nil, metav1.ConditionFalse, postgresqlv1.ReasonNoDrill, "set spec.backup.drill.schedule"},
		"none yet":    {daily, nil, metav1.ConditionFalse, postgresqlv1.ReasonNoDrillYet, "no drill has ended yet"},
		"a schedule that is never due": {
			&postgresqlv1.DrillConfiguration{Schedule: "0 2 30 2 *"}, nil, metav1.ConditionFalse, postgresqlv1.ReasonInvalidSchedule,
			`spec.backup.drill.schedule: schedule "0 2 30 2 *" is never due`,
		},
		"a zone that is not known": {
			&postgresqlv1.DrillConfiguration{Schedule: "@daily", TimeZone: "Mars/Olympus"}, nil, metav1.ConditionFalse, postgresqlv1.ReasonInvalidSchedule,
			`spec.backup.drill.timeZone: time zone "Mars/Olympus" is not known`,
		},
		"a good one": {daily, ago(time.Hour), metav1.ConditionTrue, postgresqlv1.ReasonVerified, "Backup shop was restored and checked at"},
		"too old": {
			daily, ago(72 * time.Hour), metav1.ConditionFalse, postgresqlv1.ReasonDrillTooOld, "kubectl get pods -l caretaker.dev/drill=db",
		},
		"too old by maxAge": {
			&postgresqlv1.DrillConfiguration{Schedule: "@daily", MaxAge: &metav1.Duration{Duration: time.Minute}}, ago(time.Hour),
			metav1.ConditionFalse, postgresqlv1.ReasonDrillTooOld, "the last drill that succeeded was at",
		},
		"not too old by maxAge": {
			&postgresqlv1.DrillConfiguration{Schedule: "@daily", MaxAge: &metav1.Duration{Duration: 100 * time.Hour}}, ago(72 * time.Hour),
			metav1.ConditionTrue, postgresqlv1.ReasonVerified, "was restored and checked",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := started(t, archives(tc.given))

			if tc.drill != nil {
				object := newBackup(func(spec *postgresqlv1.BackupSpec) { spec.Cluster.Name = "db" })
				object.Name = "shop"
				w.create(t, object)

				object.Status = postgresqlv1.BackupStatus{BackupID: "id", StoppedAt: tc.drill.StoppedAt, Drill: tc.drill}
				if err := w.server.Client.Status().Update(t.Context(), object); err != nil {
					t.Fatal(err)
				}

				w.settle(t)
			}

			all := w.cluster(t).Status.Conditions
			wantCondition(t, all, postgresqlv1.ConditionBackupVerified, tc.reason, tc.message)

			for _, condition := range all {
				if condition.Type == postgresqlv1.ConditionBackupVerified && condition.Status != tc.value {
					t.Errorf("it is %s", condition.Status)
				}
			}
		})
	}
}
