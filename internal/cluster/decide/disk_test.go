package decide_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/decide"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

const gib = int64(1) << 30

// used is a volume of a size in GiB, of which so many percent are in use.
func used(name string, size, percent int64) mutation {
	return func(w *world) {
		w.report(name, func(s *instanceapi.Status) {
			s.Disk = &instanceapi.Disk{TotalBytes: size * gib, FreeBytes: size*gib*(100-percent)/100 + 1}
		})
	}
}

func refuses(name string) mutation {
	return func(w *world) {
		used(name, 1, 96)(w)
		w.report(name, func(s *instanceapi.Status) { disk := *s.Disk; disk.ReadOnly = true; s.Disk = &disk })
	}
}

func (w *world) feature(name string) decide.Feature {
	w.t.Helper()

	for _, feature := range w.plan().Features {
		if feature.Type == name {
			return feature
		}
	}

	return decide.Feature{}
}

func TestDiskSpace(t *testing.T) {
	for _, tc := range []struct {
		name   string
		happen []mutation
		was    metav1.ConditionStatus
		want   string
		says   string
	}{
		{name: "not known", want: ""},
		{name: "roomy", happen: []mutation{used("db-0", 1, 40), used("db-1", 1, 84)}, want: v1.ReasonEnoughSpace},
		{name: "a replica's is filling", happen: []mutation{used("db-0", 1, 40), used("db-1", 1, 85)}, want: v1.ReasonVolumeFilling, says: "db-1 (1Gi)"},
		{name: "told until it is roomy again", happen: []mutation{used("db-1", 1, 81)}, was: metav1.ConditionFalse, want: v1.ReasonVolumeFilling},
		{name: "roomy again", happen: []mutation{used("db-1", 1, 79)}, was: metav1.ConditionFalse, want: v1.ReasonEnoughSpace},
		{name: "shared with others, who fill it", happen: []mutation{used("db-0", 252, 90)}, want: v1.ReasonEnoughSpace},
		{name: "full", happen: []mutation{refuses("db-0")}, want: v1.ReasonVolumeFull, says: "db-0 refuses writes"},
		{name: "nobody answers any more", was: metav1.ConditionFalse, want: "Before"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, running)
			if tc.was != "" {
				w.view.Cluster.Status.Conditions = []metav1.Condition{{Type: v1.ConditionDiskSpace, Status: tc.was, Reason: "Before", Message: "before"}}
			}

			for _, mutate := range tc.happen {
				mutate(w)
			}

			got := w.feature(v1.ConditionDiskSpace)
			if got.Reason != tc.want || got.True != (tc.want == v1.ReasonEnoughSpace) || !strings.Contains(got.Message, tc.says) {
				t.Errorf("got %+v, want %s", got, tc.want)
			}
		})
	}
}

func TestAFullPrimaryIsForTheUserToSolve(t *testing.T) {
	w := newWorld(t, running, refuses("db-0"))

	if got := w.plan().Outcome; got.Kind != conditions.Stalled || got.Reason != v1.ReasonVolumeFull || !strings.Contains(got.Message, "larger than 1Gi") {
		t.Errorf("got %+v", got)
	}

	// A full replica does not keep the Cluster from serving.
	w = newWorld(t, running, refuses("db-1"))
	if got := w.plan().Outcome; got.Kind != conditions.Done {
		t.Errorf("got %+v", got)
	}
}

func autoGrow(limit string) mutation {
	return spec(func(s *v1.ClusterSpec) { s.Storage.AutoGrow = &v1.AutoGrowConfiguration{Limit: limit} })
}

func TestAutoGrow(t *testing.T) {
	for _, tc := range []struct {
		name   string
		happen []mutation
		want   string
	}{
		{"not asked for", []mutation{used("db-0", 1, 95)}, ""},
		{"enough room", []mutation{autoGrow("10Gi"), used("db-0", 1, 79)}, ""},
		{"at 80 percent, by 1Gi at least", []mutation{autoGrow("10Gi"), used("db-0", 1, 80)}, "2Gi"},
		{"a replica's", []mutation{autoGrow("10Gi"), used("db-0", 1, 20), used("db-2", 1, 90)}, "2Gi"},
		{"full", []mutation{autoGrow("10Gi"), refuses("db-0")}, "2Gi"},
		{"not beyond the limit", []mutation{autoGrow("1536Mi"), used("db-0", 1, 90)}, "1536Mi"},
		{"at the limit", []mutation{autoGrow("1Gi"), used("db-0", 1, 90)}, ""},
		{"one filesystem has not caught up", []mutation{
			autoGrow("10Gi"), func(w *world) { w.view.Cluster.Status.StorageSize = "2Gi" }, used("db-0", 1, 90), used("db-1", 2, 90),
		}, "2Gi"},
		{"all have caught up", []mutation{
			autoGrow("10Gi"), func(w *world) { w.view.Cluster.Status.StorageSize = "2Gi" }, used("db-0", 2, 90), used("db-1", 2, 20),
		}, "3Gi"},
		{"shared with others", []mutation{autoGrow("10Gi"), used("db-0", 252, 95)}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, running)
			w.view.Cluster = w.view.Cluster.DeepCopy()

			for _, mutate := range tc.happen {
				mutate(w)
			}

			if got := w.plan().Status.StorageSize; got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestVolumesGrowByThemselves(t *testing.T) {
	w := newWorld(t, running, storageClass("fast"), autoGrow("10Gi"), used("db-0", 1, 85))
	w.step()

	grown := strings.Join(names(w.plan().Actions), "; ")
	if !strings.Contains(grown, "PersistentVolumeClaim db-0: grow from 1Gi to 2Gi") || !strings.Contains(grown, "PersistentVolumeClaim db-2: grow from 1Gi to 2Gi") {
		t.Errorf("got %s", grown)
	}
}

func names(actions []decide.Action) []string {
	var all []string
	for _, action := range actions {
		all = append(all, action.String())
	}

	return all
}
