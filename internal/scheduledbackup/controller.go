package scheduledbackup

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/reconcile"
	"github.com/caretaker-dev/caretaker/internal/scheduledbackup/decide"
)

// kind in lower case, for logs, metrics and the controller's name.
const kind = "scheduledbackup"

// Options of the controller.
type Options struct {
	// Clock tells the time.
	Clock clock.PassiveClock
	// Recorder records events.
	Recorder events.EventRecorder
	// Registerer takes the controller's metrics; nil for none.
	Registerer prometheus.Registerer
}

// Reconciler looks after ScheduledBackups.
type Reconciler struct {
	client  client.Client
	options Options
	shell   *reconcile.Shell[*v1.ScheduledBackup]
}

// New makes a Reconciler.
func New(c client.Client, options Options) (*Reconciler, error) {
	metrics, err := reconcile.NewMetrics(options.Registerer, kind)
	if err != nil {
		return nil, fmt.Errorf("scheduled backup controller: %w", err)
	}

	r := &Reconciler{client: c, options: options}
	r.shell = &reconcile.Shell[*v1.ScheduledBackup]{
		Kind: kind, New: func() *v1.ScheduledBackup { return &v1.ScheduledBackup{} }, Client: c, Clock: options.Clock, Metrics: metrics, Pass: r.pass,
	}

	return r, nil
}

// SetupWithManager adds the controller to a manager.
func SetupWithManager(mgr ctrl.Manager, options Options) error {
	r, err := New(mgr.GetClient(), options)
	if err != nil {
		return err
	}

	err = ctrl.NewControllerManagedBy(mgr).
		Named(kind).
		For(&v1.ScheduledBackup{}).
		Watches(&v1.Backup{}, reconcile.ByLabel(naming.LabelScheduledBackup)).
		WithOptions(controller.Options{RateLimiter: reconcile.NewRateLimiter()}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the scheduled backup controller: %w", err)
	}

	return nil
}

// Reconcile makes one pass over a ScheduledBackup.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	return r.shell.Reconcile(ctx, request)
}

func (r *Reconciler) pass(ctx context.Context, object *v1.ScheduledBackup) (reconcile.Outcome, error) {
	if object.DeletionTimestamp != nil {
		return reconcile.Outcome{}, nil
	}

	view, err := r.observe(ctx, object)
	if err != nil {
		return reconcile.Outcome{}, err
	}

	plan := decide.Decide(view)

	if err := r.create(ctx, object, plan.Create); err != nil {
		return reconcile.Outcome{}, err
	}

	if err := r.report(ctx, object, plan); err != nil {
		return reconcile.Outcome{}, err
	}

	return reconcile.Outcome{
		Waiting: plan.Outcome.Kind == conditions.Waiting, Stalled: plan.Outcome.Kind == conditions.Stalled, After: plan.After,
	}, nil
}

func (r *Reconciler) observe(ctx context.Context, object *v1.ScheduledBackup) (decide.View, error) {
	view := decide.View{Now: r.options.Clock.Now(), Schedule: object}
	cluster := &v1.Cluster{}

	err := r.client.Get(ctx, client.ObjectKey{Namespace: object.Namespace, Name: object.Spec.Cluster.Name}, cluster)

	switch {
	case err == nil:
		view.Cluster = cluster
	case !apierrors.IsNotFound(err):
		return view, fmt.Errorf("get the cluster: %w", err)
	}

	list := &v1.BackupList{}
	if err := r.client.List(ctx, list, client.InNamespace(object.Namespace), client.MatchingLabels(decide.Labels(object))); err != nil {
		return view, fmt.Errorf("list backups: %w", err)
	}

	view.Backups = list.Items

	return view, nil
}

// create makes a Backup. One of that name is this very one: made by a pass that died before it could say so.
func (r *Reconciler) create(ctx context.Context, object *v1.ScheduledBackup, backup *v1.Backup) error {
	if backup == nil {
		return nil
	}

	err := r.client.Create(ctx, backup.DeepCopy(), client.FieldOwner(naming.FieldOwner))

	switch {
	case apierrors.IsAlreadyExists(err):
		return nil
	case err != nil:
		return fmt.Errorf("create Backup %s: %w", backup.Name, err)
	}

	r.options.Recorder.Eventf(object, nil, corev1.EventTypeNormal, "BackupCreated", "Backup", "%s", "Backup "+backup.Name+" was made")

	return nil
}

func (r *Reconciler) report(ctx context.Context, object *v1.ScheduledBackup, plan decide.Plan) error {
	updated := object.DeepCopy()
	updated.Status = *plan.Status.DeepCopy()
	updated.Status.Conditions = object.Status.DeepCopy().Conditions

	writer := conditions.Writer{Conditions: &updated.Status.Conditions, Generation: object.Generation, Now: r.options.Clock.Now()}
	writer.Summarize(plan.Outcome)

	if equality.Semantic.DeepEqual(object.Status, updated.Status) {
		return nil
	}

	if err := r.client.Status().Update(ctx, updated, client.FieldOwner(naming.FieldOwner)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("write status: %w", err)
	}

	return nil
}
