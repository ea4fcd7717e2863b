package reconcile

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	ctrlreconcile "sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// conflictDelay is how long a pass that lost a race waits: about as long as a cache needs to catch up.
const conflictDelay = 100 * time.Millisecond

// Outcome of a pass that did not fail.
type Outcome struct {
	// Waiting: something is under way.
	Waiting bool
	// Stalled: only the user can help.
	Stalled bool
	// After is when to look again at the latest; 0 for not before something changes.
	After time.Duration
}

// Pass looks once at an object and does what is due. It has written the object's status, errors included, when it
// returns. It must not change the object that it is given.
type Pass[T client.Object] func(ctx context.Context, object T) (Outcome, error)

// Shell runs passes over the objects of one kind.
type Shell[T client.Object] struct {
	// Kind in lower case, for logs.
	Kind string
	// New gives an empty object.
	New func() T
	// Client reads the object.
	Client client.Client
	// Clock measures.
	Clock clock.PassiveClock
	// Metrics count.
	Metrics *Metrics
	// Pass over one object.
	Pass Pass[T]
}

// Reconcile fetches an object, runs a pass over it, and says when to look again.
func (s *Shell[T]) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	start := s.Clock.Now()

	object := s.New()
	if err := s.Client.Get(ctx, request.NamespacedName, object); err != nil {
		if client.IgnoreNotFound(err) == nil {
			s.Metrics.forget(request.NamespacedName)

			return ctrl.Result{}, nil
		}

		return ctrl.Result{}, fmt.Errorf("get %s %s: %w", s.Kind, request.NamespacedName, err)
	}

	logger := log.FromContext(ctx).WithValues(
		s.Kind+".name", object.GetName(),
		s.Kind+".namespace", object.GetNamespace(),
		s.Kind+".generation", object.GetGeneration(),
		s.Kind+".resourceVersion", object.GetResourceVersion(),
	)
	logger.V(1).Info("Starting reconciliation")

	outcome, err := s.Pass(log.IntoContext(ctx, logger), object)

	took := s.Clock.Since(start)
	s.Metrics.observe(request.NamespacedName, outcome, Classify(err), took)
	logger.V(1).Info("Reconciliation completed", "duration", took.String())

	return result(outcome, err)
}

// result turns what came out of a pass into what the queue understands.
func result(outcome Outcome, err error) (ctrl.Result, error) {
	switch Classify(err) {
	case ClassConflict:
		return ctrl.Result{RequeueAfter: wait.Jitter(conflictDelay, 1)}, nil
	case ClassRetryable:
		return ctrl.Result{}, err
	case ClassPermanent:
		return ctrl.Result{}, ctrlreconcile.TerminalError(err)
	case ClassNone:
	}

	if outcome.After <= 0 {
		return ctrl.Result{}, nil
	}

	return ctrl.Result{RequeueAfter: wait.Jitter(outcome.After, jitter)}, nil
}
