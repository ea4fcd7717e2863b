package appstack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	caretakerappsv1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	configv1 "github.com/caretaker-dev/caretaker/api/config/v1"
	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	v1 "github.com/caretaker-dev/caretaker/api/platform/v1"
	"github.com/caretaker-dev/caretaker/internal/application"
	"github.com/caretaker-dev/caretaker/internal/appstack/build"
	"github.com/caretaker-dev/caretaker/internal/appstack/decide"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/reconcile"
)

// kind in lower case, for logs, metrics and the controller's name.
const kind = "appstack"

// Options of the controller.
type Options struct {
	// CacheImage for caches that name none.
	CacheImage string
	// NewPassword gives a password that nobody can guess; rand.Text if nil.
	NewPassword func() string
	// Clock tells the time.
	Clock clock.PassiveClock
	// Recorder records events.
	Recorder events.EventRecorder
	// Registerer takes the controller's metrics; nil for none.
	Registerer prometheus.Registerer
	// MaxConcurrentReconciles is how many AppStacks are looked after at once.
	MaxConcurrentReconciles int
}

// Reconciler looks after AppStacks.
type Reconciler struct {
	client  client.Client
	live    client.Reader
	mapper  meta.RESTMapper
	options Options
	shell   *reconcile.Shell[*v1.AppStack]

	podMonitors reconcile.Optional
}

// New makes a Reconciler. The client may read from a cache that holds our objects only; live reads everything, from the
// API server.
func New(c client.Client, live client.Reader, mapper meta.RESTMapper, options Options) (*Reconciler, error) {
	metrics, err := reconcile.NewMetrics(options.Registerer, kind)
	if err != nil {
		return nil, fmt.Errorf("appstack controller: %w", err)
	}

	if options.NewPassword == nil {
		// 26 letters and digits, 130 bits.
		options.NewPassword = rand.Text
	}

	r := &Reconciler{client: c, live: live, mapper: mapper, options: options}
	r.shell = &reconcile.Shell[*v1.AppStack]{
		Kind: kind, New: func() *v1.AppStack { return &v1.AppStack{} }, Client: c, Clock: options.Clock, Metrics: metrics, Pass: r.pass,
	}

	return r, nil
}

// SetupWithManager adds the controller to a manager.
func SetupWithManager(mgr ctrl.Manager, options Options) error {
	r, err := New(mgr.GetClient(), mgr.GetAPIReader(), mgr.GetRESTMapper(), options)
	if err != nil {
		return err
	}

	b := ctrl.NewControllerManagedBy(mgr).
		Named(kind).
		For(&v1.AppStack{}).
		WithOptions(controller.Options{MaxConcurrentReconciles: options.MaxConcurrentReconciles, RateLimiter: reconcile.NewRateLimiter()})

	for _, object := range watched() {
		b = b.Watches(object, reconcile.ByLabel(naming.LabelAppStack))
	}

	built, err := b.Build(r)
	if err != nil {
		return fmt.Errorf("set up the appstack controller: %w", err)
	}

	r.podMonitors.Init(mgr, built, build.PodMonitorGVK(), naming.LabelAppStack)

	return nil
}

// watched are the kinds that belong to an AppStack.
func watched() []client.Object {
	return []client.Object{
		&databasev1.PostgreSQL{}, &databasev1.MySQL{}, &configv1.AppConfig{}, &caretakerappsv1.WebApp{},
		&appsv1.StatefulSet{}, &corev1.Service{}, &corev1.Secret{}, &policyv1.PodDisruptionBudget{},
		&networkingv1.Ingress{}, &networkingv1.NetworkPolicy{},
	}
}

// Reconcile makes one pass over an AppStack.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	return r.shell.Reconcile(ctx, request)
}

// pass observes, decides, acts and reports.
func (r *Reconciler) pass(ctx context.Context, stack *v1.AppStack) (reconcile.Outcome, error) {
	if stack.DeletionTimestamp != nil && !application.HasFinalizer(stack) {
		return reconcile.Outcome{}, nil
	}

	view, err := r.observe(ctx, stack)
	if err != nil {
		return reconcile.Outcome{}, fmt.Errorf("observe: %w", err)
	}

	plan := decide.Decide(view)
	done, failure := r.act(ctx, view, plan)
	written := r.report(ctx, view, plan, done, failure)

	if failure == nil && plan.Release {
		failure = application.RemoveFinalizer(ctx, r.client, r.live, view.Stack)
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
