package ecommerce

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	v1 "github.com/caretaker-dev/caretaker/api/platform/v1"
	"github.com/caretaker-dev/caretaker/internal/application"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/ecommerce/decide"
	"github.com/caretaker-dev/caretaker/internal/reconcile"
)

// kind in lower case, for logs, metrics and the controller's name.
const kind = "ecommerceplatform"

// Options of the controller.
type Options struct {
	// Clock tells the time.
	Clock clock.PassiveClock
	// Recorder records events.
	Recorder events.EventRecorder
	// Registerer takes the controller's metrics; nil for none.
	Registerer prometheus.Registerer
	// MaxConcurrentReconciles is how many EcommercePlatforms are looked after at once.
	MaxConcurrentReconciles int
}

// Reconciler looks after EcommercePlatforms.
type Reconciler struct {
	client  client.Client
	live    client.Reader
	options Options
	shell   *reconcile.Shell[*v1.EcommercePlatform]
}

// New makes a Reconciler. The client may read from a cache; live reads from the API server.
func New(c client.Client, live client.Reader, options Options) (*Reconciler, error) {
	metrics, err := reconcile.NewMetrics(options.Registerer, kind)
	if err != nil {
		return nil, fmt.Errorf("ecommerceplatform controller: %w", err)
	}

	r := &Reconciler{client: c, live: live, options: options}
	r.shell = &reconcile.Shell[*v1.EcommercePlatform]{
		Kind: kind, New: func() *v1.EcommercePlatform { return &v1.EcommercePlatform{} }, Client: c, Clock: options.Clock, Metrics: metrics, Pass: r.pass,
	}

	return r, nil
}

// SetupWithManager adds the controller to a manager.
func SetupWithManager(mgr ctrl.Manager, options Options) error {
	r, err := New(mgr.GetClient(), mgr.GetAPIReader(), options)
	if err != nil {
		return err
	}

	err = ctrl.NewControllerManagedBy(mgr).
		Named(kind).
		For(&v1.EcommercePlatform{}).
		Watches(&v1.AppStack{}, handler.EnqueueRequestsFromMapFunc(byName)).
		WithOptions(controller.Options{MaxConcurrentReconciles: options.MaxConcurrentReconciles, RateLimiter: reconcile.NewRateLimiter()}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the ecommerceplatform controller: %w", err)
	}

	return nil
}

// byName: the AppStack has its platform's name. One of that name that is not a platform's may be in a platform's way.
func byName(_ context.Context, object client.Object) []ctrl.Request {
	return []ctrl.Request{{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}}}
}

// Reconcile makes one pass over an EcommercePlatform.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	return r.shell.Reconcile(ctx, request)
}

// pass observes, decides, acts and reports.
func (r *Reconciler) pass(ctx context.Context, platform *v1.EcommercePlatform) (reconcile.Outcome, error) {
	if platform.DeletionTimestamp != nil && !application.HasFinalizer(platform) {
		return reconcile.Outcome{}, nil
	}

	view, err := r.observe(ctx, platform)
	if err != nil {
		return reconcile.Outcome{}, fmt.Errorf("observe: %w", err)
	}

	plan := decide.Decide(view)
	done, failure := r.act(ctx, view, plan)
	written := r.report(ctx, view, plan, done, failure)

	if failure == nil && plan.Release {
		failure = application.RemoveFinalizer(ctx, r.client, r.live, view.Platform)
	}

	if err := errors.Join(failure, written); err != nil && !application.IsUsersToSolve(err) {
		return reconcile.Outcome{}, err
	}

	outcome := reconcile.Outcome{
		Waiting: plan.Outcome.Kind == conditions.Waiting,
		Stalled: plan.Outcome.Kind == conditions.Stalled || failure != nil,
		After:   plan.After,
	}

	if failure != nil {
		outcome.After = application.PollUsers
	}

	return outcome, nil
}

// observe takes one snapshot. It writes nothing.
func (r *Reconciler) observe(ctx context.Context, platform *v1.EcommercePlatform) (decide.View, error) {
	view := decide.View{Now: r.options.Clock.Now(), Platform: platform.DeepCopy()}

	stack := &v1.AppStack{}

	found, err := application.Get(ctx, r.client, platform.Namespace, platform.Name, stack)
	if found {
		view.Stack = stack
	}

	return view, err
}

// act makes the changes. The finalizer comes before the first of them: the AppStack's end is waited for, or it is not made.
func (r *Reconciler) act(ctx context.Context, view decide.View, plan decide.Plan) ([]owned.Change, error) {
	if view.Platform.DeletionTimestamp == nil && len(plan.Changes) > 0 {
		if err := application.EnsureFinalizer(ctx, r.client, view.Platform); err != nil {
			return nil, err
		}
	}

	return application.Writer{Client: r.client, Live: r.live}.Do(ctx, decide.Owner(view.Platform), plan.Changes)
}
