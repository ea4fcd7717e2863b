package proof_test

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/backup/proof"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func ago(passed time.Duration) *metav1.Time { return new(metav1.NewTime(now.Add(-passed))) }

// taken is a backup of Cluster db that ended some time ago.
func taken(name string, passed time.Duration, change ...func(*v1.Backup)) v1.Backup {
	backup := v1.Backup{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: *ago(passed + time.Minute)}}
	backup.Spec.Cluster.Name = "db"
	backup.Status = v1.BackupStatus{BackupID: "id-" + name, StoppedAt: ago(passed)}

	for _, f := range change {
		f(&backup)
	}

	return backup
}

// db is a Cluster that archives.
func db() *v1.Cluster {
	cluster := &v1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "db"}}
	cluster.Spec.Backup = &v1.BackupConfiguration{ObjectStore: &v1.ObjectStore{DestinationPath: "s3://bucket/path", ServerName: "db-2"}}
	cluster.Status.SystemID = "7"

	return cluster
}

// in the folder of a bucket.
func in(server string) func(*v1.Backup) {
	return func(backup *v1.Backup) {
		backup.Status.ObjectStore = &v1.ObjectStore{DestinationPath: "s3://bucket/path", ServerName: server}
	}
}

func drilled(backup *v1.Backup) {
	backup.Status.Drill = &v1.DrillStatus{
		Succeeded: true, StoppedAt: ago(time.Minute), RestoreSeconds: 100, RestoredBytes: 1 << 30, ReplaySeconds: 20,
	}
}

func failedDrill(passed time.Duration) func(*v1.Backup) {
	return func(backup *v1.Backup) { backup.Status.Drill = &v1.DrillStatus{StoppedAt: ago(passed)} }
}

func failed(backup *v1.Backup) { backup.Status.Error, backup.Status.BackupID = "403 Forbidden", "" }
func expired(backup *v1.Backup) {
	backup.Status.Expired = &v1.BackupExpired{Policy: "30d", At: *ago(0)}
}
func running(backup *v1.Backup)  { backup.Status.StoppedAt, backup.Status.BackupID = nil, "" }
func deleting(backup *v1.Backup) { backup.DeletionTimestamp = ago(0) }
func ofOther(backup *v1.Backup)  { backup.Spec.Cluster.Name = "other" }

func ofSize(bytes int64) func(*v1.Backup) {
	return func(backup *v1.Backup) { backup.Status.DataBytes = resource.NewQuantity(bytes, resource.BinarySI) }
}

// What is asked before something is done that cannot be undone: every doubt is a no.
func TestHasVerifiedWithin(t *testing.T) {
	t.Parallel()

	const day = 24 * time.Hour

	for name, tc := range map[string]struct {
		backups []v1.Backup
		want    bool
	}{
		"none":                           {nil, false},
		"taken, never restored":          {[]v1.Backup{taken("a", time.Hour)}, false},
		"restored":                       {[]v1.Backup{taken("a", time.Hour, drilled)}, true},
		"taken exactly a day ago":        {[]v1.Backup{taken("a", day, drilled)}, true},
		"restored lately, but old":       {[]v1.Backup{taken("a", day+time.Second, drilled)}, false},
		"of another Cluster":             {[]v1.Backup{taken("a", time.Hour, drilled, ofOther)}, false},
		"of an earlier Cluster":          {[]v1.Backup{taken("a", time.Hour, drilled, in("db"))}, false},
		"the drill failed":               {[]v1.Backup{taken("a", time.Hour, failedDrill(time.Minute))}, false},
		"being deleted":                  {[]v1.Backup{taken("a", time.Hour, drilled, deleting)}, false},
		"it failed":                      {[]v1.Backup{taken("a", time.Hour, drilled, failed)}, false},
		"it has expired":                 {[]v1.Backup{taken("a", time.Hour, drilled, expired)}, false},
		"it still runs":                  {[]v1.Backup{taken("a", time.Hour, drilled, running)}, false},
		"a drill that does not say when": {[]v1.Backup{taken("a", time.Hour, func(b *v1.Backup) { b.Status.Drill = &v1.DrillStatus{Succeeded: true} })}, false},
		"a newer one is not proved yet":  {[]v1.Backup{taken("b", time.Minute), taken("a", time.Hour, drilled)}, true},
		"only an old one is proved":      {[]v1.Backup{taken("b", time.Minute), taken("a", 2*day, drilled)}, false},
		"order does not matter":          {[]v1.Backup{taken("a", 2*day, drilled), taken("b", time.Hour, drilled), taken("c", 3*day)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if got := proof.HasVerifiedWithin(db(), tc.backups, now, day); got != tc.want {
				t.Errorf("there is a verified backup within a day: %v, want %v", got, tc.want)
			}
		})
	}
}

// TestWhoseBackupItIs: an earlier Cluster of the same name has left Backups, too.
func TestWhoseBackupItIs(t *testing.T) {
	t.Parallel()

	onVolume := func(server string) func(*v1.Backup) {
		return func(backup *v1.Backup) { backup.Status.Volume = &v1.VolumeStore{ServerName: server} }
	}
	ofSystem := func(id string) func(*v1.Backup) {
		return func(backup *v1.Backup) { backup.Status.SystemID = id }
	}
	withoutArchive := func(cluster *v1.Cluster) { cluster.Spec.Backup = nil }
	isNew := func(cluster *v1.Cluster) { cluster.Status.SystemID = "" }
	asIs := func(*v1.Cluster) {}

	for name, tc := range map[string]struct {
		backup  v1.Backup
		cluster func(*v1.Cluster)
		want    bool
	}{
		"in its folder":                      {taken("a", 0, in("db-2"), ofSystem("7")), asIs, true},
		"in the folder that is called by it": {taken("a", 0, in(""), ofSystem("7")), asIs, false},
		"in another folder":                  {taken("a", 0, in("db"), ofSystem("7")), asIs, false},
		"on a volume":                        {taken("a", 0, onVolume("db-2"), ofSystem("7")), asIs, false},
		"of other data":                      {taken("a", 0, in("db-2"), ofSystem("6")), asIs, false},
		"of other data, somewhere":           {taken("a", 0, ofSystem("6")), asIs, false},
		"that says nothing":                  {taken("a", 0), asIs, true},
		"that does not say of which data":    {taken("a", 0, in("db-2")), asIs, true},
		"that has not begun":                 {taken("a", 0, running), asIs, true},
		"of another Cluster":                 {taken("a", 0, in("db-2"), ofSystem("7"), ofOther), asIs, false},
		"of a Cluster without an archive":    {taken("a", 0, in("db"), ofSystem("7")), withoutArchive, true},
		"of a Cluster without data yet":      {taken("a", 0, in("db-2"), ofSystem("6")), isNew, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			cluster := db()
			tc.cluster(cluster)

			if got := len(proof.Of(cluster, []v1.Backup{tc.backup})) == 1; got != tc.want {
				t.Errorf("it is the Cluster's: %v, want %v", got, tc.want)
			}
		})
	}
}

func TestFirstRecoverable(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		backups []v1.Backup
		want    *metav1.Time
	}{
		"nothing":                 {nil, nil},
		"the oldest":              {[]v1.Backup{taken("b", time.Hour), taken("a", 2*time.Hour)}, ago(2 * time.Hour)},
		"not of another Cluster":  {[]v1.Backup{taken("b", time.Hour), taken("a", 2*time.Hour, ofOther)}, ago(time.Hour)},
		"not of an earlier one":   {[]v1.Backup{taken("b", time.Hour), taken("a", 2*time.Hour, in("db"))}, ago(time.Hour)},
		"not what has expired":    {[]v1.Backup{taken("b", time.Hour), taken("a", 2*time.Hour, expired)}, ago(time.Hour)},
		"not what is deleted":     {[]v1.Backup{taken("b", time.Hour), taken("a", 2*time.Hour, deleting)}, ago(time.Hour)},
		"not what failed":         {[]v1.Backup{taken("b", time.Hour), taken("a", 2*time.Hour, failed)}, ago(time.Hour)},
		"nothing but the expired": {[]v1.Backup{taken("a", 2*time.Hour, expired)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if got := proof.FirstRecoverable(db(), tc.backups); !got.Equal(tc.want) {
				t.Errorf("it is %v, want %v", got, tc.want)
			}
		})
	}
}

func TestRecoveryTime(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		backups []v1.Backup
		want    time.Duration
	}{
		"nothing":                  {nil, 0},
		"never restored":           {[]v1.Backup{taken("a", time.Hour, ofSize(1<<30))}, 0},
		"the backup that was":      {[]v1.Backup{taken("a", time.Hour, ofSize(1<<30), drilled)}, 120 * time.Second},
		"a newer, larger one":      {[]v1.Backup{taken("a", 2*time.Hour, ofSize(1<<30), drilled), taken("b", time.Hour, ofSize(3<<30))}, 320 * time.Second},
		"one of unknown size":      {[]v1.Backup{taken("a", 2*time.Hour, drilled), taken("b", time.Hour)}, 120 * time.Second},
		"a drill that failed":      {[]v1.Backup{taken("a", time.Hour, ofSize(1<<30), failedDrill(time.Minute))}, 0},
		"one that does not exist":  {[]v1.Backup{taken("a", time.Hour, drilled, failed)}, 0},
		"less than a second of it": {[]v1.Backup{taken("a", time.Hour, func(b *v1.Backup) { b.Status.Drill = &v1.DrillStatus{Succeeded: true, StoppedAt: ago(0)} })}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, ok := proof.RecoveryTime(db(), tc.backups)
			if got != tc.want || ok != (tc.want > 0) {
				t.Errorf("it takes %s (known: %v), want %s", got, ok, tc.want)
			}
		})
	}
}
