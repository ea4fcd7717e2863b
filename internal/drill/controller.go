package drill

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	"github.com/caretaker-dev/caretaker/internal/backup/proof"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/drill/decide"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/reconcile"
)

// kind in lower case, for logs, metrics and the controller's name.
const kind = "drill"

// Options of the controller.
type Options struct {
	// OperatorImage holds the program that drills run; OperatorImagePullPolicy of it.
	OperatorImage           string
	OperatorImagePullPolicy corev1.PullPolicy
	// Clock tells the time.
	Clock clock.PassiveClock
	// Recorder records events.
	Recorder events.EventRecorder
	// Registerer takes the controller's metrics; nil for none.
	Registerer prometheus.Registerer
}

// Reconciler starts drills.
type Reconciler struct {
	client  client.Client
	options Options
	shell   *reconcile.Shell[*v1.Cluster]
}

// New makes a Reconciler.
func New(c client.Client, options Options) (*Reconciler, error) {
	metrics, err := reconcile.NewMetrics(options.Registerer, kind)
	if err != nil {
		return nil, fmt.Errorf("drill controller: %w", err)
	}

	r := &Reconciler{client: c, options: options}
	r.shell = &reconcile.Shell[*v1.Cluster]{
		Kind: kind, New: func() *v1.Cluster { return &v1.Cluster{} }, Client: c, Clock: options.Clock, Metrics: metrics, Pass: r.pass,
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
		For(&v1.Cluster{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1.Backup{}, handler.EnqueueRequestsFromMapFunc(byBackup)).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(byPod)).
		WithOptions(controller.Options{RateLimiter: reconcile.NewRateLimiter()}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the drill controller: %w", err)
	}

	return nil
}

func byBackup(_ context.Context, object client.Object) []ctrl.Request {
	backup, ok := object.(*v1.Backup)
	if !ok {
		return nil
	}

	return []ctrl.Request{{NamespacedName: types.NamespacedName{Namespace: backup.Namespace, Name: backup.Spec.Cluster.Name}}}
}

func byPod(_ context.Context, object client.Object) []ctrl.Request {
	name := object.GetLabels()[naming.LabelDrill]
	if name == "" {
		return nil
	}

	return []ctrl.Request{{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: name}}}
}

// Reconcile makes one pass over a Cluster's drills.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	return r.shell.Reconcile(ctx, request)
}

func (r *Reconciler) pass(ctx context.Context, cluster *v1.Cluster) (reconcile.Outcome, error) {
	view := decide.View{
		Now: r.options.Clock.Now(), Cluster: cluster,
		Operator: build.Operator{Image: r.options.OperatorImage, PullPolicy: string(r.options.OperatorImagePullPolicy)},
	}

	backups, pods := &v1.BackupList{}, &corev1.PodList{}
	if err := r.client.List(ctx, backups, client.InNamespace(cluster.Namespace)); err != nil {
		return reconcile.Outcome{}, fmt.Errorf("list backups: %w", err)
	}

	if err := r.client.List(ctx, pods, client.InNamespace(cluster.Namespace), client.MatchingLabels{naming.LabelDrill: cluster.Name}); err != nil {
		return reconcile.Outcome{}, fmt.Errorf("list drills: %w", err)
	}

	view.Backups, view.Pods = proof.Named(cluster.Name, backups.Items), pods.Items
	plan := decide.Decide(view)

	for i := range plan.Delete {
		if err := r.client.Delete(ctx, &plan.Delete[i], client.Preconditions{UID: &plan.Delete[i].UID}); client.IgnoreNotFound(err) != nil {
			return reconcile.Outcome{}, fmt.Errorf("delete the drill %s: %w", plan.Delete[i].Name, err)
		}
	}

	if plan.Create != nil {
		err := r.client.Create(ctx, plan.Create, client.FieldOwner(naming.FieldOwner))
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return reconcile.Outcome{}, fmt.Errorf("start the drill %s: %w", plan.Create.Name, err)
		}

		if err == nil {
			log.FromContext(ctx).Info("Started a drill", "pod", plan.Create.Name)
			r.options.Recorder.Eventf(cluster, nil, corev1.EventTypeNormal, "DrillStarted", "Drill", "%s",
				plan.Create.Name+" restores Backup "+plan.Create.Annotations[naming.AnnotationDrillBackup])
		}
	}

	return reconcile.Outcome{After: plan.After}, nil
}
