package api

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/test/internal/crash"
)

// TestTwoOperators at once, as for a moment after a leader lost its lease without noticing: they end where one would.
func TestTwoOperators(t *testing.T) {
	t.Parallel()

	want := started(t).State(t)
	w := newWorld(t)
	w.create(t, w.newCluster())

	var wg sync.WaitGroup

	for range 2 {
		reconciler := w.reconciler(t, crash.NewProcess(w.server.Client, 0))

		wg.Go(func() {
			for range 20 {
				// Each gets in the other's way; that must only ever cost another try.
				_, _ = reconciler.Reconcile(t.Context(), w.request())

				if _, err := w.machine.Turn(t.Context()); err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
					t.Errorf("machine: %v", err)
				}
			}
		})
	}

	wg.Wait()
	w.settle(t)
	w.wantReady(t)

	if diff := cmp.Diff(want, w.State(t)); diff != "" {
		t.Errorf("another end state than of one operator (-one +two):\n%s", diff)
	}
}

// TestStatusConflict: somebody writes the Cluster between the operator's read and its status write.
func TestStatusConflict(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.create(t, w.newCluster())

	interfered := 0
	racing := interceptor.NewClient(w.server.Client, interceptor.Funcs{
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, obj client.Object, opts ...client.SubResourceUpdateOption) error {
			if interfered++; interfered%2 == 1 {
				w.change(t, func(c *postgresqlv1.Cluster) {
					if c.Annotations == nil {
						c.Annotations = map[string]string{}
					}

					c.Annotations["example.com/interfered"] += "x"
				})
			}

			return c.SubResource(sub).Update(ctx, obj, opts...)
		},
	})

	w.Run(t, crash.NewProcess(racing, 0))
	w.wantReady(t)

	if interfered == 0 {
		t.Skip("the status is not written by update; nothing was tested")
	}
}

// TestErrors: the API server fails once in a while, at any call.
func TestErrors(t *testing.T) {
	t.Parallel()

	want := started(t).State(t)

	for every := 3; every <= 17; every += 7 {
		w := newWorld(t)
		w.create(t, w.newCluster())

		var (
			mu    sync.Mutex
			calls int
		)

		fails := func() error {
			mu.Lock()
			defer mu.Unlock()

			if calls++; calls%every == 0 {
				return apierrors.NewInternalError(errors.New("etcd is leaving"))
			}

			return nil
		}

		failing := interceptor.NewClient(w.server.Client, interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
				if err := fails(); err != nil {
					return err
				}

				return c.List(ctx, list, opts...)
			},
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
				if err := fails(); err != nil {
					return err
				}

				return c.Get(ctx, key, obj, opts...)
			},
			Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
				if err := fails(); err != nil {
					return err
				}

				return c.Create(ctx, obj, opts...)
			},
		})

		reconciler := w.reconciler(t, crash.NewProcess(failing, 0))
		for range 30 {
			_, _ = reconciler.Reconcile(t.Context(), w.request())

			if _, err := w.machine.Turn(t.Context()); err != nil {
				t.Fatalf("machine: %v", err)
			}
		}

		w.settle(t)
		w.wantReady(t)

		if diff := cmp.Diff(want, w.State(t)); diff != "" {
			t.Errorf("every %d. call failed: another end state (-undisturbed +disturbed):\n%s", every, diff)
		}
	}
}
