package owned

import (
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/caretaker-dev/caretaker/internal/naming"
)

// Owner is what owns the objects.
type Owner struct {
	// Object of an application kind.
	Object metav1.Object
	// GVK of it.
	GVK schema.GroupVersionKind
	// Label is the key whose value is the owner's name on all that it owns, such as naming.LabelWebApp.
	Label string
	// Application is the value of app.kubernetes.io/name.
	Application string
	// Labels and Annotations are the user's, for everything that is owned. Ours win.
	Labels, Annotations map[string]string
}

// SelectorLabels find everything that is owned.
func (o Owner) SelectorLabels() map[string]string {
	return map[string]string{o.Label: o.Object.GetName(), naming.LabelManagedBy: naming.ManagedBy}
}

// CommonLabels are on everything that is owned.
func (o Owner) CommonLabels() map[string]string {
	labels := maps.Clone(o.Labels)
	if labels == nil {
		labels = map[string]string{}
	}

	labels["app.kubernetes.io/name"] = o.Application
	labels["app.kubernetes.io/instance"] = o.Object.GetName()
	maps.Copy(labels, o.SelectorLabels())

	return labels
}

// Meta is the metadata of an owned object. The owner reference is without blockOwnerDeletion, which would need rights on
// finalizers.
func (o Owner) Meta(name string) metav1.ObjectMeta {
	controller := true

	return metav1.ObjectMeta{
		Name: name, Namespace: o.Object.GetNamespace(), Labels: o.CommonLabels(), Annotations: maps.Clone(o.Annotations),
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: o.GVK.GroupVersion().String(), Kind: o.GVK.Kind, Name: o.Object.GetName(), UID: o.Object.GetUID(), Controller: &controller,
		}},
	}
}

// IsOurs says whether a live object is the owner's to change. What a deleted owner of the same name left behind is taken
// over.
func (o Owner) IsOurs(live metav1.Object) bool {
	controller := metav1.GetControllerOf(live)
	if controller == nil {
		return o.HasLabels(live)
	}

	return controller.UID == o.Object.GetUID() ||
		o.HasLabels(live) && controller.Kind == o.GVK.Kind && controller.Name == o.Object.GetName()
}

// HasLabels says whether a live object is found by SelectorLabels.
func (o Owner) HasLabels(live metav1.Object) bool {
	labels := live.GetLabels()

	return labels[o.Label] == o.Object.GetName() && labels[naming.LabelManagedBy] == naming.ManagedBy
}
