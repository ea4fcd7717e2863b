package crash

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// ErrDead is what everything answers after a Process has died.
var ErrDead = errors.New("the process is dead")

// Process is one life of a controller, as the API server sees it. It dies right after a given write: the write was made,
// its caller does not hear of that, and nothing can be read or written any more.
type Process struct {
	client client.WithWatch
	// diesAfter is the number of the last write; 0 for a process that lives on.
	diesAfter int

	mu     sync.Mutex
	writes []string
	dead   bool
	died   []context.CancelFunc
}

// NewProcess makes a process over a client. It dies after the write of the given number, counted from 1; never with 0.
func NewProcess(under client.WithWatch, diesAfter int) *Process {
	p := &Process{diesAfter: diesAfter}
	p.client = interceptor.NewClient(under, p.funcs())

	return p
}

// Client is the process's view of the API server.
func (p *Process) Client() client.WithWatch { return p.client }

// Context ends when the process dies.
func (p *Process) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)

	p.mu.Lock()
	defer p.mu.Unlock()

	p.died = append(p.died, cancel)

	return ctx, cancel
}

// Writes that were made, such as "apply Pod db-0".
func (p *Process) Writes() []string {
	p.mu.Lock()
	defer p.mu.Unlock()

	return slices.Clone(p.writes)
}

// IsDead says whether the process has died.
func (p *Process) IsDead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.dead
}

// Read does something without effects outside, unless the process is dead.
func (p *Process) Read(do func() error) error {
	if p.IsDead() {
		return ErrDead
	}

	return do()
}

// Write does something with effects outside of the process, and counts it. Refused writes have no effect and do not
// count.
func (p *Process) Write(what string, do func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.dead {
		return ErrDead
	}

	if err := do(); err != nil {
		return err
	}

	p.writes = append(p.writes, what)
	if len(p.writes) != p.diesAfter {
		return nil
	}

	p.dead = true
	for _, cancel := range p.died {
		cancel()
	}

	return ErrDead
}

// object names an object for the list of writes.
func (p *Process) object(verb string, obj client.Object) string {
	kind := fmt.Sprintf("%T", obj)
	if gvk, err := p.client.GroupVersionKindFor(obj); err == nil {
		kind = gvk.Kind
	}

	return fmt.Sprintf("%s %s %s", verb, kind, obj.GetName())
}

// applied names what is applied: all apply configurations have a kind and a name.
func applied(verb string, obj runtime.ApplyConfiguration) string {
	named, ok := obj.(interface {
		GetKind() *string
		GetName() *string
	})
	if ok && named.GetKind() != nil && named.GetName() != nil {
		return fmt.Sprintf("%s %s %s", verb, *named.GetKind(), *named.GetName())
	}

	if u, ok := obj.(interface {
		GetKind() string
		GetName() string
	}); ok {
		return fmt.Sprintf("%s %s %s", verb, u.GetKind(), u.GetName())
	}

	return fmt.Sprintf("%s %T", verb, obj)
}

func (p *Process) funcs() interceptor.Funcs {
	funcs := interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			return p.Read(func() error { return c.Get(ctx, key, obj, opts...) })
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			return p.Read(func() error { return c.List(ctx, list, opts...) })
		},
		Watch: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) (watch.Interface, error) {
			if p.IsDead() {
				return nil, ErrDead
			}

			return c.Watch(ctx, list, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			return p.Write(p.object("create", obj), func() error { return c.Create(ctx, obj, opts...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.UpdateOption) error {
			return p.Write(p.object("update", obj), func() error { return c.Update(ctx, obj, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
			return p.Write(p.object("patch", obj), func() error { return c.Patch(ctx, obj, patch, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
			return p.Write(p.object("delete", obj), func() error { return c.Delete(ctx, obj, opts...) })
		},
		DeleteAllOf: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteAllOfOption) error {
			return p.Write(p.object("delete all", obj), func() error { return c.DeleteAllOf(ctx, obj, opts...) })
		},
		Apply: func(ctx context.Context, c client.WithWatch, obj runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			return p.Write(applied("apply", obj), func() error { return c.Apply(ctx, obj, opts...) })
		},
	}
	p.subResources(&funcs)

	return funcs
}

func (p *Process) subResources(funcs *interceptor.Funcs) {
	funcs.SubResourceCreate = func(ctx context.Context, c client.Client, sub string, obj, body client.Object, opts ...client.SubResourceCreateOption) error {
		return p.Write(p.object("create "+sub+" of", obj), func() error { return c.SubResource(sub).Create(ctx, obj, body, opts...) })
	}
	funcs.SubResourceUpdate = func(ctx context.Context, c client.Client, sub string, obj client.Object, opts ...client.SubResourceUpdateOption) error {
		return p.Write(p.object("update "+sub+" of", obj), func() error { return c.SubResource(sub).Update(ctx, obj, opts...) })
	}
	funcs.SubResourcePatch = func(ctx context.Context, c client.Client, sub string, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
		return p.Write(p.object("patch "+sub+" of", obj), func() error { return c.SubResource(sub).Patch(ctx, obj, patch, opts...) })
	}
	funcs.SubResourceApply = func(ctx context.Context, c client.Client, sub string, obj runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
		return p.Write(applied("apply "+sub+" of", obj), func() error { return c.SubResource(sub).Apply(ctx, obj, opts...) })
	}
}
