package mysql

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	backupv1 "github.com/caretaker-dev/caretaker/api/backup/v1"
	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	"github.com/caretaker-dev/caretaker/internal/application"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/mysqld"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/postgresql/shortform"
	"github.com/caretaker-dev/caretaker/internal/reconcile"
)

// kind in lower case, for logs, metrics and the controller's name.
const kind = "mysql"

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

// Reconciler looks after MySQLs.
type Reconciler struct {
	client  client.Client
	live    client.Reader
	writer  application.Writer
	options Options
	shell   *reconcile.Shell[*databasev1.MySQL]
}

// New makes a Reconciler. The client may read from a cache that holds our objects only; live reads everything, from the
// API server.
func New(c client.Client, live client.Reader, options Options) (*Reconciler, error) {
	metrics, err := reconcile.NewMetrics(options.Registerer, kind)
	if err != nil {
		return nil, fmt.Errorf("mysql controller: %w", err)
	}

	r := &Reconciler{client: c, live: live, writer: application.Writer{Client: c, Live: live}, options: options}
	r.shell = &reconcile.Shell[*databasev1.MySQL]{
		Kind: kind, New: func() *databasev1.MySQL { return &databasev1.MySQL{} }, Client: c, Clock: options.Clock, Metrics: metrics, Pass: r.pass,
	}

	return r, nil
}

// SetupWithManager adds the controller to a manager.
func SetupWithManager(mgr ctrl.Manager, options Options) error {
	r, err := New(mgr.GetClient(), mgr.GetAPIReader(), options)
	if err != nil {
		return err
	}

	b := ctrl.NewControllerManagedBy(mgr).
		Named(kind).
		For(&databasev1.MySQL{}).
		WithOptions(controller.Options{MaxConcurrentReconciles: options.MaxConcurrentReconciles, RateLimiter: reconcile.NewRateLimiter()})

	for _, object := range append(lists(), &corev1.Pod{}, &corev1.PersistentVolumeClaim{}, &backupv1.Backup{}) {
		b = b.Watches(object, reconcile.ByLabel(naming.LabelMySQL))
	}

	if err := b.Complete(r); err != nil {
		return fmt.Errorf("set up the mysql controller: %w", err)
	}

	return nil
}

// lists are the kinds that a MySQL owns, without pods and volumes.
func lists() []client.Object {
	return []client.Object{
		&appsv1.StatefulSet{}, &corev1.Secret{}, &corev1.Service{}, &corev1.ServiceAccount{},
		&rbacv1.Role{}, &rbacv1.RoleBinding{}, &policyv1.PodDisruptionBudget{},
	}
}

// Reconcile makes one pass over a MySQL.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	return r.shell.Reconcile(ctx, request)
}

// pass observes, decides, acts and reports.
func (r *Reconciler) pass(ctx context.Context, object *databasev1.MySQL) (reconcile.Outcome, error) {
	if object.DeletionTimestamp != nil {
		// Nothing outside Kubernetes belongs to it: the garbage collector does the rest.
		return reconcile.Outcome{}, nil
	}

	view, err := r.observe(ctx, object)
	if err != nil {
		return reconcile.Outcome{}, err
	}

	plan := Decide(view)
	done, failure := r.writer.Do(ctx, view.owner(), plan.Changes)

	if failure == nil && plan.Begin != nil {
		failure = r.begin(ctx, view, *plan.Begin)
	}

	dumps, refused := r.writer.Do(ctx, view.owner(), plan.Backup.Changes)
	done = append(done, dumps...)
	status := statusOf(view, plan, failure, refused)

	written := r.report(ctx, view.Object, status)
	if written == nil {
		application.Events(r.options.Recorder, object, object.Status.Conditions, status.Conditions, done)
	}

	if written != nil || toRetry(failure) || toRetry(refused) {
		return reconcile.Outcome{}, errors.Join(failure, refused, written)
	}

	outcome := reconcile.Outcome{
		Waiting: plan.Outcome.Kind == conditions.Waiting,
		Stalled: plan.Outcome.Kind == conditions.Stalled || failure != nil,
		After:   plan.After,
	}
	if failure != nil || refused != nil {
		outcome.After = application.PollUsers
	}

	return outcome, nil
}

func toRetry(failure error) bool { return failure != nil && !application.IsUsersToSolve(failure) }

// begin orders a member to begin the group, after a last look past the cache: all members must be as they were seen.
func (r *Reconciler) begin(ctx context.Context, view View, order Begin) error {
	var target *corev1.Pod

	for name, seen := range view.Pods {
		pod := &corev1.Pod{}

		found, err := application.Get(ctx, r.live, view.Object.Namespace, name, pod)
		if err != nil {
			return fmt.Errorf("begin the group: %w", err)
		}

		if !found || pod.UID != seen.UID || pod.Annotations[mysqld.AnnotationMember] != seen.Annotations[mysqld.AnnotationMember] {
			return fmt.Errorf("begin the group: %w: %s", reconcile.ErrStale, name)
		}

		if name == order.Pod {
			target = pod
		}
	}

	if target == nil {
		return fmt.Errorf("begin the group: %w: %s", reconcile.ErrStale, order.Pod)
	}

	patched := target.DeepCopy()
	if patched.Annotations == nil {
		patched.Annotations = map[string]string{}
	}

	patched.Annotations[mysqld.AnnotationBegin] = order.Run

	patch := client.MergeFromWithOptions(target, client.MergeFromWithOptimisticLock{})
	if err := r.client.Patch(ctx, patched, patch, client.FieldOwner(naming.FieldOwner)); err != nil {
		return fmt.Errorf("begin the group: %w", err)
	}

	r.options.Recorder.Eventf(view.Object, nil, corev1.EventTypeNormal, "GroupBegun", "Reconcile", "%s", order)

	return nil
}

func (r *Reconciler) observe(ctx context.Context, object *databasev1.MySQL) (View, error) {
	view := View{
		Now: r.options.Clock.Now(), Object: object.DeepCopy(), Defaults: r.options.Defaults, NewPassword: rand.Text,
		Pods: map[string]*corev1.Pod{}, Volumes: map[string]*corev1.PersistentVolumeClaim{},
	}

	var err error

	view.Owned, err = application.Owned(ctx, r.client, view.owner(), map[string]client.ObjectList{
		"StatefulSet": &appsv1.StatefulSetList{}, "Secret": &corev1.SecretList{}, "Service": &corev1.ServiceList{},
		"ServiceAccount": &corev1.ServiceAccountList{}, "Role": &rbacv1.RoleList{}, "RoleBinding": &rbacv1.RoleBindingList{},
		"PodDisruptionBudget": &policyv1.PodDisruptionBudgetList{},
	})
	if err != nil {
		return view, fmt.Errorf("observe: %w", err)
	}

	of := []client.ListOption{client.InNamespace(object.Namespace), client.MatchingLabels{naming.LabelMySQL: object.Name}}

	pods := &corev1.PodList{}
	if err := r.client.List(ctx, pods, of...); err != nil {
		return view, fmt.Errorf("observe: list pods: %w", err)
	}

	for i := range pods.Items {
		if _, ok := naming.Ordinal(object.Name, pods.Items[i].Name); ok {
			view.Pods[pods.Items[i].Name] = &pods.Items[i]
		}
	}

	dumps := &backupv1.Backup{}

	found, err := application.Get(ctx, r.client, object.Namespace, object.Name, dumps)
	if err != nil {
		return view, fmt.Errorf("observe: %w", err)
	}

	if found && view.owner().IsOurs(dumps) {
		view.Dumps = dumps
	}

	volumes := &corev1.PersistentVolumeClaimList{}
	if err := r.client.List(ctx, volumes, of...); err != nil {
		return view, fmt.Errorf("observe: list volumes: %w", err)
	}

	for i := range volumes.Items {
		view.Volumes[volumes.Items[i].Name] = &volumes.Items[i]
	}

	return view, nil
}

func (r *Reconciler) report(ctx context.Context, object *databasev1.MySQL, status databasev1.MySQLStatus) error {
	if equality.Semantic.DeepEqual(object.Status, status) {
		return nil
	}

	updated := object.DeepCopy()
	updated.Status = status

	return application.WriteStatus(ctx, r.client, updated)
}

// statusOf is the whole status after a pass: failure is of the database's changes, refused of its Backup's. It is pure.
func statusOf(view View, plan Plan, failure, refused error) databasev1.MySQLStatus {
	status := *plan.Status.DeepCopy()
	status.Conditions = view.Object.Status.DeepCopy().Conditions

	writer := conditions.Writer{Conditions: &status.Conditions, Generation: view.Object.Generation, Now: view.Now}
	writer.Summarize(application.Outcome(plan.Outcome, failure))

	told := plan.Backup.Condition
	if outcome := application.Outcome(conditions.Outcome{}, refused); outcome.Reason != "" {
		told = shortform.BackupCondition{Reason: outcome.Reason, Message: ownFields(outcome.Message)}
	}

	told.Write(writer)
	writer.Copy(databasev1.ConditionBackupVerified, plan.Backup.Verified)

	return status
}
