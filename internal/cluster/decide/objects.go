package decide

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/caretaker-dev/caretaker/internal/apply/diff"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// Objects that hold no data are applied when they are missing or not as they should be, and deleted when the spec does
// not want them any more. Secrets with certificates stay: whoever still trusts them is not known here.
func (p *planner) objects() {
	wanted := build.All(p.input)
	if p.Cluster.Spec.Monitoring != nil && p.Cluster.Spec.Monitoring.EnablePodMonitor && p.PodMonitorAPI {
		wanted = append(wanted, build.PodMonitor(p.input))
	}

	keep := map[Key]bool{}

	for _, object := range wanted {
		key := Key{object.GetObjectKind().GroupVersionKind().Kind, object.GetName()}
		keep[key] = true

		p.ensure(object, p.Owned[key])
	}

	keys := slices.SortedFunc(maps.Keys(p.Owned), func(a, b Key) int {
		return strings.Compare(a.Kind+"/"+a.Name, b.Kind+"/"+b.Name)
	})

	for _, key := range keys {
		if !keep[key] && p.isPrunable(key) && p.Owned[key].GetDeletionTimestamp() == nil {
			p.act(Delete{Object: typed(p.Owned[key], key.Kind)})
		}
	}
}

// ensure applies an object if the live one, which may be missing, is not as it should be.
func (p *planner) ensure(wanted, live build.Object) {
	if live == nil {
		p.act(Apply{Object: wanted, New: true})

		return
	}

	if differs, err := diff.Differs(wanted, live); err == nil && !differs {
		return
	}

	apply := Apply{
		Object: wanted, Live: live, Replacement: replacement(wanted, live),
		Drifted: wanted.GetAnnotations()[diff.Annotation] == live.GetAnnotations()[diff.Annotation],
	}

	// What is in a secret may be fresh: it must not be written over something fresher that the cache did not show yet.
	if _, secret := wanted.(*corev1.Secret); secret {
		apply.ResourceVersion = live.GetResourceVersion()
	}

	p.act(apply)
}

func (p *planner) isPrunable(key Key) bool {
	switch key.Kind {
	case "Service", "PodDisruptionBudget", "ServiceAccount", "PodMonitor":
		return true
	case "Secret":
		return key.Name == naming.SecretSuperuser(p.Cluster.Name) || key.Name == naming.SecretCopies(p.Cluster.Name)
	default:
		return false
	}
}

// typed sets the kind of an object that was read without it, so that actions print well.
func typed(object build.Object, kind string) build.Object {
	if _, ok := object.(*unstructured.Unstructured); ok {
		return object
	}

	copied, ok := object.DeepCopyObject().(build.Object)
	if !ok {
		return object
	}

	gvk := copied.GetObjectKind().GroupVersionKind()
	gvk.Kind = kind
	copied.GetObjectKind().SetGroupVersionKind(gvk)

	return copied
}
