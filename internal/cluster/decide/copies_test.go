package decide_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/decide"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// copies gives the Cluster an archive with two copies, and the primary something to say of them.
func copies(told ...instanceapi.Copied) mutation {
	return func(w *world) {
		archives(nil)(w)

		key := func(name string) *corev1.SecretKeySelector {
			return &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "far"}, Key: name}
		}
		far := v1.ObjectStore{DestinationPath: "s3://far/path", S3Credentials: &v1.S3Credentials{AccessKeyID: key("ID"), SecretAccessKey: key("KEY")}}

		w.view.Cluster.Spec.Backup.Copies = []v1.ArchiveCopy{{Name: "far", ObjectStore: far}, {Name: "near", ObjectStore: v1.ObjectStore{DestinationPath: "gs://near"}}}
		w.view.Secrets = map[string]map[string][]byte{"far": {"ID": []byte("id"), "KEY": []byte("key")}}

		for name, report := range w.view.Reports {
			status := *report.Status
			if name == "db-0" {
				status.Copies = told
			}

			w.view.Reports[name] = decide.Report{Status: &status}
		}
	}
}

func TestBackupsCopied(t *testing.T) {
	t.Parallel()

	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	until := func(name string, ago time.Duration) instanceapi.Copied {
		return instanceapi.Copied{Name: name, Turns: 1, Until: new(now.Add(-ago)), LastWAL: "000000010000000000000001", Backups: 1}
	}
	failing := until("far", 2*time.Hour)
	failing.FailingSince, failing.Failure = new(now.Add(-time.Minute)), "403 Forbidden"

	for _, tc := range []struct {
		name   string
		told   []instanceapi.Copied
		holds  bool
		reason string
		says   []string
	}{
		{"nothing known yet", nil, false, v1.ReasonCopying, []string{"copy far (s3://far/path, folder db) is being made for the first time"}},
		{"no backup yet", []instanceapi.Copied{{Name: "far", Turns: 1}, {Name: "near", Turns: 1}}, false, v1.ReasonNothingToCopy, []string{"make a Backup"}},
		{"up to date", []instanceapi.Copied{until("far", time.Minute), until("near", time.Minute)}, true, v1.ReasonCopied, []string{
			"copy far (s3://far/path, folder db) is up to date", "copy near (gs://near, folder db) is up to date",
		}},
		{"one of them fails", []instanceapi.Copied{until("near", time.Minute), failing}, false, v1.ReasonCopyFailed, []string{
			"copy far (s3://far/path, folder db) fails since 2026-01-02T03:03:05Z: 403 Forbidden; it was last complete at 2026-01-02T01:04:05Z; archiving goes on",
			"spec.backup.copies[far].objectStore", "copy near (gs://near, folder db) is up to date",
		}},
		{"one does not keep up", []instanceapi.Copied{until("far", 71*time.Minute), until("near", time.Minute)}, false, v1.ReasonCopyBehind, []string{
			"copy far (s3://far/path, folder db) is behind: it was last complete at 2026-01-02T01:53:05Z",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t, running, copies(tc.told...))
			w.view.Now = now

			got := feature(t, w.plan(), v1.ConditionBackupsCopied)
			if got.True != tc.holds || got.Reason != tc.reason || slices.ContainsFunc(tc.says, func(words string) bool { return !strings.Contains(got.Message, words) }) {
				t.Errorf("it is %+v", got)
			}
		})
	}
}

// A new primary knows nothing before its first turn: what was known stays.
func TestCopiesAreRememberedOverAFailover(t *testing.T) {
	t.Parallel()

	w := newWorld(t, running)
	told := instanceapi.Copied{Name: "far", Turns: 7, Until: new(w.view.Now.Add(-time.Minute)), LastWAL: "000000010000000000000001", Backups: 2}
	copies(told, instanceapi.Copied{Name: "near", Turns: 1})(w)
	w.view.Cluster.Status = w.plan().Status

	want := w.view.Cluster.Status.Backups.Copies[0]
	if !want.CopiedUntil.Time.Equal(*told.Until) || want.Backups != 2 {
		t.Fatalf("the status is %+v", want)
	}

	copies(instanceapi.Copied{Name: "far"}, instanceapi.Copied{Name: "near"})(w)

	if got := w.plan().Status.Backups.Copies[0]; got != want {
		t.Errorf("it became %+v, want %+v", got, want)
	}

	// But not that of another place.
	w.view.Cluster.Spec.Backup.Copies[0].ObjectStore.DestinationPath = "s3://farther"

	if got := w.plan().Status.Backups.Copies[0]; got.CopiedUntil != nil || got.Destination != "s3://farther, folder db" {
		t.Errorf("of another place it says %+v", got)
	}
}

// That nothing was new for a copy is not worth a write more often than once an hour; new WAL is once a minute, a failure at once.
func TestCopiesAreQuiet(t *testing.T) {
	t.Parallel()

	w := newWorld(t, running)
	begin := w.view.Now
	told := instanceapi.Copied{Name: "far", Turns: 1, Until: &begin, LastWAL: "000000010000000000000001", Backups: 1}
	copies(told)(w)
	w.view.Cluster.Status = w.plan().Status

	changed := func(later instanceapi.Copied) bool {
		copies(later)(w)

		return w.plan().Status.Backups.Copies[0] != w.view.Cluster.Status.Backups.Copies[0]
	}

	later := told
	if later.Until = new(begin.Add(59 * time.Minute)); changed(later) {
		t.Error("it is written after 59 minutes that there is nothing new")
	}

	if later.Until = new(begin.Add(time.Hour)); !changed(later) {
		t.Error("the status is more than an hour behind")
	}

	later.LastWAL = "000000010000000000000002"
	if later.Until = new(begin.Add(59 * time.Second)); changed(later) {
		t.Error("each segment is written")
	}

	if later.Until = new(begin.Add(time.Minute)); !changed(later) {
		t.Error("new WAL is not told of after a minute")
	}

	failing := told
	failing.FailingSince, failing.Failure = new(begin.Add(time.Second)), "port 1234: refused"

	if !changed(failing) {
		t.Error("a failure is not told of")
	}

	w.view.Cluster.Status = w.plan().Status

	if failing.Failure = "port 1235: refused"; changed(failing) {
		t.Error("a failure that goes on in other numbers is written again")
	}
}

// The credentials of copies come by a Secret of ours: pods need not be made again, but for those that were made before there
// were copies at all.
func TestCopiesNeedNoRestart(t *testing.T) {
	t.Parallel()

	w := newWorld(t, running, copies())
	plan := w.plan()

	secret := ""

	for _, action := range plan.Actions {
		if apply, is := action.(decide.Apply); is && apply.Object.GetName() == naming.SecretCopies("db") {
			for key, value := range apply.Object.(*corev1.Secret).Data {
				secret += key + "=" + string(value) + " "
			}
		}
	}

	if !strings.Contains(secret, "far.access-key-id=id") || !strings.Contains(secret, "far.secret-access-key=key") {
		t.Errorf("the Secret has %q", secret)
	}

	w.settle(40)

	for name, pod := range w.view.Pods {
		if pod.DeletionTimestamp != nil {
			t.Errorf("%s is taken down", name)
		}
	}

	if got := printed(w.plan()); len(got) != 0 {
		t.Errorf("something is left to do: %v", got)
	}

	// It goes with the copies.
	w.view.Cluster.Spec.Backup.Copies = nil
	if got := strings.Join(printed(w.plan()), "\n"); !strings.Contains(got, naming.SecretCopies("db")) {
		t.Errorf("the Secret stays: %s", got)
	}
}

func TestPodsOfAnEarlierVersionAreReplacedForCopies(t *testing.T) {
	t.Parallel()

	w := newWorld(t, running)

	for name, pod := range w.view.Pods {
		pod = pod.DeepCopy()
		pod.Spec.Volumes = slices.DeleteFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == "copies-credentials" })
		w.view.Pods[name] = pod
	}

	if got := printed(w.plan()); len(got) != 0 {
		t.Fatalf("without copies they are touched: %v", got)
	}

	copies()(w)

	if got := w.plan().Outcome; got.Reason != v1.ReasonRollingUpdate {
		t.Errorf("nothing replaces them: %+v", got)
	}
}

// What is missing for a copy is told, and keeps nothing else from going on.
func TestMissingCredentialsOfCopies(t *testing.T) {
	t.Parallel()

	w := newWorld(t, running, copies())
	w.view.Secrets["far"] = nil

	plan := w.plan()
	got := feature(t, plan, v1.ConditionBackupsCopied)

	const says = `spec.backup.copies[far].objectStore.s3Credentials.accessKeyId: there is no Secret "far" in namespace apps; create it with the keys ID`
	if got.True || got.Reason != v1.ReasonSecretMissing || !strings.Contains(got.Message, says) {
		t.Errorf("it is %+v", got)
	}

	if plan.Outcome.Reason == v1.ReasonSecretMissing {
		t.Errorf("the Cluster is stopped by it: %+v", plan.Outcome)
	}
}

// A copy that is no other place is refused before it does anything.
func TestCopiesAtOnePlace(t *testing.T) {
	t.Parallel()

	for _, tc := range []struct {
		name   string
		first  v1.ObjectStore
		second v1.ObjectStore
		says   string
	}{
		{"another bucket", v1.ObjectStore{DestinationPath: "s3://far"}, v1.ObjectStore{DestinationPath: "s3://near"}, ""},
		{"another endpoint", v1.ObjectStore{DestinationPath: "s3://bucket/path", EndpointURL: "https://far"}, v1.ObjectStore{DestinationPath: "s3://near"}, ""},
		{
			"the archive's",
			v1.ObjectStore{DestinationPath: "s3://bucket/path/"},
			v1.ObjectStore{DestinationPath: "s3://near"},
			"spec.backup.copies[far].objectStore: is the same place as spec.backup.objectStore (folder db); name another bucket or path",
		},
		{
			"another copy's",
			v1.ObjectStore{DestinationPath: "s3://near/", ServerName: "db"},
			v1.ObjectStore{DestinationPath: "s3://near"},
			"spec.backup.copies[near].objectStore: is the same place as spec.backup.copies[far].objectStore (folder db)",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t, running, archives(nil))
			w.view.Cluster.Spec.Backup.Copies = []v1.ArchiveCopy{{Name: "far", ObjectStore: tc.first}, {Name: "near", ObjectStore: tc.second}}

			outcome := w.plan().Outcome
			if refused := outcome.Reason == v1.ReasonBackupPlaceTaken; refused != (tc.says != "") || refused && !strings.Contains(outcome.Message, tc.says) {
				t.Errorf("it says %+v", outcome)
			}
		})
	}
}
