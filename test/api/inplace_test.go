package api

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/test/internal/crash"
)

// archiving is a Cluster that is ready, and that has a Backup "monday" which ended an hour ago.
func archiving(t *testing.T, change ...func(*postgresqlv1.ClusterSpec)) *world {
	t.Helper()

	w := started(t, append(change, func(spec *postgresqlv1.ClusterSpec) {
		spec.Backup = &postgresqlv1.BackupConfiguration{ObjectStore: &postgresqlv1.ObjectStore{DestinationPath: "s3://bucket/path"}}
	})...)
	w.addBackup(t, "monday", "db", func(*postgresqlv1.BackupStatus) {})

	return w
}

func (w *world) addBackup(t *testing.T, name, of string, change func(*postgresqlv1.BackupStatus)) {
	t.Helper()

	object := &postgresqlv1.Backup{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: postgresqlv1.BackupSpec{Cluster: postgresqlv1.LocalObjectReference{Name: of}}}
	w.create(t, object)

	ended := metav1.NewTime(time.Now().Add(-time.Hour).Truncate(time.Second))
	object.Status = postgresqlv1.BackupStatus{
		Phase: postgresqlv1.BackupCompleted, BackupID: "stored-" + name, StartedAt: &ended, StoppedAt: &ended, Major: 17,
		ObjectStore: &postgresqlv1.ObjectStore{DestinationPath: "s3://bucket/path"}, ServerName: of,
	}
	change(&object.Status)

	if err := w.server.Client.Status().Update(t.Context(), object); err != nil {
		t.Fatalf("write the Backup's status: %v", err)
	}
}

func (w *world) recoverInPlace(t *testing.T, wish postgresqlv1.RecoverInPlace) {
	t.Helper()

	w.change(t, func(c *postgresqlv1.Cluster) { c.Spec.RecoverInPlace = &wish })
	w.settle(t)
}

// claims are the names of the volume claims by the recovery that set them aside; "" for those in use.
func (w *world) claims(t *testing.T) map[string][]string {
	t.Helper()

	var list corev1.PersistentVolumeClaimList
	if err := w.server.Client.List(t.Context(), &list, client.InNamespace(w.namespace)); err != nil {
		t.Fatalf("list claims: %v", err)
	}

	found := map[string][]string{}

	for _, claim := range list.Items {
		if claim.DeletionTimestamp == nil {
			id := claim.Labels[naming.LabelSetAside]
			found[id] = append(found[id], claim.Name)
		}
	}

	for _, names := range found {
		slices.Sort(names)
	}

	return found
}

func (w *world) record(t *testing.T) postgresqlv1.ClusterTermSpec {
	t.Helper()

	record := &postgresqlv1.ClusterTerm{}
	if err := w.server.Client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "db"}, record); err != nil {
		t.Fatalf("get the record: %v", err)
	}

	return record.Spec
}

// TestRecoverInPlace goes back to a moment, deletes nothing, and then takes the old volumes into use again.
func TestRecoverInPlace(t *testing.T) {
	t.Parallel()

	w := archiving(t, func(spec *postgresqlv1.ClusterSpec) { spec.DeletionPolicy = postgresqlv1.DeletionPolicyDelete })
	before := w.record(t)
	at := time.Now().Add(-time.Minute).UTC().Format("2006-01-02 15:04:05")

	w.recoverInPlace(t, postgresqlv1.RecoverInPlace{
		ID: "one", Backup: &postgresqlv1.LocalObjectReference{Name: "monday"}, RecoveryTarget: &postgresqlv1.RecoveryTarget{TargetTime: at},
	})
	w.wantReady(t)

	if diff := cmp.Diff(map[string][]string{"one": {"db-0", "db-1", "db-2"}, "": {"db-3", "db-4", "db-5"}}, w.claims(t)); diff != "" {
		t.Errorf("volume claims (-want +got):\n%s", diff)
	}

	status := w.cluster(t).Status
	if got := status.RecoverInPlace; got.Step != postgresqlv1.InPlaceCompleted || got.CompletedAt == nil || !strings.Contains(got.Target, at) {
		t.Errorf("status.recoverInPlace: %+v", got)
	}

	if diff := cmp.Diff([]postgresqlv1.SetAsideStatus{{ID: "one", Volumes: []string{"db-0", "db-1", "db-2"}}}, status.SetAside); diff != "" {
		t.Errorf("status.setAside (-want +got):\n%s", diff)
	}

	after := w.record(t)
	if after.Term <= before.Term || after.Timeline <= before.Timeline || after.Seq < before.Seq {
		t.Errorf("the record does not go beyond what the old volumes know of: %+v after %+v", after, before)
	}

	if asked := w.machine.Recovered("db-3"); asked.BackupID != "stored-monday" || !strings.HasPrefix(asked.Target.Time, at) || asked.Owner != "app" {
		t.Errorf("the first instance was to recover %+v", asked)
	}

	// Nothing that deletes the Cluster takes the old volumes along.
	claim := &corev1.PersistentVolumeClaim{}
	if err := w.server.Client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "db-0"}, claim); err != nil || len(claim.OwnerReferences) > 0 {
		t.Errorf("db-0 goes with the Cluster: %v, %v", claim.OwnerReferences, err)
	}

	w.recoverInPlace(t, postgresqlv1.RecoverInPlace{ID: "two", SetAside: "one"})
	w.wantReady(t)

	if diff := cmp.Diff(map[string][]string{"": {"db-0", "db-1", "db-2"}, "two": {"db-3", "db-4", "db-5"}}, w.claims(t)); diff != "" {
		t.Errorf("volume claims after going back (-want +got):\n%s", diff)
	}

	back := w.record(t)
	if back.Primary.MemberID != before.Primary.MemberID || back.Term <= after.Term || back.Timeline <= after.Timeline {
		t.Errorf("the record after going back: %+v; before: %+v, in between: %+v", back, before, after)
	}

	if writes := w.settle(t); len(writes) > 0 {
		t.Errorf("and then it writes: %v", writes)
	}
}

// TestRecoverInPlaceOnce: what was asked for when the Cluster was made is no wish to go back, and neither is one that was granted.
func TestRecoverInPlaceOnce(t *testing.T) {
	t.Parallel()

	w := archiving(t, func(spec *postgresqlv1.ClusterSpec) { spec.RecoverInPlace = &postgresqlv1.RecoverInPlace{ID: "one"} })
	w.settle(t)

	if got := w.claims(t); len(got["one"]) > 0 || len(got[""]) != 3 {
		t.Errorf("a new Cluster recovered in place: %v", got)
	}
}

// TestRecoverInPlaceAgain: a target that was wrong, or not reached, is given up for another one.
func TestRecoverInPlaceAgain(t *testing.T) {
	t.Parallel()

	w := archiving(t)
	w.machine.FailRecovery(true)
	w.recoverInPlace(t, postgresqlv1.RecoverInPlace{ID: "one"})

	if got := w.cluster(t).Status.RecoverInPlace; got.Step != postgresqlv1.InPlaceRecovering || !strings.Contains(got.Message, "did not reach its target") {
		t.Errorf("the failure is not told: %+v", got)
	}

	// It is let go only after the first attempt was set aside: until then it would succeed after all.
	w.recoverInPlace(t, postgresqlv1.RecoverInPlace{ID: "two"})
	w.machine.FailRecovery(false)
	w.settle(t)
	w.wantReady(t)

	sets := w.cluster(t).Status.SetAside
	if len(sets) != 2 || sets[0].Incomplete || !sets[1].Incomplete {
		t.Fatalf("status.setAside: %+v", sets)
	}

	w.recoverInPlace(t, postgresqlv1.RecoverInPlace{ID: "three", SetAside: "two"})
	w.wantStalled(t, postgresqlv1.ReasonInPlaceRefused, "are of a recovery that did not end; choose others; there are those of one")

	w.recoverInPlace(t, postgresqlv1.RecoverInPlace{ID: "four", SetAside: "one"})
	w.wantReady(t)

	if got := w.claims(t)[""]; !slices.Equal(got, []string{"db-0", "db-1", "db-2"}) {
		t.Errorf("in use after going back: %v", got)
	}
}

// TestRecoverInPlaceRefused: what cannot work stops nothing.
func TestRecoverInPlaceRefused(t *testing.T) {
	t.Parallel()

	w := archiving(t)
	w.addBackup(t, "theirs", "orders", func(*postgresqlv1.BackupStatus) {})
	w.addBackup(t, "failed", "db", func(s *postgresqlv1.BackupStatus) { s.Phase, s.Error = postgresqlv1.BackupFailed, "no space" })
	w.addBackup(t, "moved", "db", func(s *postgresqlv1.BackupStatus) { s.ObjectStore.DestinationPath = "s3://elsewhere" })
	w.settle(t)

	pods := w.pods(t)

	for i, tt := range []struct {
		wish    postgresqlv1.RecoverInPlace
		message string
	}{
		{postgresqlv1.RecoverInPlace{Backup: &postgresqlv1.LocalObjectReference{Name: "theirs"}}, `Backup "theirs" is of Cluster orders`},
		{postgresqlv1.RecoverInPlace{Backup: &postgresqlv1.LocalObjectReference{Name: "failed"}}, `Backup "failed" failed: no space`},
		{postgresqlv1.RecoverInPlace{Backup: &postgresqlv1.LocalObjectReference{Name: "moved"}}, "is not stored in this Cluster's archive of today"},
		{postgresqlv1.RecoverInPlace{SetAside: "nobody"}, `no volumes were set aside by "nobody"; there are none`},
		{postgresqlv1.RecoverInPlace{RecoveryTarget: &postgresqlv1.RecoveryTarget{TargetTime: "2020-01-01"}}, "is before the end of the first backup"},
		{postgresqlv1.RecoverInPlace{RecoveryTarget: &postgresqlv1.RecoveryTarget{TargetTime: "2120-01-01"}}, "is in the future"},
	} {
		tt.wish.ID = "wish-" + string(rune('a'+i))
		w.recoverInPlace(t, tt.wish)
		w.wantStalled(t, postgresqlv1.ReasonInPlaceRefused, tt.message)
	}

	for name, pod := range w.pods(t) {
		if pods[name].UID != pod.UID {
			t.Errorf("%s was made again", name)
		}
	}

	w.change(t, func(c *postgresqlv1.Cluster) { c.Spec.RecoverInPlace = nil })
	w.settle(t)
	w.wantReady(t)

	w.change(t, func(c *postgresqlv1.Cluster) {
		metav1.SetMetaDataAnnotation(&c.ObjectMeta, naming.AnnotationHibernate, "on")
	})
	w.settle(t)
	w.recoverInPlace(t, postgresqlv1.RecoverInPlace{ID: "asleep"})
	w.wantStalled(t, postgresqlv1.ReasonInPlaceRefused, "the Cluster is hibernated")
}

// TestCrashInRecoveryInPlace kills the Cluster controller after each single write of these.
func TestCrashInRecoveryInPlace(t *testing.T) {
	t.Parallel()

	for name, start := range map[string]func(*testing.T) *world{
		"recover": func(t *testing.T) *world {
			t.Helper()

			w := archiving(t, func(spec *postgresqlv1.ClusterSpec) { spec.Instances = 2 })
			w.change(t, func(c *postgresqlv1.Cluster) { c.Spec.RecoverInPlace = &postgresqlv1.RecoverInPlace{ID: "one"} })

			return w
		},
		"go back": func(t *testing.T) *world {
			t.Helper()

			w := archiving(t, func(spec *postgresqlv1.ClusterSpec) { spec.Instances = 2 })
			w.recoverInPlace(t, postgresqlv1.RecoverInPlace{ID: "one"})
			w.change(t, func(c *postgresqlv1.Cluster) {
				c.Spec.RecoverInPlace = &postgresqlv1.RecoverInPlace{ID: "two", SetAside: "one"}
			})

			return w
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			crash.AfterEveryWrite(t, func(t *testing.T) crash.World {
				t.Helper()

				return start(t)
			})
		})
	}
}
