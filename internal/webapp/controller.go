package webapp

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	v1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	configv1 "github.com/caretaker-dev/caretaker/api/config/v1"
	"github.com/caretaker-dev/caretaker/internal/application"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/reconcile"
	"github.com/caretaker-dev/caretaker/internal/webapp/build"
	"github.com/caretaker-dev/caretaker/internal/webapp/decide"
)

// kind in lower case, for logs, metrics and the controller's name.
const kind = "webapp"

// The fields that WebApps are found by.
const (
	// IndexImage is also a selectable field of the API: kubectl get webapps --field-selector spec.image=….
	IndexImage    = "spec.image"
	indexConfig   = "spec.configRef.name"
	indexDatabase = "spec.database.ref.name"
)

// Options of the controller.
type Options struct {
	// Clock tells the time.
	Clock clock.PassiveClock
	// Recorder records events.
	Recorder events.EventRecorder
	// Registerer takes the controller's metrics; nil for none.
	Registerer prometheus.Registerer
	// MetricsPerObject adds the labels namespace and name: one time series for each WebApp.
	MetricsPerObject bool
	// MaxConcurrentReconciles is how many WebApps are looked after at once.
	MaxConcurrentReconciles int
}

// Reconciler looks after WebApps.
type Reconciler struct {
	client  client.Client
	live    client.Reader
	mapper  meta.RESTMapper
	options Options
	metrics *metrics
	shell   *reconcile.Shell[*v1.WebApp]

	routes reconcile.Optional
}

// New makes a Reconciler. The client may read from a cache that holds our objects only; live reads everything, from the
// API server.
func New(c client.Client, live client.Reader, mapper meta.RESTMapper, options Options) (*Reconciler, error) {
	passes, err := reconcile.NewMetricsWith(options.Registerer, reconcile.MetricsOptions{
		// The names and buckets of the operator that WebApps come from; see docs/reference/metrics.md.
		Prefix: "webapp", PerObject: options.MetricsPerObject, Buckets: []float64{0.1, 0.5, 1.0, 2.5, 5.0, 10.0},
	})
	if err != nil {
		return nil, fmt.Errorf("webapp controller: %w", err)
	}

	own, err := newMetrics(options.Registerer)
	if err != nil {
		return nil, fmt.Errorf("webapp controller: %w", err)
	}

	r := &Reconciler{client: c, live: live, mapper: mapper, options: options, metrics: own}
	r.shell = &reconcile.Shell[*v1.WebApp]{
		Kind: kind, New: func() *v1.WebApp { return &v1.WebApp{} }, Client: c, Clock: options.Clock, Metrics: passes, Pass: r.pass,
	}

	return r, nil
}

// SetupWithManager adds the controller to a manager.
func SetupWithManager(mgr ctrl.Manager, options Options) error {
	r, err := New(mgr.GetClient(), mgr.GetAPIReader(), mgr.GetRESTMapper(), options)
	if err != nil {
		return err
	}

	if err := index(mgr.GetFieldIndexer()); err != nil {
		return err
	}

	b := ctrl.NewControllerManagedBy(mgr).
		Named(kind).
		For(&v1.WebApp{}).
		Watches(&configv1.AppConfig{}, handler.EnqueueRequestsFromMapFunc(r.usersOf(indexConfig, func(object client.Object) string { return object.GetName() }))).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.usersOf(indexDatabase, databaseOf))).
		WithOptions(controller.Options{MaxConcurrentReconciles: options.MaxConcurrentReconciles, RateLimiter: reconcile.NewRateLimiter()})

	for _, object := range watched() {
		b = b.Watches(object, reconcile.ByLabel(naming.LabelWebApp))
	}

	built, err := b.Build(r)
	if err != nil {
		return fmt.Errorf("set up the webapp controller: %w", err)
	}

	r.routes.Init(mgr, built, build.HTTPRouteGVK(), naming.LabelWebApp)

	return nil
}

func index(indexer client.FieldIndexer) error {
	for field, value := range map[string]func(*v1.WebApp) string{
		IndexImage: func(w *v1.WebApp) string { return w.Spec.Image },
		indexConfig: func(w *v1.WebApp) string {
			if w.Spec.ConfigRef == nil {
				return ""
			}

			return w.Spec.ConfigRef.Name
		},
		indexDatabase: func(w *v1.WebApp) string {
			if w.Spec.Database == nil {
				return ""
			}

			return w.Spec.Database.Ref.Name
		},
	} {
		err := indexer.IndexField(context.Background(), &v1.WebApp{}, field, func(object client.Object) []string {
			if w, ok := object.(*v1.WebApp); ok && value(w) != "" {
				return []string{value(w)}
			}

			return nil
		})
		if err != nil {
			return fmt.Errorf("index WebApps by %s: %w", field, err)
		}
	}

	return nil
}

// watched are the kinds that belong to a WebApp.
func watched() []client.Object {
	return []client.Object{
		&appsv1.Deployment{}, &corev1.Service{}, &corev1.Pod{}, &policyv1.PodDisruptionBudget{},
		&autoscalingv2.HorizontalPodAutoscaler{}, &networkingv1.Ingress{}, &networkingv1.NetworkPolicy{},
	}
}

// usersOf finds the WebApps that name an object.
func (r *Reconciler) usersOf(field string, name func(client.Object) string) handler.MapFunc {
	return func(ctx context.Context, object client.Object) []ctrl.Request {
		wanted := name(object)
		if wanted == "" {
			return nil
		}

		list := &v1.WebAppList{}
		if err := r.client.List(ctx, list, client.InNamespace(object.GetNamespace()), client.MatchingFields{field: wanted}); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Cannot find the WebApps that use an object", "object", object.GetName())

			return nil
		}

		requests := make([]ctrl.Request, 0, len(list.Items))
		for i := range list.Items {
			requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}

		return requests
	}
}

// Reconcile makes one pass over a WebApp.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	return r.shell.Reconcile(ctx, request)
}

// pass observes, decides, acts and reports.
func (r *Reconciler) pass(ctx context.Context, webapp *v1.WebApp) (reconcile.Outcome, error) {
	view, err := r.observe(ctx, webapp)
	if err != nil {
		return reconcile.Outcome{}, fmt.Errorf("observe: %w", err)
	}

	plan := decide.Decide(view)
	done, failure := r.act(ctx, webapp, plan)
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

// databaseOf is the database that a connection Secret belongs to.
func databaseOf(object client.Object) string { return build.DatabaseOf(object.GetName()) }
