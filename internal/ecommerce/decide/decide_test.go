package decide_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/platform/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/ecommerce/decide"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func platform(change ...func(*v1.EcommercePlatformSpec)) *v1.EcommercePlatform {
	p := &v1.EcommercePlatform{ObjectMeta: metav1.ObjectMeta{Name: "production-store", Namespace: "shop", UID: "u", Generation: 3}}
	p.Spec = v1.EcommercePlatformSpec{
		Environment: v1.Production,
		Backend:     &v1.ShopWorkloadSpec{Image: "backend:1", Port: 8080}, Frontend: &v1.ShopWorkloadSpec{Image: "frontend:1", Port: 8080},
	}

	for _, f := range change {
		f(&p.Spec)
	}

	return p
}

// stackOf is the AppStack that is made for a platform next to a live one.
func stackOf(t *testing.T, p *v1.EcommercePlatform, live *v1.AppStack) *v1.AppStack {
	t.Helper()

	plan := decide.Decide(decide.View{Now: now, Platform: p, Stack: live})
	if len(plan.Changes) != 1 {
		t.Fatalf("changes %v, outcome %+v", plan.Changes, plan.Outcome)
	}

	apply, ok := plan.Changes[0].(owned.Apply)
	if !ok {
		t.Fatalf("changes %v", plan.Changes)
	}

	stack, ok := apply.Object.(*v1.AppStack)
	if !ok {
		t.Fatalf("%T", apply.Object)
	}

	return stack
}

func TestPresets(t *testing.T) {
	t.Parallel()

	for _, tc := range []struct {
		name     string
		change   func(*v1.EcommercePlatformSpec)
		replicas int32
		storage  string
		backup   string
	}{
		{"production", func(*v1.EcommercePlatformSpec) {}, 3, "100Gi", "0 2 * * * 30d"},
		{"staging", func(s *v1.EcommercePlatformSpec) { s.Environment = v1.Staging }, 2, "50Gi", "0 2 * * * 30d"},
		{"development", func(s *v1.EcommercePlatformSpec) { s.Environment = v1.Development }, 1, "10Gi", ""},
		{"nothing said", func(s *v1.EcommercePlatformSpec) { s.Environment = "" }, 1, "10Gi", ""},
		{"MySQL in staging", func(s *v1.EcommercePlatformSpec) {
			s.Environment = v1.Staging
			s.Database.Type = v1.MySQL
		}, 3, "50Gi", "0 2 * * * 30d"},
		{"the user wins", func(s *v1.EcommercePlatformSpec) {
			s.Database.Storage, s.Database.Replicas = "500Gi", new(int32(5))
		}, 5, "500Gi", "0 2 * * * 30d"},
	} {
		database := stackOf(t, platform(tc.change), nil).Spec.Database
		backup := ""

		if database.Backup != nil {
			backup = database.Backup.Schedule + " " + database.Backup.Retention
		}

		if *database.Replicas != tc.replicas || database.Storage != tc.storage || backup != tc.backup {
			t.Errorf("%s: %d replicas, %s, backup %q", tc.name, *database.Replicas, database.Storage, backup)
		}
	}
}

func TestStackIsThePlatforms(t *testing.T) {
	t.Parallel()

	stack := stackOf(t, platform(), nil)
	if stack.Name != "production-store" || stack.Labels["platform"] != "production-store" || stack.Spec.InheritedMetadata.Labels["platform"] != "production-store" {
		t.Errorf("%+v", stack.ObjectMeta)
	}

	if stack.Spec.Environment != v1.Production || *stack.Spec.Backend.Replicas != 2 || stack.Spec.Cache == nil || stack.Spec.Monitoring == nil {
		t.Errorf("%+v", stack.Spec)
	}
}

// TestVolumesDoNotShrink: a preset gives way, the user is told.
func TestVolumesDoNotShrink(t *testing.T) {
	t.Parallel()

	live := stackOf(t, platform(), nil)

	smaller := platform(func(s *v1.EcommercePlatformSpec) { s.Environment = v1.Development })
	if got := stackOf(t, smaller, live).Spec.Database.Storage; got != "100Gi" {
		t.Errorf("a preset shrinks the volumes to %s", got)
	}

	asked := platform(func(s *v1.EcommercePlatformSpec) { s.Database.Storage = "50Gi" })
	plan := decide.Decide(decide.View{Now: now, Platform: asked, Stack: live})

	if plan.Outcome.Kind != conditions.Stalled || len(plan.Changes) > 0 ||
		plan.Outcome.Message != "spec.database.storage: the volumes have 100Gi, and cannot shrink to 50Gi; set 100Gi or more, or move the data into a new platform" {
		t.Errorf("%+v, %v", plan.Outcome, plan.Changes)
	}
}

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: 1}
}

func TestOutcomeIsTheStacks(t *testing.T) {
	t.Parallel()

	for _, tc := range []struct {
		name       string
		conditions []metav1.Condition
		change     func(*v1.EcommercePlatformSpec)
		kind       conditions.Kind
		message    string
		phase      string
	}{
		{
			name:       "ready",
			conditions: []metav1.Condition{condition("Ready", metav1.ConditionTrue, "Ready", "all are ready")},
			kind:       conditions.Done, message: "all are ready", phase: v1.PhaseRunning,
		},
		{
			name:       "without images",
			conditions: []metav1.Condition{condition("Ready", metav1.ConditionTrue, "Ready", "all are ready")},
			change:     func(s *v1.EcommercePlatformSpec) { s.Backend, s.Frontend = nil, &v1.ShopWorkloadSpec{} },
			kind:       conditions.Done, message: "all are ready; spec.backend.image and spec.frontend.image not set", phase: v1.PhaseRunning,
		},
		{
			name: "waiting",
			conditions: []metav1.Condition{
				condition("Ready", metav1.ConditionFalse, "Deploying", "short"), condition("Reconciling", metav1.ConditionTrue, "Deploying", "long"),
			},
			kind: conditions.Waiting, message: "long", phase: v1.PhaseDeploying,
		},
		{
			name: "degraded",
			conditions: []metav1.Condition{
				condition("Ready", metav1.ConditionFalse, "Degraded", "short"), condition("Reconciling", metav1.ConditionTrue, "Degraded", "long"),
			},
			kind: conditions.Waiting, message: "long", phase: v1.PhaseDegraded,
		},
		{
			name: "stalled",
			conditions: []metav1.Condition{
				condition("Ready", metav1.ConditionFalse, "X", "short"), condition("Stalled", metav1.ConditionTrue, "X", "long"),
			},
			kind: conditions.Stalled, message: "long", phase: v1.PhaseFailed,
		},
		{name: "new", kind: conditions.Waiting, message: "Deploying a change", phase: v1.PhaseDeploying},
	} {
		p := platform()
		if tc.change != nil {
			tc.change(&p.Spec)
		}

		live := stackOf(t, p, nil)
		live.Generation = 1
		live.Status.Conditions = tc.conditions

		view := decide.View{Now: now, Platform: p, Stack: live}
		plan := decide.Decide(view)

		if len(plan.Changes) > 0 || plan.Outcome.Kind != tc.kind || plan.Outcome.Message != tc.message || decide.Phase(view, plan.Outcome) != tc.phase {
			t.Errorf("%s: %v, %+v, %s", tc.name, plan.Changes, plan.Outcome, decide.Phase(view, plan.Outcome))
		}
	}
}

func TestForeignStackIsLeftAlone(t *testing.T) {
	t.Parallel()

	foreign := &v1.AppStack{ObjectMeta: metav1.ObjectMeta{Name: "production-store", Namespace: "shop"}}
	plan := decide.Decide(decide.View{Now: now, Platform: platform(), Stack: foreign})

	if plan.Outcome.Kind != conditions.Stalled || len(plan.Changes) > 0 || !strings.Contains(plan.Outcome.Message, "is left alone") {
		t.Errorf("%+v", plan)
	}

	deleted := platform()
	deleted.DeletionTimestamp = &metav1.Time{Time: now}

	if plan := decide.Decide(decide.View{Now: now, Platform: deleted, Stack: foreign}); !plan.Release || len(plan.Changes) > 0 {
		t.Errorf("%+v", plan)
	}
}

func TestDeletion(t *testing.T) {
	t.Parallel()

	p := platform()
	live := stackOf(t, p, nil)
	p.DeletionTimestamp = &metav1.Time{Time: now}

	plan := decide.Decide(decide.View{Now: now, Platform: p, Stack: live})
	if len(plan.Changes) != 1 || plan.Changes[0].String() != "delete AppStack production-store" || plan.Release {
		t.Errorf("%+v", plan)
	}

	live.DeletionTimestamp = &metav1.Time{Time: now}
	live.Status.Conditions = []metav1.Condition{condition("Ready", metav1.ConditionFalse, "Deleting", "Deleting: waiting for the backend")}

	plan = decide.Decide(decide.View{Now: now, Platform: p, Stack: live})
	if plan.Release || len(plan.Changes) > 0 || plan.Outcome.Message != "Deleting: waiting for the backend" {
		t.Errorf("%+v", plan)
	}

	if plan := decide.Decide(decide.View{Now: now.Add(decide.DeletionTimeout), Platform: p, Stack: live}); !plan.Release {
		t.Error("it waits for ever")
	}

	if plan := decide.Decide(decide.View{Now: now, Platform: p}); !plan.Release {
		t.Error("it waits for nothing")
	}
}
