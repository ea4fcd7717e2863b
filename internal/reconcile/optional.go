package reconcile

import (
	"fmt"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Optional is a watch of a kind that may not be installed. Only metadata is kept: the objects themselves are read when one is
// needed. The zero value, as without a manager, watches nothing.
type Optional struct {
	mu    sync.Mutex
	kind  string
	start func() error
}

// Init says what is to be watched: objects that name in a label what is to be reconciled.
func (o *Optional) Init(mgr ctrl.Manager, c controller.Controller, kind schema.GroupVersionKind, label string) {
	o.mu.Lock()
	defer o.mu.Unlock()

	o.kind = kind.Kind
	o.start = func() error {
		object := &metav1.PartialObjectMetadata{}
		object.SetGroupVersionKind(kind)

		return c.Watch(source.Kind(mgr.GetCache(), object, TypedByLabel[*metav1.PartialObjectMetadata](label)))
	}
}

// Start begins to watch, once; to be called whenever the kind is seen to be there.
func (o *Optional) Start() error {
	o.mu.Lock()
	defer o.mu.Unlock()

	if o.start == nil {
		return nil
	}

	if err := o.start(); err != nil {
		return fmt.Errorf("watch %ss: %w", o.kind, err)
	}

	o.start = nil

	return nil
}
