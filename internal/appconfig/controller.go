package appconfig

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	v1 "github.com/caretaker-dev/caretaker/api/config/v1"
	"github.com/caretaker-dev/caretaker/internal/appconfig/decide"
	"github.com/caretaker-dev/caretaker/internal/application"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/reconcile"
)

// kind in lower case, for logs, metrics and the controller's name.
const kind = "appconfig"

// Options of the controller.
type Options struct {
	// Clock tells the time.
	Clock clock.PassiveClock
	// Recorder records events.
	Recorder events.EventRecorder
	// Registerer takes the controller's metrics; nil for none.
	Registerer prometheus.Registerer
	// MaxConcurrentReconciles is how many AppConfigs are looked after at once.
	MaxConcurrentReconciles int
}

// Reconciler looks after AppConfigs.
type Reconciler struct {
	client  client.Client
	live    client.Reader
	options Options
	applied prometheus.Counter
	shell   *reconcile.Shell[*v1.AppConfig]
}

// New makes a Reconciler. The client may read from a cache that holds our objects only; live reads everything, from the
// API server.
func New(c client.Client, live client.Reader, options Options) (*Reconciler, error) {
	metrics, err := reconcile.NewMetrics(options.Registerer, kind)
	if err != nil {
		return nil, fmt.Errorf("appconfig controller: %w", err)
	}

	applied, err := reconcile.Register(options.Registerer, prometheus.NewCounter(prometheus.CounterOpts{
		Name: "caretaker_configuration_changes_applied_total",
		Help: "Versions of configurations that were put in use.",
	}))
	if err != nil {
		return nil, fmt.Errorf("appconfig controller: %w", err)
	}

	r := &Reconciler{client: c, live: live, options: options, applied: applied}
	r.shell = &reconcile.Shell[*v1.AppConfig]{
		Kind: kind, New: func() *v1.AppConfig { return &v1.AppConfig{} }, Client: c, Clock: options.Clock, Metrics: metrics, Pass: r.pass,
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
		For(&v1.AppConfig{}).
		Watches(&corev1.ConfigMap{}, reconcile.ByLabel(naming.LabelAppConfig)).
		Watches(&corev1.Secret{}, reconcile.ByLabel(naming.LabelAppConfig)).
		WithOptions(controller.Options{MaxConcurrentReconciles: options.MaxConcurrentReconciles, RateLimiter: reconcile.NewRateLimiter()}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the appconfig controller: %w", err)
	}

	return nil
}

// Reconcile makes one pass over an AppConfig.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	return r.shell.Reconcile(ctx, request)
}

// pass observes, decides, acts and reports.
func (r *Reconciler) pass(ctx context.Context, config *v1.AppConfig) (reconcile.Outcome, error) {
	view, err := r.observe(ctx, config)
	if err != nil {
		return reconcile.Outcome{}, fmt.Errorf("observe: %w", err)
	}

	plan := decide.Decide(view)
	done, failure := r.act(ctx, config, plan)
	written := r.report(ctx, view, plan, done, failure)

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
