package decide_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	v1 "github.com/caretaker-dev/caretaker/api/platform/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/appstack/build"
	"github.com/caretaker-dev/caretaker/internal/appstack/decide"
	"github.com/caretaker-dev/caretaker/internal/conditions"
)

// everything is the graph as a test of it knows it.
var everything = map[string][]string{
	build.Database: nil, build.Cache: nil, build.Config: nil,
	build.Backend:    {build.Database, build.Cache, build.Config},
	build.Frontend:   {build.Backend, build.Config},
	build.Ingress:    {build.Frontend},
	build.Monitoring: {build.Backend},
}

// above are the parts that need a part, directly or not.
func above(name string) []string {
	var all []string

	for part, needs := range everything {
		if slices.Contains(needs, name) {
			all = append(all, part)
			all = append(all, above(part)...)
		}
	}

	slices.Sort(all)

	return slices.Compact(all)
}

func TestEverythingComesUpInOrder(t *testing.T) {
	t.Parallel()

	w := newWorld(fullStack())

	first := w.pass()
	for name := range everything {
		want := name == build.Database || name == build.Cache || name == build.Config
		if w.has(name) != want {
			t.Errorf("after the first pass there is %s: %v, want %v", name, !want, want)
		}
	}

	if first.Outcome.Kind != conditions.Waiting {
		t.Errorf("outcome %+v", first.Outcome)
	}

	last := w.settle(t)
	if last.Outcome.Kind != conditions.Done || last.Outcome.Message != "database, cache, config, backend, frontend, ingress and monitoring are ready" {
		t.Errorf("outcome %+v", last.Outcome)
	}

	if last.Status.Ready != "7/7" {
		t.Errorf("%s ready", last.Status.Ready)
	}

	want := v1.Endpoints{
		URL: "https://shop.example.com", Frontend: "http://shop-frontend.apps.svc:80", Backend: "http://shop-backend.apps.svc:8080",
		Database: "shop-db-rw.apps.svc:5432", Cache: "shop-cache.apps.svc:6379",
	}
	if last.Status.Endpoints != want {
		t.Errorf("endpoints %+v", last.Status.Endpoints)
	}

	place := func(name string) int { return slices.Index(w.made, name) }
	if place("PostgreSQL/shop-db") >= place("WebApp/shop-backend") || place("WebApp/shop-backend") >= place("WebApp/shop-frontend") ||
		place("WebApp/shop-frontend") >= place("Ingress/shop") {
		t.Errorf("made in the order %v", w.made)
	}
}

// TestEachPartHeldBack: what needs it is not made and says what it waits for; the rest is. Once it is released, all comes
// up by itself.
func TestEachPartHeldBack(t *testing.T) {
	t.Parallel()

	for name := range everything {
		if name == build.Ingress || name == build.Monitoring {
			continue // ready as soon as they are written
		}

		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(fullStack())
			w.broken[name] = "1 of 3 instances ready"
			plan := w.settle(t)

			for part := range everything {
				waits := slices.Contains(above(name), part)
				if w.has(part) == waits {
					t.Errorf("%s exists: %v", part, w.has(part))
				}

				c := component(t, plan, part)
				if waits && (c.Ready || c.State != v1.StateWaiting) {
					t.Errorf("%s is %s: %s", part, c.State, c.Message)
				}

				if waits && slices.Contains(everything[part], name) && !strings.Contains(c.Message, "waits for "+name+" "+build.Name(w.view.Stack, name)+": ") {
					t.Errorf("%s does not say what it waits for: %s", part, c.Message)
				}

				if !waits && part != name && !c.Ready {
					t.Errorf("%s is not ready: %s", part, c.Message)
				}
			}

			if plan.Outcome.Kind != conditions.Waiting || !strings.Contains(plan.Outcome.Message, name) {
				t.Errorf("outcome %+v", plan.Outcome)
			}

			delete(w.broken, name)
			w.parts()

			if plan := w.settle(t); plan.Outcome.Kind != conditions.Done {
				t.Errorf("released, but %+v", plan.Outcome)
			}
		})
	}
}

// TestEachPartBreaksLater: it is reported, and nothing else is touched; not even when the part that needs it is lost as well.
func TestEachPartBreaksLater(t *testing.T) {
	t.Parallel()

	for name := range everything {
		if name == build.Ingress || name == build.Monitoring {
			continue
		}

		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(fullStack())
			w.settle(t)

			w.broken[name] = "1 of 3 instances ready"
			w.parts()

			plan := w.pass()
			if len(plan.Changes) > 0 {
				t.Errorf("changes %v", plan.Changes)
			}

			if c := component(t, plan, name); c.Ready || c.State != v1.StateDegraded {
				t.Errorf("%+v", c)
			}

			if plan.Outcome.Kind != conditions.Waiting || plan.Outcome.Reason != v1.ReasonDegraded {
				t.Errorf("outcome %+v", plan.Outcome)
			}

			if phase := decide.Phase(w.view, plan, plan.Outcome); phase != v1.PhaseDegraded {
				t.Errorf("phase %s", phase)
			}

			for _, part := range above(name) {
				for key, object := range w.view.Owned {
					if object.GetLabels()["app.kubernetes.io/component"] == part {
						delete(w.view.Owned, key)
					}
				}
			}

			w.settle(t)

			for part := range everything {
				if !w.has(part) {
					t.Errorf("%s was lost and is not made again while %s is degraded", part, name)
				}
			}
		})
	}
}

func TestStalledPartIsTold(t *testing.T) {
	t.Parallel()

	w := newWorld(fullStack())
	w.stalled[build.Database] = "spec.version: PostgreSQL 12 is at its end of life"
	plan := w.settle(t)

	if plan.Outcome.Kind != conditions.Stalled || plan.Outcome.Reason != v1.ReasonComponentStalled ||
		!strings.Contains(plan.Outcome.Message, "database shop-db: spec.version: PostgreSQL 12") {
		t.Errorf("outcome %+v", plan.Outcome)
	}
}

// TestSmallStacks: parts that are not wanted are needed by nobody.
func TestSmallStacks(t *testing.T) {
	t.Parallel()

	names := []string{build.Database, build.Cache, build.Config, build.Backend, build.Frontend}

	for set := 1; set < 1<<len(names); set++ {
		stack := fullStack()
		stack.Spec.Ingress, stack.Spec.Monitoring = nil, nil

		wanted := map[string]bool{}

		for i, name := range names {
			wanted[name] = set&(1<<i) != 0
		}

		if !wanted[build.Database] {
			stack.Spec.Database = nil
		}

		if !wanted[build.Cache] {
			stack.Spec.Cache.Enabled = new(false)
		}

		if !wanted[build.Config] {
			stack.Spec.Config = nil
		}

		if !wanted[build.Backend] {
			stack.Spec.Backend = nil
		}

		if !wanted[build.Frontend] {
			stack.Spec.Frontend = nil
		}

		w := newWorld(stack)
		plan := w.settle(t)

		if plan.Outcome.Kind != conditions.Done {
			t.Errorf("%v: outcome %+v", wanted, plan.Outcome)
		}

		for name, want := range wanted {
			if w.has(name) != want {
				t.Errorf("%v: there is %s: %v", wanted, name, !want)
			}
		}
	}
}

func TestCacheGoesAfterTheBackendForgotIt(t *testing.T) {
	t.Parallel()

	w := newWorld(fullStack())
	w.settle(t)

	if len(w.webapp(build.Backend).Spec.Env) != 4 {
		t.Fatalf("env %v", w.webapp(build.Backend).Spec.Env)
	}

	w.view.Stack.Spec.Cache.Enabled = new(false)
	plan := decide.Decide(w.view)

	if len(plan.Changes) < 2 || plan.Changes[0].String() != "update WebApp shop-backend" {
		t.Fatalf("changes %v", plan.Changes)
	}

	w.settle(t)

	if w.has(build.Cache) || w.cacheSecret() != nil || len(w.webapp(build.Backend).Spec.Env) != 0 {
		t.Errorf("the cache is still there, or known")
	}
}

func TestPasswordStays(t *testing.T) {
	t.Parallel()

	w := newWorld(fullStack())
	w.settle(t)
	w.view.NewPassword = "another"

	if plan := w.settle(t); len(plan.Changes) > 0 || string(w.cacheSecret().Data["password"]) != "fresh" {
		t.Errorf("the password changed: %v", plan.Changes)
	}
}

func TestStorageNeverShrinks(t *testing.T) {
	t.Parallel()

	for _, tc := range []struct{ have, wanted, want string }{
		{"", "", ""},
		{"", "10Gi", "10Gi"},
		{"", "1500Mi", "2Gi"},
		{"", "1Ti", "1024Gi"},
		{"100Gi", "10Gi", "100Gi"},
		{"10Gi", "100Gi", "100Gi"},
		{"10Gi", "", "10Gi"},
		{"10Gi", "x", "x"},
	} {
		if got := build.Storage(tc.wanted, tc.have); got != tc.want {
			t.Errorf("asked for %q, there are %q: %q, want %q", tc.wanted, tc.have, got, tc.want)
		}
	}

	w := newWorld(fullStack())
	w.settle(t)

	w.view.Stack.Spec.Database.Storage = "1Gi"
	w.settle(t)

	database, _ := w.view.Owned[owned.Key{Kind: "PostgreSQL", Name: "shop-db"}].(*databasev1.PostgreSQL)
	if database.Spec.Storage != "10Gi" {
		t.Errorf("storage %s", database.Spec.Storage)
	}
}

func TestChangeIsNotReadyBeforeItIsMade(t *testing.T) {
	t.Parallel()

	w := newWorld(fullStack())
	w.settle(t)

	w.view.Stack.Spec.Backend.Image = "backend:2"
	plan := decide.Decide(w.view)

	if c := component(t, plan, build.Backend); c.Ready || c.State != v1.StateDeploying {
		t.Errorf("%+v", c)
	}

	if plan.Outcome.Kind != conditions.Waiting {
		t.Errorf("outcome %+v", plan.Outcome)
	}
}

func TestWithoutPrometheus(t *testing.T) {
	t.Parallel()

	w := newWorld(fullStack())
	w.view.PodMonitorAPI = false
	plan := w.settle(t)

	if plan.Outcome.Kind != conditions.Done || plan.Status.Ready != "6/6" || plan.Monitoring.True || plan.Monitoring.Reason != v1.ReasonPodMonitorMissing {
		t.Errorf("%+v, %s, %+v", plan.Outcome, plan.Status.Ready, plan.Monitoring)
	}

	if w.has(build.Monitoring) {
		t.Error("a PodMonitor is made where there is no such kind")
	}
}

// TestBackupsWord: what the database says of its backups is the stack's word, too.
func TestBackupsWord(t *testing.T) {
	t.Parallel()

	w := newWorld(fullStack())
	if plan := w.settle(t); plan.Backup != nil {
		t.Errorf("a word on backups that nobody asked for: %+v", plan.Backup)
	}

	key := owned.Key{Kind: "PostgreSQL", Name: build.Name(w.view.Stack, build.Database)}

	database, ok := w.view.Owned[key].(*databasev1.PostgreSQL)
	if !ok {
		t.Fatalf("no %s in %v", key, w.view.Owned)
	}

	database.Status.Conditions = append(database.Status.Conditions, metav1.Condition{
		Type: databasev1.ConditionBackup, Status: metav1.ConditionFalse, Reason: databasev1.ReasonDestinationMissing, Message: "nowhere to put them",
	}, metav1.Condition{Type: databasev1.ConditionBackupVerified, Status: metav1.ConditionUnknown, Reason: "NotVerified"})

	plan := decide.Decide(w.view)
	if plan.Backup == nil || plan.Backup.Status != metav1.ConditionFalse || plan.Backup.Message != "nowhere to put them" {
		t.Errorf("%+v", plan.Backup)
	}

	if plan.Verified == nil || plan.Verified.Status != metav1.ConditionUnknown {
		t.Errorf("%+v", plan.Verified)
	}

	if plan.Outcome.Kind != conditions.Done {
		t.Errorf("a stack that serves is %+v", plan.Outcome)
	}
}

func TestCacheWithoutImage(t *testing.T) {
	t.Parallel()

	w := newWorld(fullStack())
	w.view.CacheImage = ""
	plan := w.pass()

	if plan.Outcome.Kind != conditions.Stalled || !strings.HasPrefix(plan.Outcome.Message, "spec.cache.image: ") || len(plan.Changes) > 0 {
		t.Errorf("%+v, %v", plan.Outcome, plan.Changes)
	}
}

// TestDeletedInReverseOrder: nothing goes while something that needs it is left, pods included.
func TestDeletedInReverseOrder(t *testing.T) {
	t.Parallel()

	w := newWorld(fullStack())
	w.settle(t)

	now := metav1.NewTime(start)
	w.view.Stack.DeletionTimestamp = &now
	w.view.Pods = map[string]int{build.Backend: 2, build.Database: 3}
	w.gone = nil

	w.settle(t)

	if w.has(build.Frontend) || w.has(build.Backend) || !w.has(build.Cache) || !w.has(build.Database) {
		t.Errorf("gone while the backend's pods are there: %v", w.gone)
	}

	plan := w.pass()
	if plan.Release || !strings.Contains(plan.Outcome.Message, "backend shop-backend to be gone (2 pods left)") {
		t.Errorf("%+v", plan)
	}

	w.view.Pods[build.Backend] = 0
	w.settle(t)

	if plan := w.pass(); plan.Release || !strings.Contains(plan.Outcome.Message, "database shop-db to be gone (3 pods left)") {
		t.Errorf("%+v", plan)
	}

	w.view.Pods[build.Database] = 0
	if plan := w.pass(); !plan.Release || plan.Outcome.Message != "Deleted: no part is left" {
		t.Errorf("%+v", plan)
	}

	place := func(name string) int { return slices.Index(w.gone, name) }
	if place("Ingress/shop") >= place("WebApp/shop-frontend") || place("WebApp/shop-frontend") >= place("WebApp/shop-backend") ||
		place("WebApp/shop-backend") >= place("PostgreSQL/shop-db") {
		t.Errorf("gone in the order %v", w.gone)
	}
}

func TestDeletionEnds(t *testing.T) {
	t.Parallel()

	w := newWorld(fullStack())
	w.settle(t)

	then := metav1.NewTime(start.Add(-decide.DeletionTimeout - time.Second))
	w.view.Stack.DeletionTimestamp = &then
	w.view.Pods = map[string]int{build.Frontend: 1}

	plan := w.pass()
	if !plan.Release || !strings.Contains(plan.Outcome.Message, "no longer waiting for") {
		t.Errorf("%+v", plan)
	}
}

// TestCacheReadiness goes by the StatefulSet.
func TestCacheReadiness(t *testing.T) {
	t.Parallel()

	w := newWorld(fullStack())
	w.settle(t)

	set, _ := w.view.Owned[owned.Key{Kind: "StatefulSet", Name: "shop-cache"}].(*appsv1.StatefulSet)
	set.Status.ReadyReplicas, set.Status.UpdateRevision = 1, "new"

	if c := component(t, decide.Decide(w.view), build.Cache); c.Ready || c.State != v1.StateDeploying {
		t.Errorf("%+v", c)
	}
}
