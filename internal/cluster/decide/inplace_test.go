package decide_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/decide"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// keepsBackups gives a Cluster an archive and a Backup.
func keepsBackups(w *world) {
	spec(func(s *v1.ClusterSpec) {
		s.Backup = &v1.BackupConfiguration{ObjectStore: &v1.ObjectStore{DestinationPath: "s3://bucket/path"}}
	})(w)

	ended := metav1.NewTime(w.view.Now)
	w.view.Backups = []v1.Backup{{
		ObjectMeta: metav1.ObjectMeta{Name: "monday", Namespace: "apps"},
		Spec:       v1.BackupSpec{Cluster: v1.LocalObjectReference{Name: "db"}},
		Status:     v1.BackupStatus{Phase: v1.BackupCompleted, BackupID: "stored-monday", StartedAt: &ended, StoppedAt: &ended, Major: 17},
	}}
}

func wish(wish v1.RecoverInPlace) mutation {
	return spec(func(s *v1.ClusterSpec) { s.RecoverInPlace = &wish })
}

// until steps until the last recovery is at a step.
func (w *world) until(step v1.InPlaceStep) {
	w.t.Helper()

	for range 60 {
		if is := w.view.Cluster.Status.RecoverInPlace; is != nil && is.ID == w.view.Cluster.Spec.RecoverInPlace.ID && is.Step == step {
			return
		}

		w.step()
	}

	w.t.Fatalf("%s never came: %+v; %s", step, w.view.Cluster.Status.RecoverInPlace, w.plan().Outcome.Message)
}

func (w *world) inUse() []string { return slices.Sorted(maps.Keys(w.view.Volumes)) }

func TestRecoveryInPlaceAndBack(t *testing.T) {
	t.Parallel()

	w := newWorld(t, keepsBackups, running, spec(func(s *v1.ClusterSpec) { s.DeletionPolicy = v1.DeletionPolicyDelete }))
	before := w.view.Record.Spec

	wish(v1.RecoverInPlace{ID: "one", RecoveryTarget: &v1.RecoveryTarget{TargetTime: w.view.Now.UTC().Format("2006-01-02 15:04:05")}})(w)

	// The first pass only says what is to be done.
	if plan := w.step(); len(plan.Actions) > 0 || plan.Status.RecoverInPlace.Step != v1.InPlaceStopping {
		t.Fatalf("the first pass does %v; %+v", printed(plan), plan.Status.RecoverInPlace)
	}

	w.until(v1.InPlaceRecovering)

	record := w.view.Record.Spec
	if record.Term != 0 || record.Bootstrap != "db-3" || record.Pending == nil || record.Pending.Term <= before.Term ||
		record.Pending.Timeline <= before.Timeline || record.Pending.Request != "one" {
		t.Fatalf("the record begins with %+v; before: %+v", record, before)
	}

	for _, action := range w.plan().Actions {
		w.do(action)
	}

	live, _ := w.view.Owned[decide.Key{Kind: "ConfigMap", Name: "db-postgresql"}].(*corev1.ConfigMap)
	config := w.config([]byte(live.Data[instanceapi.ConfigKey]))

	if asked := config.Bootstrap.Recovery; asked == nil || asked.InPlace != "one" || asked.Owner != "app" || asked.Target.Time == "" {
		t.Errorf("the first instance is to recover %+v", asked)
	}

	w.until(v1.InPlaceCompleted)
	w.settle(40)

	if got := w.inUse(); !slices.Equal(got, []string{"db-3", "db-4", "db-5"}) {
		t.Errorf("in use: %v", got)
	}

	for name, volume := range w.view.SetAside {
		if volume.Labels[naming.LabelSetAside] != "one" || len(volume.OwnerReferences) > 0 {
			t.Errorf("%s: %v, owned by %v", name, volume.Labels, volume.OwnerReferences)
		}
	}

	goBack(t, w, before)
}

// goBack takes what recovery "one" set aside into use again.
func goBack(t *testing.T, w *world, before v1.ClusterTermSpec) {
	t.Helper()

	after := w.view.Record.Spec

	wish(v1.RecoverInPlace{ID: "two", SetAside: "one"})(w)
	w.until(v1.InPlaceCompleted)
	w.settle(40)

	if got := w.inUse(); !slices.Equal(got, []string{"db-0", "db-1", "db-2"}) {
		t.Errorf("in use after going back: %v", got)
	}

	back := w.view.Record.Spec
	if back.Primary.MemberID != before.Primary.MemberID || back.Term <= after.Term || back.Timeline <= after.Timeline || back.Seq <= before.Seq {
		t.Errorf("the record after going back: %+v; before: %+v, in between: %+v", back, before, after)
	}

	if plan := w.plan(); plan.Outcome.Kind != conditions.Done || len(plan.Actions) > 0 {
		t.Errorf("it does not come to rest: %s, %v", plan.Outcome.Message, printed(plan))
	}
}

// A spec that turns invalid meanwhile must not bring instances back on volumes that are being set aside.
func TestNothingIsHealedWhileVolumesAreSetAside(t *testing.T) {
	t.Parallel()

	w := newWorld(t, keepsBackups, running, wish(v1.RecoverInPlace{ID: "one"}))
	w.until(v1.InPlaceSettingAside)
	setParameter("max_connections", "many")(w)

	if plan := w.plan(); len(plan.Actions) > 0 {
		t.Errorf("it does %v", printed(plan))
	}
}

// A wish that is changed while volumes are being exchanged waits for that to be over: no set of volumes is torn apart.
func TestAnotherWishWaitsForTheExchange(t *testing.T) {
	t.Parallel()

	w := newWorld(t, keepsBackups, running, wish(v1.RecoverInPlace{ID: "one"}))
	w.until(v1.InPlaceSettingAside)
	wish(v1.RecoverInPlace{ID: "two"})(w)
	w.until(v1.InPlaceCompleted)
	w.settle(40)

	for name, volume := range w.view.SetAside {
		want := "one"
		if slices.Contains([]string{"db-3", "db-4", "db-5"}, name) {
			want = "two"
		}

		if got := volume.Labels[naming.LabelSetAside]; got != want {
			t.Errorf("%s was set aside by %s, not %s", name, got, want)
		}
	}

	// What the first wish left behind holds nothing.
	for _, set := range w.view.Cluster.Status.SetAside {
		if set.Incomplete != (set.ID == "two") {
			t.Errorf("%+v", set)
		}
	}
}

func TestRecoveryInPlaceIsRefused(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		mutations []mutation
		wish      v1.RecoverInPlace
		message   string
	}{
		"no archive":     {wish: v1.RecoverInPlace{}, message: "spec.backup names none"},
		"no backup":      {mutations: []mutation{keepsBackups, func(w *world) { w.view.Backups = nil }}, message: "no Backup of this Cluster is complete"},
		"unknown backup": {mutations: []mutation{keepsBackups}, wish: v1.RecoverInPlace{Backup: &v1.LocalObjectReference{Name: "monday"}}, message: `there is no Backup "monday"`},
		"another's backup": {mutations: []mutation{keepsBackups, func(w *world) {
			w.view.InPlaceBackup = w.view.Backups[0].DeepCopy()
			w.view.InPlaceBackup.Spec.Cluster.Name = "orders"
		}}, wish: v1.RecoverInPlace{Backup: &v1.LocalObjectReference{Name: "monday"}}, message: `Backup "monday" is of Cluster orders`},
		"hibernated":  {mutations: []mutation{keepsBackups, annotate(naming.AnnotationHibernate, "on")}, message: "the Cluster is hibernated"},
		"in future":   {mutations: []mutation{keepsBackups}, wish: v1.RecoverInPlace{RecoveryTarget: &v1.RecoveryTarget{TargetTime: "2120-01-01"}}, message: "is in the future"},
		"too early":   {mutations: []mutation{keepsBackups}, wish: v1.RecoverInPlace{RecoveryTarget: &v1.RecoveryTarget{TargetTime: "2020-01-01"}}, message: "before the end of the first backup"},
		"nothing set": {mutations: []mutation{keepsBackups}, wish: v1.RecoverInPlace{SetAside: "nobody"}, message: `no volumes were set aside by "nobody"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			tt.wish.ID = "one"
			w := newWorld(t, append([]mutation{running}, append(tt.mutations, wish(tt.wish))...)...)
			plan := w.plan()

			if plan.Outcome.Reason != v1.ReasonInPlaceRefused || !strings.Contains(plan.Outcome.Message, tt.message) || plan.Status.RecoverInPlace != nil {
				t.Errorf("%s: %s; %+v", plan.Outcome.Reason, plan.Outcome.Message, plan.Status.RecoverInPlace)
			}
		})
	}
}

// A manifest that is applied to a Cluster that is made again asks for nothing.
func TestANewClusterDoesNotRecoverInPlace(t *testing.T) {
	t.Parallel()

	w := newWorld(t, keepsBackups, wish(v1.RecoverInPlace{ID: "one"}))
	w.settle(40)

	if is := w.view.Cluster.Status.RecoverInPlace; is == nil || is.Step != v1.InPlaceCompleted || len(w.view.SetAside) > 0 || !slices.Equal(w.inUse(), []string{"db-0", "db-1", "db-2"}) {
		t.Errorf("%+v; in use %v", is, w.inUse())
	}
}
