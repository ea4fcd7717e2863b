package decide

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/caretaker-dev/caretaker/api/platform/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// teardown deletes the parts in reverse order: one goes when nothing that needs it is left, its pods included. After
// DeletionTimeout the stack is released with what is left: its owner references see to the rest.
func teardown(view View, parts []part) Plan {
	plan := Plan{
		After:  whileDeleting,
		Status: v1.AppStackStatus{ObservedGeneration: view.Stack.Generation, Endpoints: v1.Endpoints{}},
	}

	components := componentsOf(view)
	left := map[string]bool{}

	for key := range view.Owned {
		left[components(key)] = true
	}

	for component, pods := range view.Pods {
		if pods > 0 {
			left[component] = true
		}
	}

	needed := neededBy(parts, left)

	var going []string

	for _, key := range slices.SortedFunc(maps.Keys(view.Owned), func(a, b owned.Key) int {
		return strings.Compare(a.Kind+"/"+a.Name, b.Kind+"/"+b.Name)
	}) {
		object := view.Owned[key]
		if !needed[components(key)] && object.GetDeletionTimestamp() == nil {
			plan.Changes = append(plan.Changes, owned.Delete{Object: object, Kind: key.Kind})
		}
	}

	for _, p := range slices.Backward(parts) {
		if !left[p.name] {
			continue
		}

		s := v1.ComponentStatus{Name: p.name, Kind: p.kind, Resource: p.resource, State: v1.StateDeleting}
		if needed[p.name] {
			s.Message = "goes after what needs it"
		} else {
			going = append(going, leaving(view, p))
			s.Message = "is going"
		}

		plan.Status.Components = append(plan.Status.Components, s)
	}

	switch expired := view.Now.Sub(view.Stack.DeletionTimestamp.Time) >= DeletionTimeout; {
	case len(left) == 0:
		plan.Release = true
		plan.Outcome = conditions.Outcome{Kind: conditions.Resting, Reason: v1.ReasonDeleting, Message: "Deleted: no part is left"}
	case expired:
		plan.Release, plan.Changes = true, nil
		plan.Outcome = conditions.Outcome{Kind: conditions.Resting, Reason: v1.ReasonDeleting, Message: fmt.Sprintf(
			"Deleting: no longer waiting for %s, after %s; Kubernetes collects the rest in any order", strings.Join(going, " and "), DeletionTimeout)}
	default:
		plan.Outcome = conditions.Outcome{Kind: conditions.Resting, Reason: v1.ReasonDeleting, Message: "Deleting: waiting for " + strings.Join(going, " and ")}
	}

	return plan
}

// leaving says of a part what is left of it.
func leaving(view View, p part) string {
	what := p.name + " " + p.resource + " to be gone"

	switch pods := view.Pods[p.name]; pods {
	case 0:
		return what
	case 1:
		return what + " (1 pod left)"
	default:
		return fmt.Sprintf("%s (%d pods left)", what, pods)
	}
}

// neededBy are the parts that something else, of which something is left, needs, directly or not.
func neededBy(parts []part, left map[string]bool) map[string]bool {
	needed := map[string]bool{}

	for _, p := range slices.Backward(parts) {
		if !left[p.name] && !needed[p.name] {
			continue
		}

		for _, need := range p.needs {
			needed[need] = true
		}
	}

	return needed
}

// componentsOf says which part an object belongs to: its label says so. What was made without one goes first.
func componentsOf(view View) func(owned.Key) string {
	return func(key owned.Key) string { return view.Owned[key].GetLabels()[naming.LabelComponent] }
}
