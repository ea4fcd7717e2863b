package decide_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/scheduledbackup/decide"
)

var created = time.Date(2024, 1, 14, 12, 0, 0, 0, time.UTC)

// daily is the document's ScheduledBackup.
func daily() decide.View {
	yes := true
	object := &v1.ScheduledBackup{ObjectMeta: metav1.ObjectMeta{
		Name: "financial-db-daily", Namespace: "ns", UID: "schedule", CreationTimestamp: metav1.NewTime(created),
	}}
	object.Spec = v1.ScheduledBackupSpec{
		Schedule: "0 2 * * *", BackupOwnerReference: v1.BackupOwnerSelf, Immediate: &yes,
		Cluster: v1.LocalObjectReference{Name: "financial-db"},
	}

	return decide.View{
		Now: created.Add(time.Second), Schedule: object,
		Cluster: &v1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "financial-db", Namespace: "ns", UID: "cluster"}},
	}
}

// pass decides, and puts what was made into the world.
func pass(view *decide.View, at time.Time) (name string, plan decide.Plan) {
	view.Now = at
	plan = decide.Decide(*view)
	view.Schedule = view.Schedule.DeepCopy()
	view.Schedule.Status = plan.Status

	if plan.Create == nil {
		return "", plan
	}

	view.Backups = append(view.Backups, *plan.Create)

	return plan.Create.Name, plan
}

func end(view *decide.View) {
	for i := range view.Backups {
		now := metav1.NewTime(view.Now)
		view.Backups[i].Status.StoppedAt = &now
	}
}

func TestTheDocumentsSchedule(t *testing.T) {
	t.Parallel()

	view := daily()

	name, plan := pass(&view, created.Add(time.Second))
	if name != "financial-db-daily-20240114120000" {
		t.Errorf("immediate: made %q", name)
	}

	if owners := plan.Create.OwnerReferences; len(owners) != 1 || owners[0].Kind != "ScheduledBackup" || owners[0].UID != "schedule" {
		t.Errorf("owners are %+v", owners)
	}

	end(&view)

	if name, _ := pass(&view, created.Add(time.Hour)); name != "" {
		t.Errorf("an hour later: made %q", name)
	}

	if name, _ := pass(&view, time.Date(2024, 1, 15, 2, 0, 3, 0, time.UTC)); name != "financial-db-daily-20240115020000" {
		t.Errorf("at two o'clock: made %q", name)
	}

	end(&view)

	if name, _ := pass(&view, time.Date(2024, 1, 15, 2, 0, 4, 0, time.UTC)); name != "" {
		t.Errorf("a second time for one moment: made %q", name)
	}
}

// A pass that dies after it has made the Backup, and before it has said so, makes the very same again.
func TestTheSameMomentHasTheSameName(t *testing.T) {
	t.Parallel()

	view := daily()

	first := decide.Decide(view).Create
	view.Now = view.Now.Add(time.Minute)
	second := decide.Decide(view).Create

	if first == nil || second == nil || first.Name != second.Name {
		t.Errorf("made %v and then %v", first, second)
	}
}

func TestWhatWasMissedIsMadeUpForOnce(t *testing.T) {
	t.Parallel()

	view := daily()
	pass(&view, created)
	end(&view)

	if name, _ := pass(&view, time.Date(2024, 1, 20, 10, 0, 0, 0, time.UTC)); name != "financial-db-daily-20240120020000" {
		t.Errorf("after six days: made %q", name)
	}

	end(&view)

	if name, _ := pass(&view, time.Date(2024, 1, 20, 10, 0, 5, 0, time.UTC)); name != "" {
		t.Errorf("and then %q", name)
	}
}

func TestWhatHoldsASchedule(t *testing.T) {
	t.Parallel()

	yes := true
	two := time.Date(2024, 1, 15, 2, 0, 3, 0, time.UTC)

	for _, tc := range []struct {
		name   string
		change func(*decide.View)
		kind   conditions.Kind
		reason string
	}{
		{"the last one still runs", func(v *decide.View) { v.Backups[0].Status.StoppedAt = nil }, conditions.Waiting, v1.ReasonBackupRunning},
		{"no Cluster", func(v *decide.View) { v.Cluster = nil }, conditions.Waiting, v1.ReasonClusterMissing},
		{"suspended", func(v *decide.View) { v.Schedule.Spec.Suspend = &yes }, conditions.Resting, v1.ReasonSuspended},
		{"no such day", func(v *decide.View) { v.Schedule.Spec.Schedule = "0 0 30 2 *" }, conditions.Stalled, v1.ReasonInvalidSchedule},
		{"no such zone", func(v *decide.View) { v.Schedule.Spec.TimeZone = "Mars/Olympus" }, conditions.Stalled, v1.ReasonInvalidSchedule},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			view := daily()
			pass(&view, created)
			end(&view)
			tc.change(&view)

			name, plan := pass(&view, two)
			if name != "" || plan.Outcome.Kind != tc.kind || plan.Outcome.Reason != tc.reason || plan.Outcome.Message == "" {
				t.Errorf("made %q, said %+v", name, plan.Outcome)
			}
		})
	}
}

func TestASuspendedScheduleIsNotMadeUpFor(t *testing.T) {
	t.Parallel()

	yes := true
	view := daily()
	pass(&view, created)
	end(&view)

	view.Schedule.Spec.Suspend = &yes
	pass(&view, time.Date(2024, 1, 15, 1, 0, 0, 0, time.UTC))

	view.Schedule.Spec.Suspend = nil
	if name, _ := pass(&view, time.Date(2024, 1, 18, 1, 0, 0, 0, time.UTC)); name != "" {
		t.Errorf("made %q for what was due while suspended", name)
	}

	if name, _ := pass(&view, time.Date(2024, 1, 18, 2, 0, 1, 0, time.UTC)); name != "financial-db-daily-20240118020000" {
		t.Errorf("then made %q", name)
	}
}
