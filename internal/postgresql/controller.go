package postgresql

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/application"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/reconcile"
)

// kind in lower case, for logs, metrics and the controller's name.
const kind = "postgresql"

// Options of the controller.
type Options struct {
	// Defaults are the operator's configuration.
	Defaults Defaults
	// Clock tells the time.
	Clock clock.PassiveClock
	// Recorder records events.
	Recorder events.EventRecorder
	// Registerer takes the controller's metrics; nil for none.
	Registerer prometheus.Registerer
	// MaxConcurrentReconciles is how many objects are looked after at once.
	MaxConcurrentReconciles int
}

// Reconciler looks after PostgreSQLs.
type Reconciler struct {
	client  client.Client
	writer  application.Writer
	options Options
	shell   *reconcile.Shell[*databasev1.PostgreSQL]
}

// New makes a Reconciler. The client may read from a cache; live reads from the API server.
func New(c client.Client, live client.Reader, options Options) (*Reconciler, error) {
	metrics, err := reconcile.NewMetrics(options.Registerer, kind)
	if err != nil {
		return nil, fmt.Errorf("postgresql controller: %w", err)
	}

	r := &Reconciler{client: c, writer: application.Writer{Client: c, Live: live}, options: options}
	r.shell = &reconcile.Shell[*databasev1.PostgreSQL]{
		Kind: kind, New: func() *databasev1.PostgreSQL { return &databasev1.PostgreSQL{} },
		Client: c, Clock: options.Clock, Metrics: metrics, Pass: r.pass,
	}

	return r, nil
}

// SetupWithManager adds the controller to a manager.
func SetupWithManager(mgr ctrl.Manager, options Options) error {
	r, err := New(mgr.GetClient(), mgr.GetAPIReader(), options)
	if err != nil {
		return err
	}

	// By name, not by owner: one that is in the way has another owner.
	err = ctrl.NewControllerManagedBy(mgr).
		Named(kind).
		For(&databasev1.PostgreSQL{}).
		Watches(&postgresqlv1.Cluster{}, handler.EnqueueRequestsFromMapFunc(byName)).
		Watches(&postgresqlv1.ScheduledBackup{}, handler.EnqueueRequestsFromMapFunc(byName)).
		WithOptions(controller.Options{MaxConcurrentReconciles: options.MaxConcurrentReconciles, RateLimiter: reconcile.NewRateLimiter()}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the postgresql controller: %w", err)
	}

	return nil
}

func byName(_ context.Context, object client.Object) []ctrl.Request {
	return []ctrl.Request{{NamespacedName: client.ObjectKeyFromObject(object)}}
}

// Reconcile makes one pass over a PostgreSQL.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	return r.shell.Reconcile(ctx, request)
}

// pass observes, decides, acts and reports.
func (r *Reconciler) pass(ctx context.Context, object *databasev1.PostgreSQL) (reconcile.Outcome, error) {
	if object.DeletionTimestamp != nil {
		// Nothing outside Kubernetes belongs to it: the garbage collector does the rest.
		return reconcile.Outcome{}, nil
	}

	view := View{Now: r.options.Clock.Now(), Object: object.DeepCopy(), Defaults: r.options.Defaults}

	if err := r.observe(ctx, &view); err != nil {
		return reconcile.Outcome{}, err
	}

	plan := Decide(view)
	done, failure := r.writer.Do(ctx, view.owner(), plan.Changes)
	status := statusOf(view, plan, failure)

	written := r.report(ctx, view.Object, status)
	if written == nil {
		application.Events(r.options.Recorder, object, object.Status.Conditions, status.Conditions, done)
	}

	if err := errors.Join(failure, written); err != nil && !application.IsUsersToSolve(err) {
		return reconcile.Outcome{}, err
	}

	return reconcile.Outcome{
		Waiting: plan.Outcome.Kind == conditions.Waiting,
		Stalled: plan.Outcome.Kind == conditions.Stalled || failure != nil,
	}, nil
}

func (r *Reconciler) observe(ctx context.Context, view *View) error {
	cluster := &postgresqlv1.Cluster{}

	found, err := application.Get(ctx, r.client, view.Object.Namespace, view.Object.Name, cluster)
	if err != nil {
		return fmt.Errorf("observe: %w", err)
	}

	if found {
		view.Cluster = cluster
	}

	return r.observeScheduledBackup(ctx, view)
}

// observeScheduledBackup looks at the API server only for those that ask for backups, or did.
func (r *Reconciler) observeScheduledBackup(ctx context.Context, view *View) error {
	wanted := view.Object.Spec.Backup != nil && view.Object.Spec.Backup.Enabled
	if !wanted && view.Object.Status.ScheduledBackup == "" {
		return nil
	}

	gvk := scheduledBackupGVK()

	if _, err := r.client.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version); err != nil {
		if meta.IsNoMatchError(err) {
			return nil
		}

		return fmt.Errorf("look for the kind %s: %w", gvk.Kind, err)
	}

	view.ScheduledBackups = true

	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(gvk)

	found, err := application.Get(ctx, r.writer.Live, view.Object.Namespace, view.Object.Name, live)
	if err != nil {
		return fmt.Errorf("observe: %w", err)
	}

	if found && view.owner().IsOurs(live) {
		view.ScheduledBackup = live
	}

	return nil
}

func (r *Reconciler) report(ctx context.Context, object *databasev1.PostgreSQL, status databasev1.PostgreSQLStatus) error {
	if equality.Semantic.DeepEqual(object.Status, status) {
		return nil
	}

	updated := object.DeepCopy()
	updated.Status = status

	return application.WriteStatus(ctx, r.client, updated)
}

// statusOf is the whole status after a pass. It is pure.
func statusOf(view View, plan Plan, failure error) databasev1.PostgreSQLStatus {
	status := *plan.Status.DeepCopy()
	status.Conditions = view.Object.Status.DeepCopy().Conditions

	writer := conditions.Writer{Conditions: &status.Conditions, Generation: view.Object.Generation, Now: view.Now}
	writer.Summarize(application.Outcome(plan.Outcome, failure))
	plan.Backup.Write(writer)

	return status
}
