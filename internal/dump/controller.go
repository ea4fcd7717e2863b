package dump

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"

	v1 "github.com/caretaker-dev/caretaker/api/backup/v1"
	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/application"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/dump/build"
	"github.com/caretaker-dev/caretaker/internal/dump/decide"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/reconcile"
)

// kind in lower case, for logs, metrics and the controller's name.
const kind = "dump"

// Options of the controller.
type Options struct {
	// Defaults are the operator's configuration.
	Defaults decide.Defaults
	// Clock tells the time.
	Clock clock.PassiveClock
	// Recorder records events.
	Recorder events.EventRecorder
	// Registerer takes the controller's metrics; nil for none.
	Registerer prometheus.Registerer
	// MaxConcurrentReconciles is how many objects are looked after at once.
	MaxConcurrentReconciles int
}

// Reconciler looks after Backups.
type Reconciler struct {
	client  client.Client
	live    client.Reader
	writer  application.Writer
	options Options
	shell   *reconcile.Shell[*v1.Backup]
}

// New makes a Reconciler. The client may read from a cache that holds our objects only; live reads everything, from the
// API server.
func New(c client.Client, live client.Reader, options Options) (*Reconciler, error) {
	metrics, err := reconcile.NewMetrics(options.Registerer, kind)
	if err != nil {
		return nil, fmt.Errorf("dump controller: %w", err)
	}

	r := &Reconciler{client: c, live: live, writer: application.Writer{Client: c, Live: live}, options: options}
	r.shell = &reconcile.Shell[*v1.Backup]{
		Kind: kind, New: func() *v1.Backup { return &v1.Backup{} }, Client: c, Clock: options.Clock, Metrics: metrics, Pass: r.pass,
	}

	return r, nil
}

// SetupWithManager adds the controller to a manager.
func SetupWithManager(mgr ctrl.Manager, options Options) error {
	r, err := New(mgr.GetClient(), mgr.GetAPIReader(), options)
	if err != nil {
		return err
	}

	if _, err := reconcile.Register[prometheus.Collector](options.Registerer, collector{mgr.GetClient()}); err != nil {
		return fmt.Errorf("dump controller: %w", err)
	}

	ours, bySource := reconcile.ByLabel(naming.LabelDump), handler.EnqueueRequestsFromMapFunc(r.bySource)

	err = ctrl.NewControllerManagedBy(mgr).
		Named(kind).
		For(&v1.Backup{}).
		Watches(&batchv1.CronJob{}, ours).
		Watches(&batchv1.Job{}, ours).
		Watches(&corev1.Pod{}, ours).
		Watches(&postgresqlv1.Cluster{}, bySource).
		Watches(&databasev1.MySQL{}, bySource).
		WithOptions(controller.Options{MaxConcurrentReconciles: options.MaxConcurrentReconciles, RateLimiter: reconcile.NewRateLimiter()}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the dump controller: %w", err)
	}

	return nil
}

// bySource are the Backups of a Cluster or a MySQL.
func (r *Reconciler) bySource(ctx context.Context, object client.Object) []ctrl.Request {
	list := &v1.BackupList{}
	if err := r.client.List(ctx, list, client.InNamespace(object.GetNamespace())); err != nil {
		log.FromContext(ctx).Error(err, "List the Backups of a database", "database", object.GetName())

		return nil
	}

	source := v1.SourcePostgreSQL
	if _, ok := object.(*databasev1.MySQL); ok {
		source = v1.SourceMySQL
	}

	var requests []ctrl.Request

	for _, backup := range list.Items {
		given := backup.Spec.Source
		if given.Type == source && given.Connection.ClusterRef != nil && given.Connection.ClusterRef.Name == object.GetName() {
			requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&backup)})
		}
	}

	return requests
}

// Reconcile makes one pass over a Backup.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	return r.shell.Reconcile(ctx, request)
}

// pass observes, decides, acts and reports.
func (r *Reconciler) pass(ctx context.Context, backup *v1.Backup) (reconcile.Outcome, error) {
	if backup.DeletionTimestamp != nil {
		// The garbage collector takes the Jobs; the dumps stay in the store.
		return reconcile.Outcome{}, nil
	}

	view, err := r.observe(ctx, backup)
	if err != nil {
		return reconcile.Outcome{}, err
	}

	plan := decide.Decide(view)
	done, failure := r.writer.Do(ctx, build.Owner(backup), plan.Changes)

	status := *plan.Status.DeepCopy()
	status.Conditions = backup.Status.DeepCopy().Conditions
	writer := conditions.Writer{Conditions: &status.Conditions, Generation: backup.Generation, Now: view.Now}
	writer.Summarize(application.Outcome(plan.Outcome, failure))

	if v := plan.Verified; v != nil {
		writer.Set(v1.ConditionVerified, v.Status, v.Reason, v.Message)
	} else {
		writer.Remove(v1.ConditionVerified)
	}

	written := r.report(ctx, backup, status)
	if written == nil {
		application.Events(r.options.Recorder, backup, backup.Status.Conditions, status.Conditions, done)
		r.tell(backup, status)
	}

	if err := errors.Join(failure, written); err != nil && !application.IsUsersToSolve(err) {
		return reconcile.Outcome{}, err
	}

	return reconcile.Outcome{
		Waiting: plan.Outcome.Kind == conditions.Waiting, Stalled: plan.Outcome.Kind == conditions.Stalled || failure != nil, After: plan.After,
	}, nil
}

func (r *Reconciler) observe(ctx context.Context, backup *v1.Backup) (decide.View, error) {
	view := decide.View{Now: r.options.Clock.Now(), Backup: backup.DeepCopy(), Defaults: r.options.Defaults, Secrets: map[string][]string{}}
	owner := build.Owner(backup)

	var err error
	if view.CronJobs, err = application.Owned(ctx, r.client, owner, map[string]client.ObjectList{"CronJob": &batchv1.CronJobList{}}); err != nil {
		return view, fmt.Errorf("observe: %w", err)
	}

	jobs, pods := &batchv1.JobList{}, &corev1.PodList{}
	for _, list := range []client.ObjectList{jobs, pods} {
		if err := r.client.List(ctx, list, client.InNamespace(backup.Namespace), client.MatchingLabels(owner.SelectorLabels())); err != nil {
			return view, fmt.Errorf("observe: list %T: %w", list, err)
		}
	}

	view.Jobs, view.Pods = jobs.Items, pods.Items

	for _, name := range []string{build.SourceSecret(backup), backup.Spec.Destination.SecretName} {
		if name == "" {
			continue // a volume, or the pods' own identity
		}

		secret := &corev1.Secret{}

		exists, err := application.Get(ctx, r.live, backup.Namespace, name, secret)
		if err != nil {
			return view, fmt.Errorf("observe: %w", err)
		}

		if exists {
			view.Secrets[name] = slices.Collect(maps.Keys(secret.Data))
		}
	}

	return view, r.observeSource(ctx, &view)
}

func (r *Reconciler) observeSource(ctx context.Context, view *decide.View) error {
	given := view.Backup.Spec.Source
	if given.Connection.ClusterRef == nil {
		return nil
	}

	namespace, name := view.Backup.Namespace, given.Connection.ClusterRef.Name

	if given.Type == v1.SourceMySQL {
		object := &databasev1.MySQL{}

		exists, err := application.Get(ctx, r.client, namespace, name, object)
		if exists {
			view.MySQL = object
		}

		return err
	}

	object := &postgresqlv1.Cluster{}

	exists, err := application.Get(ctx, r.client, namespace, name, object)
	if exists {
		view.Cluster = object
	}

	return err
}

func (r *Reconciler) report(ctx context.Context, backup *v1.Backup, status v1.BackupStatus) error {
	if equality.Semantic.DeepEqual(backup.Status, status) {
		return nil
	}

	updated := backup.DeepCopy()
	updated.Status = status

	return application.WriteStatus(ctx, r.client, updated)
}

// tell of dumps that ended since the last pass.
func (r *Reconciler) tell(backup *v1.Backup, now v1.BackupStatus) {
	before := backup.Status

	if last := now.LastDump; last != nil && (before.LastDump == nil || before.LastDump.ID != last.ID) {
		r.options.Recorder.Eventf(backup, nil, corev1.EventTypeNormal, "DumpCompleted", "Dump", "Dump %s has %s, after %s", last.ID, last.Size, last.Duration)

		if last.Warning != "" {
			r.options.Recorder.Eventf(backup, nil, corev1.EventTypeWarning, "DumpWarning", "Dump", "Dump %s: %s", last.ID, last.Warning)
		}
	}

	if test := now.LastVerification; test != nil && (before.LastVerification == nil || before.LastVerification.DumpID != test.DumpID) {
		eventType, reason := corev1.EventTypeNormal, v1.ReasonVerified
		if test.Result == v1.VerificationFailed {
			eventType, reason = corev1.EventTypeWarning, v1.ReasonVerificationFailed
		}

		r.options.Recorder.Eventf(backup, nil, eventType, reason, "Verify", "Dump %s, after %s: %s", test.DumpID, test.Duration, test.Message)
	}

	if failed := now.LastFailure; failed != nil && (before.LastFailure == nil || *before.LastFailure != *failed) {
		r.options.Recorder.Eventf(backup, nil, corev1.EventTypeWarning, v1.ReasonDumpFailed, "Dump", "Job %s failed: %s", failed.Job, failed.Message)
	}
}
