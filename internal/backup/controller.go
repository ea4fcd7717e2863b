package backup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/backup/decide"
	"github.com/caretaker-dev/caretaker/internal/backup/proof"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/instanceclient"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/reconcile"
)

// kind in lower case, for logs, metrics and the controller's name.
const kind = "backup"

// concurrency is how many Backups are looked after at once.
const concurrency = 4

// Instances talks to PID 1 of database pods.
type Instances interface {
	// Status asks an instance for its Status.
	Status(ctx context.Context, target instanceclient.Target) (instanceapi.Status, error)
	// Archive orders a task; it does not wait for it. It fails with a *RefusedError while another runs.
	Archive(ctx context.Context, target instanceclient.Target, request instanceapi.ArchiveRequest) error
}

// Options of the controller.
type Options struct {
	// Clock tells the time.
	Clock clock.PassiveClock
	// Instances reaches the database pods.
	Instances Instances
	// Recorder records events.
	Recorder events.EventRecorder
	// Registerer takes the controller's metrics; nil for none.
	Registerer prometheus.Registerer
}

// Reconciler looks after Backups.
type Reconciler struct {
	client  client.Client
	options Options
	shell   *reconcile.Shell[*v1.Backup]

	mu sync.Mutex
	// silent is since when a pod has not answered.
	silent map[types.UID]time.Time
}

// New makes a Reconciler.
func New(c client.Client, options Options) (*Reconciler, error) {
	metrics, err := reconcile.NewMetrics(options.Registerer, kind)
	if err != nil {
		return nil, fmt.Errorf("backup controller: %w", err)
	}

	r := &Reconciler{client: c, options: options, silent: map[types.UID]time.Time{}}
	r.shell = &reconcile.Shell[*v1.Backup]{
		Kind: kind, New: func() *v1.Backup { return &v1.Backup{} }, Client: c, Clock: options.Clock, Metrics: metrics, Pass: r.pass,
	}

	return r, nil
}

// SetupWithManager adds the controller to a manager.
func SetupWithManager(mgr ctrl.Manager, options Options) error {
	r, err := New(mgr.GetClient(), options)
	if err != nil {
		return err
	}

	// Deletion changes the generation; our own status writes change nothing of these.
	changed := predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{})

	err = ctrl.NewControllerManagedBy(mgr).
		Named(kind).
		For(&v1.Backup{}, builder.WithPredicates(changed)).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(ofDrill)).
		Watches(&v1.Backup{}, handler.EnqueueRequestsFromMapFunc(r.Expiring)).
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrency, RateLimiter: reconcile.NewRateLimiter()}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the backup controller: %w", err)
	}

	return nil
}

// ofDrill: the result of a drill belongs to the Backup that was restored.
func ofDrill(_ context.Context, object client.Object) []ctrl.Request {
	name := object.GetAnnotations()[naming.AnnotationDrillBackup]
	if name == "" {
		return nil
	}

	return []ctrl.Request{{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: name}}}
}

// Expiring are the Backups that a Backup tells the end of.
func (r *Reconciler) Expiring(ctx context.Context, object client.Object) []ctrl.Request {
	by, ok := object.(*v1.Backup)
	if !ok || by.Status.Retention == nil || len(by.Status.Retention.Deleted) == 0 {
		return nil
	}

	list := &v1.BackupList{}
	if err := r.client.List(ctx, list, client.InNamespace(by.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		// The next backup tells again.
		log.FromContext(ctx).Error(err, "Backups whose retention has ended cannot be listed")

		return nil
	}

	var requests []ctrl.Request

	for _, other := range proof.Named(by.Spec.Cluster.Name, list.Items) {
		if decide.IsTold(by, &other) {
			requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&other)})
		}
	}

	return requests
}

// Reconcile makes one pass over a Backup.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	return r.shell.Reconcile(ctx, request)
}

// pass observes, decides, reports and acts. The status goes first here: an instance is ordered only once it is written down
// which one, so that an operator that dies in between neither forgets a backup nor takes it twice.
func (r *Reconciler) pass(ctx context.Context, backup *v1.Backup) (reconcile.Outcome, error) {
	o, err := r.observe(ctx, backup)
	if err != nil {
		return reconcile.Outcome{}, err
	}

	plan := decide.Decide(o.View)

	if err := r.report(ctx, backup, plan); err != nil {
		return reconcile.Outcome{}, err
	}

	if err := r.act(ctx, o, plan.Actions); err != nil {
		return reconcile.Outcome{}, err
	}

	return reconcile.Outcome{
		Waiting: plan.Outcome.Kind == conditions.Waiting, Stalled: plan.Outcome.Kind == conditions.Stalled, After: plan.After,
	}, nil
}

// act does the actions in their order.
func (r *Reconciler) act(ctx context.Context, o observation, actions []decide.Action) error {
	for _, action := range actions {
		if err := r.do(ctx, o, action); err != nil {
			return fmt.Errorf("%s: %w", action, err)
		}

		log.FromContext(ctx).Info("Done", "action", action.String())
	}

	return nil
}

func (r *Reconciler) do(ctx context.Context, o observation, action decide.Action) error {
	switch a := action.(type) {
	case decide.SetFinalizer:
		return r.setFinalizer(ctx, o.Backup, a)
	case decide.Order:
		err := r.options.Instances.Archive(ctx, o.targets[a.Instance], a.Request)

		// It is busy, or not ready any more: the next look will tell.
		if _, ok := errors.AsType[*instanceclient.RefusedError](err); ok {
			return fmt.Errorf("%w: %w", reconcile.ErrStale, err)
		}

		return err
	case decide.CreateSnapshot:
		return r.createSnapshot(ctx, o.Backup, a)
	case decide.AnnotateSnapshot:
		return r.annotateSnapshot(ctx, o.Backup, a)
	case decide.DeleteSnapshot:
		return r.deleteSnapshot(ctx, o.Backup, a)
	default:
		panic(fmt.Sprintf("unknown action %T", action))
	}
}

func (r *Reconciler) setFinalizer(ctx context.Context, backup *v1.Backup, a decide.SetFinalizer) error {
	changed := &v1.Backup{}
	if err := r.client.Get(ctx, client.ObjectKeyFromObject(backup), changed); err != nil {
		return client.IgnoreNotFound(err)
	}

	patch := client.MergeFromWithOptions(changed.DeepCopy(), client.MergeFromWithOptimisticLock{})
	if !setFinalizer(changed, a.Present) {
		return nil
	}

	if err := r.client.Patch(ctx, changed, patch, client.FieldOwner(naming.FieldOwner)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("patch finalizers: %w", err)
	}

	return nil
}
