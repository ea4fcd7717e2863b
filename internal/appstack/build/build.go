package build

import (
	"maps"

	v1 "github.com/caretaker-dev/caretaker/api/platform/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// Input is everything that the objects of an AppStack are made from.
type Input struct {
	// Stack that the objects belong to.
	Stack *v1.AppStack
	// CacheImage for stacks that name none.
	CacheImage string
	// CachePassword of the cache: what its Secret has, or a fresh one.
	CachePassword string
	// Storage that the database's volumes have already, such as 100Gi; empty if there are none. It is never fallen short of.
	Storage string
}

// Names of a stack's parts, and their values of the label app.kubernetes.io/component.
const (
	Database   = "database"
	Cache      = "cache"
	Config     = "config"
	Backend    = "backend"
	Frontend   = "frontend"
	Ingress    = "ingress"
	Monitoring = "monitoring"
)

// Name of a part: the database is <stack>-db, the others carry their component's name.
func Name(stack *v1.AppStack, component string) string {
	switch component {
	case Database:
		return stack.Name + "-db"
	case Cache, Backend, Frontend:
		return stack.Name + "-" + component
	default:
		return stack.Name
	}
}

// Owner of a stack's objects.
func Owner(stack *v1.AppStack) owned.Owner {
	owner := owned.Owner{
		Object: stack, GVK: v1.GroupVersion.WithKind("AppStack"), Label: naming.LabelAppStack, Application: stack.Name,
		Labels: map[string]string{},
	}

	if inherited := stack.Spec.InheritedMetadata; inherited != nil {
		maps.Copy(owner.Labels, inherited.Labels)
		owner.Annotations = inherited.Annotations
	}

	return owner
}

// Inherited labels are on everything below a part, its pods included. They are not those that a stack finds its own
// objects by: what belongs to a part is the part's to change.
func Inherited(stack *v1.AppStack, component string) map[string]string {
	labels := map[string]string{}

	if inherited := stack.Spec.InheritedMetadata; inherited != nil {
		maps.Copy(labels, inherited.Labels)
	}

	labels[naming.LabelStack] = stack.Name
	labels[naming.LabelComponent] = component

	return labels
}

// annotations that are inherited.
func annotations(stack *v1.AppStack) map[string]string {
	if stack.Spec.InheritedMetadata == nil {
		return nil
	}

	return stack.Spec.InheritedMetadata.Annotations
}

// HasCache says whether the stack has a cache.
func HasCache(stack *v1.AppStack) bool {
	cache := stack.Spec.Cache

	return cache != nil && (cache.Enabled == nil || *cache.Enabled)
}

// HasMonitoring says whether the stack's backend is to be scraped.
func HasMonitoring(stack *v1.AppStack) bool {
	monitoring := stack.Spec.Monitoring

	return monitoring != nil && (monitoring.Enabled == nil || *monitoring.Enabled) && stack.Spec.Backend != nil
}

// isStrict: production is where pods must not run as root and may be reached by those only who have to.
func isStrict(stack *v1.AppStack) bool { return stack.Spec.Environment == v1.Production }
