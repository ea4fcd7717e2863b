package api

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	backupv1 "github.com/caretaker-dev/caretaker/api/backup/v1"
	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	"github.com/caretaker-dev/caretaker/internal/mysql"
	"github.com/caretaker-dev/caretaker/internal/mysqld"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/test/internal/crash"
)

// newMySQLWorld has a StatefulSet controller and members that say what real ones would.
func newMySQLWorld(t *testing.T) *shortWorld {
	t.Helper()

	w := newShortWorld(t, databasev1.GroupVersion.WithKind("MySQL"),
		schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "StatefulSet"},
		corev1.SchemeGroupVersion.WithKind("Secret"), corev1.SchemeGroupVersion.WithKind("Service"), corev1.SchemeGroupVersion.WithKind("Pod"),
		backupv1.GroupVersion.WithKind("Backup"))
	w.others = w.membersMove
	w.make = func(t *testing.T, process *crash.Process) reconciler {
		t.Helper()

		r, err := mysql.New(process.Client(), process.Client(), mysql.Options{
			Defaults: mysql.Defaults{Version: "9.7", Images: map[string]string{"9.7": "mysql:9.7"}, OperatorImage: "caretaker:1"},
			Clock:    clock.RealClock{}, Recorder: w.events,
		})
		if err != nil {
			t.Fatal(err)
		}

		return r
	}

	return w
}

// membersMove makes the pods of the StatefulSet; members wait, the ordered one begins, the others join.
func (w *shortWorld) membersMove(t *testing.T) bool {
	t.Helper()

	set := &unstructured.Unstructured{}
	set.SetGroupVersionKind(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "StatefulSet"})

	if !w.get(t, "shop", set) {
		return false
	}

	replicas, _, _ := unstructured.NestedInt64(set.Object, "spec", "replicas")
	begun := false

	for i := range int(replicas) {
		pod := &corev1.Pod{}
		if w.get(t, naming.Instance("shop", i), pod) {
			begun = begun || pod.Annotations[mysqld.AnnotationBegin] == "run"
		}
	}

	moved := false
	for i := range int(replicas) {
		moved = w.memberMoves(t, i, begun) || moved
	}

	return moved
}

//nolint:revive // the flag is a fact about the group
func (w *shortWorld) memberMoves(t *testing.T, ordinal int, begun bool) bool {
	t.Helper()

	pod := &corev1.Pod{}
	waiting := mysqld.Member{Run: "run", State: mysqld.StateWaiting}

	if !w.get(t, naming.Instance("shop", ordinal), pod) {
		pod = &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Name: naming.Instance("shop", ordinal), Namespace: w.namespace,
				Labels:      map[string]string{naming.LabelMySQL: "shop", naming.LabelManagedBy: naming.ManagedBy},
				Annotations: map[string]string{mysqld.AnnotationMember: waiting.Encode()},
			},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "mysql", Image: "mysql:9.7"}}},
		}

		if err := w.server.Client.Create(t.Context(), pod); err != nil {
			t.Fatal(err)
		}

		return true
	}

	online := mysqld.Member{Run: "run", State: mysqld.StateOnline, Role: naming.RoleReplica, Version: "9.7.4"}
	if pod.Annotations[mysqld.AnnotationBegin] == "run" {
		online.Role = naming.RolePrimary
	}

	if !begun || pod.Annotations[mysqld.AnnotationMember] == online.Encode() {
		return false
	}

	pod.Annotations[mysqld.AnnotationMember] = online.Encode()
	if err := w.server.Client.Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}

	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Unix(1, 0)}}
	if err := w.server.Client.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}

	return true
}

func newMySQL() *databasev1.MySQL {
	three := int32(3)

	return &databasev1.MySQL{Spec: databasev1.MySQLSpec{
		Version: "9.7", Storage: "1Gi", Replicas: &three,
		Backup: &databasev1.BackupSpec{
			Enabled: true, Schedule: "0 2 * * *", Retention: "30d",
			Destination: &databasev1.BackupDestination{Bucket: "dumps", Endpoint: "https://s3.example.com", SecretName: "s3"},
			Verification: &backupv1.Verification{
				TestRestore: true, Size: "20Gi", Checks: []backupv1.VerificationCheck{{Name: "orders", SQL: "SELECT COUNT(*) > 0 FROM orders"}},
			},
		},
	}}
}

// TestMySQL: one member is ordered to begin, once, and the others join.
func TestMySQL(t *testing.T) {
	t.Parallel()

	w := newMySQLWorld(t)
	w.create(t, newMySQL())
	w.settle(t)

	object := &databasev1.MySQL{}
	w.get(t, "shop", object)
	wantCondition(t, object.Status.Conditions, "Ready", "Ready", "3 of 3 members ready")

	if object.Status.Primary != "shop-0" || object.Status.Version != "9.7.4" || object.Status.SecretName != "shop-app" {
		t.Errorf("status is %+v", object.Status)
	}

	ordered := 0

	for i := range 3 {
		pod := &corev1.Pod{}
		w.get(t, naming.Instance("shop", i), pod)

		if pod.Annotations[mysqld.AnnotationBegin] != "" {
			ordered++
		}
	}

	if ordered != 1 {
		t.Errorf("%d members were ordered to begin a group, want one", ordered)
	}

	wantCondition(t, object.Status.Conditions, "BackupScheduled", "Scheduled", "0 2 * * *, to s3://dumps/"+w.namespace+"/shop")

	dumps := &backupv1.Backup{}
	if !w.get(t, "shop", dumps) || dumps.Spec.Source.Type != backupv1.SourceMySQL || dumps.Spec.Source.Connection.ClusterRef.Name != "shop" ||
		dumps.Spec.Schedule != "0 2 * * *" || dumps.Spec.Retention != "30d" || dumps.Spec.Destination.Prefix != w.namespace+"/shop" {
		t.Errorf("the Backup is %+v", dumps.Spec)
	}

	if given := dumps.Spec.Verification; given == nil || !given.TestRestore || given.Size != "20Gi" || len(given.Checks) != 1 || given.Checks[0].Name != "orders" {
		t.Errorf("the Backup's verification is %+v", given)
	}

	wantCondition(t, object.Status.Conditions, "BackupVerified", "NotVerified", "no dump was restored to prove it yet")
	w.dumpsTurn(t, "BackupVerified", "VerificationFailed", "raise spec.backup.verification.size", backupv1.BackupStatus{Conditions: []metav1.Condition{{
		Type: backupv1.ConditionVerified, Status: metav1.ConditionFalse, Reason: backupv1.ReasonVerificationFailed, Message: "it takes too much room: raise spec.verification.size",
		LastTransitionTime: metav1.Unix(1, 0),
	}}})
	w.dumpsTurn(t, "BackupScheduled", "DumpFailed", "the last dump failed at 1970-01-01T00:00:01Z: no such bucket", backupv1.BackupStatus{
		LastFailure: &backupv1.DumpFailure{Job: "shop-immediate", Time: metav1.Unix(1, 0), Message: "no such bucket"},
	})
	w.dumpsTurn(t, "BackupScheduled", "Scheduled", "0 2 * * *, to s3://dumps/", backupv1.BackupStatus{})

	// A proof that is no longer asked for is not told of.
	w.get(t, "shop", object)
	object.Spec.Backup.Verification = nil

	if err := w.server.Client.Update(t.Context(), object); err != nil {
		t.Fatal(err)
	}

	w.settle(t)
	w.get(t, "shop", object)
	w.get(t, "shop", dumps)

	if told := meta.FindStatusCondition(object.Status.Conditions, "BackupVerified"); told != nil || dumps.Spec.Verification != nil {
		t.Errorf("no proof is asked for: %+v, %+v", told, dumps.Spec.Verification)
	}

	// What was changed by hand is put right; a Backup that is no longer wanted goes.
	dumps.Spec.Schedule = "0 3 * * *"
	if err := w.server.Client.Update(t.Context(), dumps); err != nil {
		t.Fatal(err)
	}

	w.settle(t)

	if w.get(t, "shop", dumps); dumps.Spec.Schedule != "0 2 * * *" {
		t.Errorf("the schedule is %s", dumps.Spec.Schedule)
	}

	w.get(t, "shop", object)
	object.Spec.Backup.Enabled = false

	if err := w.server.Client.Update(t.Context(), object); err != nil {
		t.Fatal(err)
	}

	w.settle(t)

	if w.get(t, "shop", dumps) {
		t.Error("backups are switched off, and the Backup is still there")
	}
}

// dumpsTurn gives the Backup a status, and demands a condition of the MySQL.
func (w *shortWorld) dumpsTurn(t *testing.T, condition, reason, message string, status backupv1.BackupStatus) {
	t.Helper()

	dumps, object := &backupv1.Backup{}, &databasev1.MySQL{}
	w.get(t, "shop", dumps)

	dumps.Status = status
	if err := w.server.Client.Status().Update(t.Context(), dumps); err != nil {
		t.Fatal(err)
	}

	w.settle(t)
	w.get(t, "shop", object)
	wantCondition(t, object.Status.Conditions, condition, reason, message)
}

// TestMySQLWithoutDumps: a Backup that cannot be made is told of, and does not stop the database.
func TestMySQLWithoutDumps(t *testing.T) {
	t.Parallel()

	w := newMySQLWorld(t)
	w.create(t, newDump())

	object := newMySQL()
	w.create(t, object)
	w.settle(t)
	w.get(t, "shop", object)
	wantCondition(t, object.Status.Conditions, "Ready", "Ready", "3 of 3 members ready")

	told := meta.FindStatusCondition(object.Status.Conditions, "BackupScheduled")
	if told == nil || told.Status != metav1.ConditionFalse || told.Reason != "ObjectConflict" || !strings.Contains(told.Message, "it is left alone") {
		t.Errorf("BackupScheduled is %+v", told)
	}
}
