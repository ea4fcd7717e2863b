package decide_test

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	caretakerappsv1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	configv1 "github.com/caretaker-dev/caretaker/api/config/v1"
	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	v1 "github.com/caretaker-dev/caretaker/api/platform/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/appstack/build"
	"github.com/caretaker-dev/caretaker/internal/appstack/decide"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

var start = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// fullStack has every part.
func fullStack() *v1.AppStack {
	stack := &v1.AppStack{ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: "apps", UID: "u", Generation: 1}}
	stack.Spec = v1.AppStackSpec{
		Environment: v1.Production,
		Database:    &v1.DatabaseSpec{Type: v1.PostgreSQL, Version: "17", Storage: "10Gi", Replicas: new(int32(3))},
		Cache:       &v1.CacheSpec{},
		Config:      map[string]string{"GREETING": "hello"},
		Backend:     &v1.WorkloadSpec{Image: "backend:1", Replicas: new(int32(2))},
		Frontend:    &v1.WorkloadSpec{Image: "frontend:1", Port: 80},
		Ingress:     &v1.IngressSpec{Host: "shop.example.com", TLS: &v1.IngressTLS{}},
		Monitoring:  &v1.MonitoringSpec{},
	}

	return stack
}

// world plays the API server and the controllers of the parts: a part is ready unless it is broken.
type world struct {
	view decide.View
	// broken parts, and what they say.
	broken map[string]string
	// stalled parts, likewise.
	stalled map[string]string
	// made are the parts' main objects in the order in which they were made, gone those that were deleted.
	made, gone []string
}

func newWorld(stack *v1.AppStack) *world {
	return &world{
		view:   decide.View{Now: start, Stack: stack, Owned: owned.Objects{}, PodMonitorAPI: true, CacheImage: "valkey:8", NewPassword: "fresh"},
		broken: map[string]string{}, stalled: map[string]string{},
	}
}

// pass decides once and makes the changes.
func (w *world) pass() decide.Plan {
	plan := decide.Decide(w.view)

	for _, change := range plan.Changes {
		switch c := change.(type) {
		case owned.Apply:
			key := owned.Key{Kind: c.Object.GetObjectKind().GroupVersionKind().Kind, Name: c.Object.GetName()}
			if w.view.Owned[key] == nil {
				w.made = append(w.made, key.Kind+"/"+key.Name)
			}

			w.view.Owned[key] = c.Object
		case owned.Delete:
			key := owned.Key{Kind: c.Kind, Name: c.Object.GetName()}
			delete(w.view.Owned, key)

			w.gone = append(w.gone, key.Kind+"/"+key.Name)
		}
	}

	w.view.Stack.Status.Components = plan.Status.Components
	w.parts()

	return plan
}

// parts say how they are.
func (w *world) parts() {
	for _, object := range w.view.Owned {
		component := object.GetLabels()[naming.LabelComponent]
		ready, message := metav1.ConditionTrue, "all ready"

		if said, ok := w.broken[component]; ok {
			ready, message = metav1.ConditionFalse, said
		}

		all := []metav1.Condition{{Type: conditions.TypeReady, Status: ready, Reason: "R", Message: message, ObservedGeneration: object.GetGeneration()}}

		if said, ok := w.stalled[component]; ok {
			all[0].Status = metav1.ConditionFalse
			all = append(all, metav1.Condition{Type: conditions.TypeStalled, Status: metav1.ConditionTrue, Reason: "S", Message: said})
		}

		switch o := object.(type) {
		case *databasev1.PostgreSQL:
			o.Status.Conditions, o.Status.Endpoint = all, o.Name+"-rw.apps.svc:5432"
		case *databasev1.MySQL:
			o.Status.Conditions = all
		case *caretakerappsv1.WebApp:
			o.Status.Conditions = all
		case *configv1.AppConfig:
			o.Status.Conditions = all
		case *appsv1.StatefulSet:
			o.Status.ReadyReplicas = 1
			if ready != metav1.ConditionTrue {
				o.Status.ReadyReplicas = 0
			}
		}
	}
}

// settle passes until nothing is left to be done.
func (w *world) settle(t *testing.T) decide.Plan {
	t.Helper()

	for range 50 {
		if plan := w.pass(); len(plan.Changes) == 0 {
			return w.pass()
		}
	}

	t.Fatal("it does not come to rest")

	return decide.Plan{}
}

// component of the status.
func component(t *testing.T, plan decide.Plan, name string) v1.ComponentStatus {
	t.Helper()

	for _, c := range plan.Status.Components {
		if c.Name == name {
			return c
		}
	}

	t.Fatalf("no component %s in %+v", name, plan.Status.Components)

	return v1.ComponentStatus{}
}

func (w *world) has(component string) bool {
	kinds := map[string]string{
		build.Database: "PostgreSQL", build.Cache: "StatefulSet", build.Config: "AppConfig", build.Backend: "WebApp", build.Frontend: "WebApp",
		build.Ingress: "Ingress", build.Monitoring: "PodMonitor",
	}

	return w.view.Owned[owned.Key{Kind: kinds[component], Name: build.Name(w.view.Stack, component)}] != nil
}

func (w *world) webapp(component string) *caretakerappsv1.WebApp {
	object, _ := w.view.Owned[owned.Key{Kind: "WebApp", Name: build.Name(w.view.Stack, component)}].(*caretakerappsv1.WebApp)

	return object
}

func (w *world) cacheSecret() *corev1.Secret {
	object, _ := w.view.Owned[owned.Key{Kind: "Secret", Name: "shop-cache"}].(*corev1.Secret)

	return object
}
