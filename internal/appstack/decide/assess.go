package decide

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	caretakerappsv1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	configv1 "github.com/caretaker-dev/caretaker/api/config/v1"
	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	v1 "github.com/caretaker-dev/caretaker/api/platform/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/appstack/build"
	"github.com/caretaker-dev/caretaker/internal/conditions"
)

// state of a wanted part.
type state struct {
	v1.ComponentStatus

	// held: the part is not made before others are ready.
	held bool
}

// title names the part and its object.
func (s state) title() string {
	if s.Resource == "" {
		return s.Name
	}

	return s.Name + " " + s.Resource
}

// assess says how the parts stand, in their order. The states of parts that are not wanted are empty.
func assess(view View, parts []part) []state {
	all := make([]state, len(parts))

	for i, p := range parts {
		if p.wanted {
			all[i] = assessPart(view, p, all[:i])
		}
	}

	return all
}

func wantedOf(states []state) []state {
	return slices.DeleteFunc(slices.Clone(states), func(s state) bool { return s.Name == "" })
}

func assessPart(view View, p part, before []state) state {
	s := state{ComponentStatus: v1.ComponentStatus{Name: p.name, Kind: p.kind, Resource: p.resource}}
	live := view.Owned[owned.Key{Kind: p.kind, Name: p.resource}]

	if p.unavailable != "" {
		s.State, s.Message = v1.StateUnavailable, p.unavailable

		return s
	}

	// What was made once is made again without delay, whatever the others are doing: losing one part must not cost another.
	if live == nil && !wasMade(view.Stack, p.name) {
		if waits := waitsFor(p, before); waits != "" {
			s.State, s.Message, s.held = v1.StateWaiting, waits, true

			return s
		}
	}

	s.Ready, s.State, s.Message = readiness(live)

	if s.State == v1.StateDegraded && !wasReady(view.Stack, p.name) {
		s.State = v1.StateDeploying
	}

	return s
}

// waitsFor says which part is waited for; empty if there is none.
func waitsFor(p part, before []state) string {
	var waits []string

	for _, s := range before {
		if slices.Contains(p.needs, s.Name) && !s.Ready && s.State != v1.StateUnavailable {
			waits = append(waits, s.title()+": "+s.Message)
		}
	}

	if len(waits) == 0 {
		return ""
	}

	return "waits for " + strings.Join(waits, "; and for ")
}

func before(stack *v1.AppStack, name string) v1.ComponentStatus {
	for _, component := range stack.Status.Components {
		if component.Name == name {
			return component
		}
	}

	return v1.ComponentStatus{}
}

// wasMade: the last status says that the part existed.
func wasMade(stack *v1.AppStack, name string) bool {
	state := before(stack, name).State

	return state != "" && state != v1.StateWaiting && state != v1.StateUnavailable
}

// wasReady: the part was ready, and has not been since.
func wasReady(stack *v1.AppStack, name string) bool {
	state := before(stack, name).State

	return state == v1.StateReady || state == v1.StateDegraded
}

// readiness of a part by its object. What is as it should be but not ready is Degraded, unless it never was.
func readiness(live owned.Object) (ready bool, state, message string) {
	switch object := live.(type) {
	case nil:
		return false, v1.StateDeploying, "it is being made"
	case *databasev1.PostgreSQL:
		return byConditions(object, object.Status.Conditions)
	case *databasev1.MySQL:
		return byConditions(object, object.Status.Conditions)
	case *caretakerappsv1.WebApp:
		return byConditions(object, object.Status.Conditions)
	case *configv1.AppConfig:
		return byConditions(object, object.Status.Conditions)
	case *appsv1.StatefulSet:
		return ofStatefulSet(object)
	case *networkingv1.Ingress:
		if len(object.Status.LoadBalancer.Ingress) == 0 {
			return true, v1.StateReady, "made; no ingress controller has given it an address yet"
		}

		return true, v1.StateReady, ""
	default:
		return true, v1.StateReady, ""
	}
}

// byConditions: what the object says of an older spec does not count.
func byConditions(object metav1.Object, all []metav1.Condition) (ready bool, state, message string) {
	if object.GetDeletionTimestamp() != nil {
		return false, v1.StateDeploying, "one of this name is still being deleted"
	}

	is := meta.FindStatusCondition(all, conditions.TypeReady)
	if is == nil || is.ObservedGeneration < object.GetGeneration() {
		return false, v1.StateDeploying, "it is being looked at"
	}

	if stalled := meta.FindStatusCondition(all, conditions.TypeStalled); stalled != nil && stalled.Status == metav1.ConditionTrue {
		return false, v1.StateStalled, stalled.Message
	}

	if is.Status == metav1.ConditionTrue {
		return true, v1.StateReady, is.Message
	}

	return false, v1.StateDegraded, is.Message
}

func ofStatefulSet(object *appsv1.StatefulSet) (ready bool, state, message string) {
	s := object.Status
	wanted := int32(1)

	if object.Spec.Replicas != nil {
		wanted = *object.Spec.Replicas
	}

	if s.ObservedGeneration >= object.Generation && s.UpdateRevision == s.CurrentRevision && s.ReadyReplicas >= wanted {
		return true, v1.StateReady, fmt.Sprintf("%d of %d replicas ready", s.ReadyReplicas, wanted)
	}

	if s.ObservedGeneration < object.Generation || s.UpdateRevision != s.CurrentRevision {
		return false, v1.StateDeploying, fmt.Sprintf("a change is being made (%d of %d replicas ready)", s.ReadyReplicas, wanted)
	}

	return false, v1.StateDegraded, fmt.Sprintf("%d of %d replicas ready", s.ReadyReplicas, wanted)
}

// endpoints of the parts that exist.
func endpoints(view View) v1.Endpoints {
	var all v1.Endpoints

	stack := view.Stack
	exists := func(kind, component string) bool {
		return view.Owned[owned.Key{Kind: kind, Name: build.Name(stack, component)}] != nil
	}

	if stack.Spec.Backend != nil && exists("WebApp", build.Backend) {
		all.Backend = build.URL(stack, build.Backend)
	}

	if stack.Spec.Frontend != nil && exists("WebApp", build.Frontend) {
		all.Frontend = build.URL(stack, build.Frontend)
	}

	if build.HasCache(stack) && exists("StatefulSet", build.Cache) {
		all.Cache = fmt.Sprintf("%s:%d", build.CacheHost(stack), build.CachePort)
	}

	if ingress := stack.Spec.Ingress; ingress != nil && exists("Ingress", build.Ingress) {
		all.URL = "http://" + ingress.Host
		if ingress.TLS != nil {
			all.URL = "https://" + ingress.Host
		}
	}

	switch database := view.Owned[databaseKey(view)].(type) {
	case *databasev1.PostgreSQL:
		all.Database = database.Status.Endpoint
	case *databasev1.MySQL:
		all.Database = database.Status.Endpoint
	}

	return all
}

func databaseKey(view View) owned.Key {
	if view.Stack.Spec.Database == nil {
		return owned.Key{}
	}

	return owned.Key{Kind: build.DatabaseKind(view.Stack), Name: build.Name(view.Stack, build.Database)}
}
