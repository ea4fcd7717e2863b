package mysql

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	backupv1 "github.com/caretaker-dev/caretaker/api/backup/v1"
	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/mysqld"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

const source = "3e11fa47-71ca-11e1-9e33-c80aa9429562"

func newView(replicas int32, members ...mysqld.Member) View {
	v := View{
		Now: time.Unix(0, 0),
		Object: &databasev1.MySQL{
			ObjectMeta: metav1.ObjectMeta{Name: "shop-db", Namespace: "shop", UID: "11111111-2222-3333-4444-555555555555", Generation: 1},
			Spec:       databasev1.MySQLSpec{Version: "9.7", Storage: "10Gi", Replicas: &replicas, DeletionPolicy: databasev1.DeletionPolicyRetain},
		},
		Defaults: Defaults{Version: "9.7", Images: map[string]string{"9.7": "mysql:9.7"}, OperatorImage: "caretaker:1"},
		Owned:    owned.Objects{}, Pods: map[string]*corev1.Pod{}, Volumes: map[string]*corev1.PersistentVolumeClaim{},
		NewPassword: func() string { return "secret" },
	}

	for i, m := range members {
		if m.State == "" {
			continue // no pod
		}

		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Name: naming.Instance("shop-db", i), Annotations: map[string]string{mysqld.AnnotationMember: m.Encode()},
		}}
		if m.State == mysqld.StateOnline {
			pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		}

		v.Pods[pod.Name] = pod
	}

	return v
}

func online(role string) mysqld.Member {
	return mysqld.Member{Run: "r", State: mysqld.StateOnline, Role: role}
}

func waitingWith(gtids string) mysqld.Member {
	return mysqld.Member{Run: "run", State: mysqld.StateWaiting, GTIDs: gtids, Message: "in no group"}
}

// TestGroup: who begins a group, and what is told.
func TestGroup(t *testing.T) {
	t.Parallel()

	starting := mysqld.Member{Run: "r", State: mysqld.StateStarting, Message: "mysqld is starting"}
	joining := mysqld.Member{Run: "r", State: mysqld.StateJoining, Message: "catching up"}
	gone := mysqld.Member{}

	for name, tc := range map[string]struct {
		members []mysqld.Member
		change  func(*View)
		begins  string
		kind    conditions.Kind
		message string
	}{
		"ready":              {members: []mysqld.Member{online("replica"), online("primary"), online("replica")}, kind: conditions.Done, message: "3 of 3"},
		"alone":              {members: []mysqld.Member{online("primary")}, kind: conditions.Done, message: "1 of 1"},
		"no primary for now": {members: []mysqld.Member{online("replica"), gone, online("replica")}, kind: conditions.Waiting, message: "choose a primary"},
		"new":                {members: []mysqld.Member{waitingWith(""), waitingWith(""), waitingWith("")}, begins: "shop-db-0", kind: conditions.Waiting},
		"new and alone":      {members: []mysqld.Member{waitingWith("")}, begins: "shop-db-0", kind: conditions.Waiting},
		"after an outage, the one with all": {
			members: []mysqld.Member{waitingWith(source + ":1-5"), waitingWith(source + ":1-7"), waitingWith(source + ":1-6")},
			begins:  "shop-db-1", kind: conditions.Waiting,
		},
		"after an outage, the first of several with all": {
			members: []mysqld.Member{waitingWith(source + ":1-5"), waitingWith(source + ":1-7"), waitingWith(source + ":1-7")},
			begins:  "shop-db-1", kind: conditions.Waiting,
		},
		"one has not told": {members: []mysqld.Member{waitingWith(source + ":1-5"), waitingWith(source + ":1-7"), starting}, kind: conditions.Waiting, message: "shop-db-"},
		"one is gone":      {members: []mysqld.Member{waitingWith(source + ":1-5"), waitingWith(source + ":1-7"), gone}, kind: conditions.Waiting, message: "shop-db-"},
		"one is joining":   {members: []mysqld.Member{waitingWith(""), joining, waitingWith("")}, kind: conditions.Waiting},
		"others join by themselves": {
			members: []mysqld.Member{online("primary"), waitingWith(""), waitingWith("")}, kind: conditions.Waiting, message: "1 of 3 members ready",
		},
		"none has all": {
			members: []mysqld.Member{waitingWith(source + ":1-5"), waitingWith(source + ":1-4:9"), waitingWith("")},
			kind:    conditions.Stalled, message: AnnotationBeginWith,
		},
		"the user chooses": {
			members: []mysqld.Member{waitingWith(source + ":1-5"), waitingWith(source + ":1-4:9"), gone},
			change:  func(v *View) { v.Object.Annotations = map[string]string{AnnotationBeginWith: "shop-db-1"} },
			begins:  "shop-db-1", kind: conditions.Waiting,
		},
		"the user cannot choose against a group": {
			members: []mysqld.Member{online("primary"), waitingWith(""), waitingWith("")},
			change:  func(v *View) { v.Object.Annotations = map[string]string{AnnotationBeginWith: "shop-db-1"} },
			kind:    conditions.Waiting,
		},
		"ordered already": {
			members: []mysqld.Member{waitingWith("")},
			change:  func(v *View) { v.Pods["shop-db-0"].Annotations[mysqld.AnnotationBegin] = "run" },
			kind:    conditions.Waiting, message: "shop-db-0 to begin",
		},
		"ordered for an earlier run": {
			members: []mysqld.Member{waitingWith("")},
			change:  func(v *View) { v.Pods["shop-db-0"].Annotations[mysqld.AnnotationBegin] = "before" },
			begins:  "shop-db-0", kind: conditions.Waiting,
		},
		"cannot be read": {members: []mysqld.Member{waitingWith("x:5-1")}, kind: conditions.Stalled, message: "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			v := newView(int32(len(tc.members)), tc.members...)
			if tc.change != nil {
				tc.change(&v)
			}

			begin, outcome := v.group()

			got := ""
			if begin != nil {
				got = begin.Pod
			}

			if got != tc.begins || outcome.Kind != tc.kind || !strings.Contains(outcome.Message, tc.message) {
				t.Errorf("begins: %q, outcome %+v\nwant %q, kind %v, %q", got, outcome, tc.begins, tc.kind, tc.message)
			}
		})
	}
}

// settled is a view whose objects are as they should be.
func settled(t *testing.T, replicas int32, members ...mysqld.Member) View {
	t.Helper()

	v := newView(replicas, members...)

	for _, change := range Decide(v).Changes {
		apply, ok := change.(owned.Apply)
		if !ok {
			t.Fatalf("%s is no creation", change)
		}

		v.Owned[owned.Key{Kind: apply.Object.GetObjectKind().GroupVersionKind().Kind, Name: apply.Object.GetName()}] = apply.Object
	}

	return v
}

func TestDecide(t *testing.T) {
	t.Parallel()

	three := []mysqld.Member{online("primary"), online("replica"), online("replica")}

	v := settled(t, 3, three...)
	if plan := Decide(v); len(plan.Changes) > 0 || plan.Outcome.Kind != conditions.Done || plan.Status.Primary != "shop-db-0" || plan.Status.ReadyReplicas != 3 {
		t.Errorf("everything is as it should be: %v, %+v, %+v", plan.Changes, plan.Outcome, plan.Status)
	}

	for name, tc := range map[string]struct {
		change  func(*View)
		changes string
		reason  string
	}{
		"another operator restarts nothing": {change: func(v *View) { v.Defaults.OperatorImage = "caretaker:2" }, reason: databasev1.ReasonReady},
		"another image of the chart restarts nothing": {
			change: func(v *View) { v.Defaults.Images["9.7"] = "mysql:9.7.5" }, reason: databasev1.ReasonReady,
		},
		"a new size grows volumes, and leaves the template": {
			change: func(v *View) {
				v.Object.Spec.Storage = "20Gi"
				claim := claim(input{object: v.Object, templateStorage: "10Gi"})
				claim.Name = "data-shop-db-0"
				v.Volumes[claim.Name] = &claim
			},
			changes: "update PersistentVolumeClaim data-shop-db-0", reason: databasev1.ReasonRollingUpdate,
		},
		"another series is refused":    {change: func(v *View) { v.Object.Spec.Version = "8.4" }, reason: databasev1.ReasonMajorVersionChange},
		"a series that is not pinned":  {change: func(v *View) { v.Object.Spec.Version = "" }, reason: databasev1.ReasonReady},
		"more memory is rolled out":    {change: moreMemory, changes: "update StatefulSet shop-db", reason: databasev1.ReasonRollingUpdate},
		"a lost service is made again": {change: func(v *View) { delete(v.Owned, owned.Key{Kind: "Service", Name: "shop-db-rw"}) }, changes: "create Service shop-db-rw", reason: databasev1.ReasonRollingUpdate},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			v := settled(t, 3, three...)
			tc.change(&v)
			plan := Decide(v)

			var changes []string
			for _, change := range plan.Changes {
				changes = append(changes, change.String())
			}

			if got := strings.Join(changes, ", "); got != tc.changes || plan.Outcome.Reason != tc.reason {
				t.Errorf("changes: %q, outcome %+v\nwant %q and %s", got, plan.Outcome, tc.changes, tc.reason)
			}

			if plan.Outcome.Kind == conditions.Waiting && plan.After == 0 {
				t.Error("it says to wait, and would not look again")
			}
		})
	}
}

// TestBackup: what becomes of spec.backup.
func TestBackup(t *testing.T) {
	t.Parallel()

	isThere := func(v *View) {
		v.Dumps, _ = Decide(*v).Backup.Changes[0].(owned.Apply).Object.(*backupv1.Backup)
	}

	for name, tc := range map[string]struct {
		members []mysqld.Member
		change  func(*View)
		changes string
		reason  string
		message string
	}{
		"not yet ready":       {members: []mysqld.Member{waitingWith("")}, reason: databasev1.ReasonWaitingForDatabase, message: "waits for the database"},
		"ready":               {changes: "create Backup shop-db", reason: databasev1.ReasonScheduled, message: "0 2 * * *, to s3://backups/prod/shop/shop-db"},
		"as it should be":     {change: isThere, reason: databasev1.ReasonScheduled},
		"not ready for now":   {change: func(v *View) { isThere(v); v.Pods = nil }, reason: databasev1.ReasonScheduled},
		"another version":     {change: func(v *View) { isThere(v); v.Object.Spec.Version = "8.4" }, reason: databasev1.ReasonScheduled},
		"another schedule":    {change: func(v *View) { isThere(v); v.Object.Spec.Backup.Schedule = "@daily" }, changes: "update Backup shop-db", reason: databasev1.ReasonScheduled},
		"switched off":        {change: func(v *View) { isThere(v); v.Object.Spec.Backup.Enabled = false }, changes: "delete Backup shop-db"},
		"never asked for":     {change: func(v *View) { v.Object.Spec.Backup = nil }},
		"nowhere to put them": {change: func(v *View) { v.Defaults.Destination = nil }, reason: databasev1.ReasonDestinationMissing, message: "database.backup.destination"},
		"a destination of its own": {
			change:  func(v *View) { v.Object.Spec.Backup.Destination = &databasev1.BackupDestination{Bucket: "mine"} },
			changes: "create Backup shop-db", reason: databasev1.ReasonScheduled, message: "s3://mine/shop/shop-db",
		},
		"the Backup is stalled": {
			change: func(v *View) {
				isThere(v)
				v.Dumps.Status.Conditions = []metav1.Condition{{Type: "Stalled", Status: metav1.ConditionTrue, Reason: "SecretMissing", Message: "there is no Secret"}}
			},
			reason: "SecretMissing", message: "Backup shop-db (kubectl describe dump): there is no Secret",
		},
		"the last dump failed": {
			change:  func(v *View) { isThere(v); v.Dumps.Status.LastFailure = failed(2) },
			reason:  backupv1.ReasonDumpFailed,
			message: "Backup shop-db (kubectl describe dump): the last dump failed at 1970-01-01T00:00:02Z: no such bucket: correct spec.backup.destination",
		},
		"one succeeded since": {
			change: func(v *View) {
				isThere(v)
				v.Dumps.Status.LastFailure, v.Dumps.Status.LastDump = failed(2), &backupv1.DumpStatus{CompletedAt: &metav1.Time{Time: time.Unix(3, 0)}}
			},
			reason: databasev1.ReasonScheduled,
		},
		"to be proved": {
			change: func(v *View) {
				isThere(v)
				v.Object.Spec.Backup.Verification = &backupv1.Verification{TestRestore: true}
			},
			changes: "update Backup shop-db", reason: databasev1.ReasonScheduled,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			members := tc.members
			if members == nil {
				members = []mysqld.Member{online("primary")}
			}

			v := settled(t, 1, members...)
			v.Object.Spec.Backup = &databasev1.BackupSpec{Enabled: true, Schedule: "0 2 * * *", Retention: "30d"}
			v.Defaults.Destination = &databasev1.BackupDestination{Bucket: "backups", Prefix: "prod", SecretName: "s3"}

			if tc.change != nil {
				tc.change(&v)
			}

			plan := Decide(v)

			var changes []string
			for _, change := range plan.Backup.Changes {
				changes = append(changes, change.String())
			}

			told := plan.Backup.Condition
			if got := strings.Join(changes, ", "); got != tc.changes || told.Reason != tc.reason || !strings.Contains(told.Message, tc.message) {
				t.Errorf("changes: %q, condition %+v\nwant %q, %s: %s", got, told, tc.changes, tc.reason, tc.message)
			}

			if told.Scheduled != (tc.reason == databasev1.ReasonScheduled) {
				t.Errorf("the condition is %+v", told)
			}

			if plan.Outcome.Kind == conditions.Done && len(plan.Changes) > 0 {
				t.Errorf("the database changes, too: %v", plan.Changes)
			}
		})
	}
}

func failed(at int64) *backupv1.DumpFailure {
	return &backupv1.DumpFailure{Job: "shop-db-immediate", Time: metav1.Unix(at, 0), Message: "no such bucket: correct spec.destination"}
}

// TestBackupVerified: what the Backup says of its test restores is the MySQL's word, with the names that the fields have there.
func TestBackupVerified(t *testing.T) {
	t.Parallel()

	says := func(status metav1.ConditionStatus, reason, message string) *backupv1.Backup {
		return &backupv1.Backup{Status: backupv1.BackupStatus{Conditions: []metav1.Condition{
			{Type: backupv1.ConditionVerified, Status: status, Reason: reason, Message: message},
		}}}
	}
	tested := &backupv1.Verification{TestRestore: true}

	for name, tc := range map[string]struct {
		asked *backupv1.Verification
		dumps *backupv1.Backup
		off   bool
		want  string
	}{
		"not asked for":      {dumps: says(metav1.ConditionTrue, "Verified", "well")},
		"asked for, and not": {asked: &backupv1.Verification{}},
		"switched off":       {asked: tested, off: true},
		"no Backup yet":      {asked: tested, want: "Unknown NotVerified no dump was restored to prove it yet"},
		"no word yet":        {asked: tested, dumps: &backupv1.Backup{}, want: "Unknown NotVerified no dump was restored to prove it yet"},
		"proved":             {asked: tested, dumps: says(metav1.ConditionTrue, "Verified", "dump x was restored"), want: "True Verified dump x was restored"},
		"not proved": {
			asked: tested, dumps: says(metav1.ConditionFalse, "VerificationFailed", "it takes more room: raise spec.verification.size"),
			want: "False VerificationFailed it takes more room: raise spec.backup.verification.size",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			v := settled(t, 1, online("primary"))
			v.Object.Spec.Backup = &databasev1.BackupSpec{
				Enabled: !tc.off, Schedule: "0 2 * * *", Destination: &databasev1.BackupDestination{Bucket: "mine"}, Verification: tc.asked,
			}
			v.Dumps = tc.dumps
			v.Object.Status.Conditions = []metav1.Condition{{Type: databasev1.ConditionBackupVerified, Status: "True", Reason: "Before", Message: "before"}}

			got := ""
			if told := meta.FindStatusCondition(statusOf(v, Decide(v), nil, nil).Conditions, databasev1.ConditionBackupVerified); told != nil {
				got = string(told.Status) + " " + told.Reason + " " + told.Message
			}

			if got != tc.want {
				t.Errorf("the condition is %q, want %q", got, tc.want)
			}
		})
	}
}

// TestRefusedBackup: what the API server has against the Backup is told of the backups, and not of the database.
func TestRefusedBackup(t *testing.T) {
	t.Parallel()

	v := settled(t, 1, online("primary"))
	v.Object.Spec.Backup = &databasev1.BackupSpec{
		Enabled: true, Schedule: "0 2 * * *", Destination: &databasev1.BackupDestination{Bucket: "mine", Prefix: "a b"},
	}

	refused := apierrors.NewInvalid(backupv1.GroupVersion.WithKind("Backup").GroupKind(), "shop-db", field.ErrorList{
		field.Invalid(field.NewPath("spec", "destination", "prefix"), "a b", "must be a relative path"),
	})
	status := statusOf(v, Decide(v), nil, refused)

	told := meta.FindStatusCondition(status.Conditions, databasev1.ConditionBackup)
	if told.Status != metav1.ConditionFalse || told.Reason != databasev1.ReasonError || !strings.Contains(told.Message, "spec.backup.destination.prefix") {
		t.Errorf("the condition is %+v", told)
	}

	if !meta.IsStatusConditionTrue(status.Conditions, databasev1.ConditionReady) {
		t.Errorf("the database is told not to be ready: %+v", status.Conditions)
	}
}

func moreMemory(v *View) {
	v.Object.Spec.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("2Gi")}
}

func TestImageMustBeConfigured(t *testing.T) {
	t.Parallel()

	v := newView(1)
	v.Object.Spec.Version = "8.4"

	plan := Decide(v)
	if plan.Outcome.Kind != conditions.Stalled || plan.Outcome.Reason != databasev1.ReasonImageNotConfigured || len(plan.Changes) > 0 {
		t.Errorf("outcome %+v, changes %v", plan.Outcome, plan.Changes)
	}
}

// TestStatefulSet: what the promises rest on.
func TestStatefulSet(t *testing.T) {
	t.Parallel()

	v := settled(t, 3)
	set, ok := v.Owned[owned.Key{Kind: "StatefulSet", Name: "shop-db"}].(*appsv1.StatefulSet)

	if !ok {
		t.Fatal("there is no StatefulSet")
	}

	if set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement {
		t.Error("members that start one after the other never come back from an outage")
	}

	if policy := set.Spec.PersistentVolumeClaimRetentionPolicy; policy.WhenDeleted != "Retain" || policy.WhenScaled != "Retain" {
		t.Errorf("volumes are not retained: %+v", policy)
	}

	if g := group("shop", "shop-db"); g != group("shop", "shop-db") || g == group("shop", "other") || len(g) != 36 {
		t.Errorf("the group is %q", g)
	}
}
