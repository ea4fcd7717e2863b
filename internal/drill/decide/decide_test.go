package decide_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/drill/decide"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

var created = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func world(at time.Time) decide.View {
	cluster := &v1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "ns", CreationTimestamp: metav1.NewTime(created)}}
	cluster.Spec.Storage.Size = "10Gi"
	cluster.Status.Image, cluster.Status.Major = "postgres:17", 17
	cluster.Spec.Backup = &v1.BackupConfiguration{
		ObjectStore: &v1.ObjectStore{DestinationPath: "s3://bucket/path"},
		Drill:       &v1.DrillConfiguration{Schedule: "0 4 * * *", Checks: []v1.DrillCheck{{Name: "rows", Database: "app", SQL: "SELECT true"}}},
	}

	taken := func(name string, at time.Time) v1.Backup {
		stopped := metav1.NewTime(at)
		backup := v1.Backup{ObjectMeta: metav1.ObjectMeta{Name: name}}
		backup.Spec.Cluster.Name = "db"
		backup.Status = v1.BackupStatus{BackupID: "id-" + name, StoppedAt: &stopped, ObjectStore: cluster.Spec.Backup.ObjectStore, Major: 17}

		return backup
	}

	return decide.View{Now: at, Cluster: cluster, Backups: []v1.Backup{taken("second", created.Add(2*time.Hour)), taken("first", created.Add(time.Hour))}}
}

func TestADrillIsDue(t *testing.T) {
	t.Parallel()

	if plan := decide.Decide(world(created.Add(3 * time.Hour))); plan.Create != nil {
		t.Errorf("before its time: %s", plan.Create.Name)
	}

	pod := decide.Decide(world(time.Date(2026, 3, 2, 4, 0, 1, 0, time.UTC))).Create
	if pod == nil || pod.Name != "db-drill-20260302040000" || pod.Annotations[naming.AnnotationDrillBackup] != "second" {
		t.Fatalf("at its time: %v", pod)
	}

	// Services and budgets select by it.
	if pod.Labels[naming.LabelCluster] != "" || pod.Labels[naming.LabelDrill] != "db" {
		t.Errorf("labels are %v", pod.Labels)
	}

	if told := pod.Spec.Containers[0].Env[0].Value; !strings.Contains(told, `"backupID":"id-second"`) || !strings.Contains(told, "SELECT true") {
		t.Errorf("it is told %s", told)
	}
}

func TestOneDrillAtATime(t *testing.T) {
	t.Parallel()

	view := world(time.Date(2026, 3, 3, 4, 0, 1, 0, time.UTC))
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: "db-drill-1", CreationTimestamp: metav1.NewTime(created.Add(24 * time.Hour)),
		Annotations: map[string]string{naming.AnnotationDrillBackup: "second"},
	}}
	view.Pods = []corev1.Pod{pod}

	if plan := decide.Decide(view); plan.Create != nil || len(plan.Delete) != 0 {
		t.Errorf("while one runs: %+v", plan)
	}

	view.Pods[0].Status.Phase = corev1.PodSucceeded
	if plan := decide.Decide(view); plan.Create != nil || len(plan.Delete) != 0 {
		t.Errorf("before its result is told: %+v", plan)
	}

	at := metav1.NewTime(created.Add(25 * time.Hour))
	view.Backups[0].Status.Drill = &v1.DrillStatus{Succeeded: true, StartedAt: &at, StoppedAt: &at}

	if plan := decide.Decide(view); len(plan.Delete) != 1 || plan.Create == nil {
		t.Errorf("once its result is told: %+v", plan)
	}
}

func TestNoDrill(t *testing.T) {
	t.Parallel()

	at := time.Date(2026, 3, 2, 4, 0, 1, 0, time.UTC)

	for name, change := range map[string]func(*decide.View){
		"not asked for": func(v *decide.View) { v.Cluster.Spec.Backup.Drill = nil },
		"no backup":     func(v *decide.View) { v.Backups = nil },
		"a backup that does not say where it is": func(v *decide.View) {
			v.Backups = v.Backups[:1]
			v.Backups[0].Status.ObjectStore = nil
		},
		"no backup in the Cluster's archive": func(v *decide.View) {
			v.Cluster.Spec.Backup.ObjectStore = &v1.ObjectStore{DestinationPath: "s3://bucket/path", ServerName: "db-2"}
		},
		"a wrong schedule": func(v *decide.View) { v.Cluster.Spec.Backup.Drill.Schedule = "never" },
	} {
		view := world(at)
		change(&view)

		if plan := decide.Decide(view); plan.Create != nil {
			t.Errorf("%s: %s", name, plan.Create.Name)
		}
	}
}
