package decide_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/decide"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// named is a mutation of the state space.
type named struct {
	name string
	mutation
	// invalid: the spec must be refused.
	invalid bool
}

// mutations are what can be true of a Cluster at the same time. Every subset is tried.
func mutations() []named {
	return []named{
		{name: "pod 0 gone", mutation: losePod("db-0")},
		{name: "pod 2 gone", mutation: losePod("db-2")},
		{name: "volume 0 gone", mutation: loseVolume("db-0")},
		{name: "volume 1 gone", mutation: loseVolume("db-1")},
		{name: "pod 1 unready", mutation: unready("db-1")},
		{name: "pod 0 unready", mutation: unready("db-0")},
		{name: "pod 2 failed", mutation: func(w *world) {
			if w.view.Pods["db-2"] != nil {
				w.pod("db-2").Status = corev1.PodStatus{Phase: corev1.PodFailed}
			}
		}},
		{name: "image changed", mutation: spec(func(s *v1.ClusterSpec) { s.ImageName = image17b })},
		{name: "scaled to 1", mutation: spec(func(s *v1.ClusterSpec) { s.Instances = 1 })},
		{name: "restart pending", mutation: func(w *world) {
			for _, name := range []string{"db-0", "db-1", "db-2"} {
				pendingRestart(name, "max_connections", "200", "100")(w)
			}
		}},
		{name: "silent", mutation: func(w *world) {
			if _, ok := w.view.Reports["db-1"]; ok {
				w.view.Reports["db-1"] = decide.Report{Error: "timeout", SilentSince: w.view.Now.Add(-time.Minute)}
			}
		}},
		{name: "record lost", mutation: func(w *world) { w.view.Record = nil }},
		{name: "hibernate", mutation: annotate(naming.AnnotationHibernate, "on")},
		{name: "wrong parameter", mutation: setParameter("max_connections", "many"), invalid: true},
	}
}

// TestEverySubset checks the rules that all steps keep, in every state that the mutations can make, at once and on the
// way from there to rest.
func TestEverySubset(t *testing.T) {
	t.Parallel()

	all := mutations()

	up := newWorld(t, running)

	for subset := range 1 << len(all) {
		w := &world{t: t, nonces: maps.Clone(up.nonces), mounted: up.mounted, view: up.copy()}

		var names []string

		invalid := false

		for i, m := range all {
			if subset&(1<<i) == 0 {
				continue
			}

			names = append(names, m.name)
			invalid = invalid || m.invalid

			m.mutation(w)
		}

		context := strings.Join(names, ", ")

		// All are looked at once, some on their way.
		passes := 1
		if subset%17 == 0 && !testing.Short() {
			passes = 4
		}

		for pass := range passes {
			plan := w.plan()
			if found := broken(w.view, plan, invalid); found != "" {
				t.Fatalf("after {%s}: %s\nactions: %v\noutcome: %+v", context, found, printed(plan), plan.Outcome)
			}

			if pass+1 < passes {
				w.follow(plan)
			}
		}
	}
}

// TestEverySubsetComesToRest: whatever has happened, a few passes later nothing is written any more.
func TestEverySubsetComesToRest(t *testing.T) {
	t.Parallel()

	all := mutations()

	// Every pair and a sample of larger subsets: a walk to rest takes many passes.
	up := newWorld(t, running)

	for subset := range 1 << len(all) {
		if subset%97 != 0 && ones(subset) > 2 {
			continue
		}

		w := &world{t: t, nonces: maps.Clone(up.nonces), mounted: up.mounted, view: up.copy()}

		var names []string

		for i, m := range all {
			if subset&(1<<i) != 0 {
				names = append(names, m.name)
				m.mutation(w)
			}
		}

		if !w.settle(60) {
			t.Fatalf("after {%s}: still acting: %v", strings.Join(names, ", "), printed(w.plan()))
		}
	}
}

// broken names the rule that a plan breaks; empty if it keeps all.
func broken(view decide.View, plan decide.Plan, invalid bool) string { //nolint:revive // a fact, not a mode
	irreversible, down := 0, []string{}

	for _, action := range plan.Actions {
		if action.IsIrreversible() {
			irreversible++
		}

		switch a := action.(type) {
		case decide.DeleteVolume:
			if view.Record == nil || view.Record.Spec.Primary == nil || view.Record.Spec.Primary.Name == a.Name {
				return "the volume of a primary is deleted"
			}

			if view.Pods[a.Name] != nil {
				return "the volume of a pod that still exists is deleted"
			}
		case decide.DeletePod:
			down = append(down, a.Name)
		case decide.Restart:
			down = append(down, a.Instance)
		case decide.Switchover:
			down = append(down, a.Instance)
		case decide.CreateRecord:
			if len(view.Volumes) > 1 && a.Record.Spec.Bootstrap != "" && view.Cluster.Annotations[naming.AnnotationBootstrapFrom] == "" {
				return "an instance is named though several volumes exist"
			}
		case decide.Apply:
			if message := brokenApply(view, a, invalid); message != "" {
				return message
			}
		}

		if invalid && !bringsBack(view, action) {
			return "acts on an invalid spec: " + action.String()
		}
	}

	return brokenTogether(view, plan, irreversible, down, invalid)
}

// bringsBack: a pod is made that is missing, or one that has ended makes room for that.
func bringsBack(view decide.View, action decide.Action) bool {
	switch a := action.(type) {
	case decide.Apply:
		return decide.KindOf(a.Object) == "Pod" && view.Pods[a.Object.GetName()] == nil
	case decide.DeletePod:
		return view.Pods[a.Name].Status.Phase == corev1.PodFailed
	default:
		return false
	}
}

func brokenApply(view decide.View, a decide.Apply, invalid bool) string {
	pod, isPod := a.Object.(*corev1.Pod)

	switch {
	case invalid && !isPod:
		return "writes objects of an invalid spec"
	case isPod && pod.Spec.Containers[0].Image == "":
		return "makes a pod without an image"
	case isPod && view.Volumes[pod.Name] == nil && view.Record != nil && view.Record.Spec.Primary != nil && view.Record.Spec.Primary.Name == pod.Name:
		return "makes a pod for a primary without its volume"
	}

	if volume, ok := a.Object.(*corev1.PersistentVolumeClaim); ok && a.New && view.Record != nil &&
		view.Record.Spec.Established && view.Record.Spec.Primary.Name == volume.Name {
		return "makes an empty volume for a primary that has data"
	}

	return ""
}

func brokenTogether(view decide.View, plan decide.Plan, irreversible int, down []string, invalid bool) string {
	hibernating := view.Cluster.Annotations[naming.AnnotationHibernate] == "on"
	leaving := 0

	for _, pod := range view.Pods {
		if pod.DeletionTimestamp != nil {
			leaving++
		}
	}

	serving := slices.DeleteFunc(slices.Clone(down), func(name string) bool { return !isReady(view, name) })

	switch {
	case irreversible > 1:
		return "does more than one irreversible thing"
	case len(down) > 1 && !hibernating && len(serving) > 1:
		return fmt.Sprintf("takes down %v at once", down)
	case len(serving) > 0 && leaving > 0 && !hibernating:
		return fmt.Sprintf("takes down %v while %d leave", serving, leaving)
	case invalid && plan.Outcome.Kind != conditions.Stalled:
		return "does not say that the spec is invalid"
	case plan.Outcome.Message == "" || plan.Outcome.Reason == "":
		return "says nothing"
	case plan.Outcome.Kind == conditions.Done && (len(down) > 0 || plan.Status.ReadyInstances != view.Cluster.Spec.Instances):
		return "says that all is done"
	case plan.After <= 0:
		return "nobody looks again"
	}

	return ""
}

func isReady(view decide.View, name string) bool {
	pod := view.Pods[name]
	if pod == nil {
		return false
	}

	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			status := view.Reports[name].Status

			return condition.Status == corev1.ConditionTrue && (status == nil || status.State == instanceapi.StateRunning)
		}
	}

	return false
}

func ones(n int) int {
	count := 0
	for ; n > 0; n >>= 1 {
		count += n & 1
	}

	return count
}
