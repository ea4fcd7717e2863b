package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
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
	"github.com/caretaker-dev/caretaker/internal/apply"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/cluster/decide"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/instanceclient"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/reconcile"
)

// kind in lower case, for logs, metrics and the controller's name.
const kind = "cluster"

// defaultConcurrency is how many Clusters are looked after at once: a pass may wait for silent instances.
const defaultConcurrency = 4

// Instances talks to PID 1 of database pods. Every call is short; the errors are those of package instanceclient.
type Instances interface {
	// Status asks an instance for its Status.
	Status(ctx context.Context, target instanceclient.Target) (instanceapi.Status, error)
	// PutConfig gives an instance its encoded configuration.
	PutConfig(ctx context.Context, target instanceclient.Target, encoded []byte) error
	// Restart asks for an orderly restart of PostgreSQL; it does not wait for it.
	Restart(ctx context.Context, target instanceclient.Target, request instanceapi.RestartRequest) error
	// Switchover asks the primary to hand over; it does not wait for it.
	Switchover(ctx context.Context, target instanceclient.Target, request instanceapi.SwitchoverRequest) error
}

// Options of the controller.
type Options struct {
	// DefaultImage of PostgreSQL for Clusters that name none.
	DefaultImage string
	// OperatorImage holds PID 1's binary.
	OperatorImage string
	// OperatorImagePullPolicy of it; empty for Kubernetes' default.
	OperatorImagePullPolicy corev1.PullPolicy
	// Clock tells the time.
	Clock clock.PassiveClock
	// Instances reaches the database pods.
	Instances Instances
	// Recorder records events.
	Recorder events.EventRecorder
	// Registerer takes the controller's metrics; nil for none.
	Registerer prometheus.Registerer
	// MaxConcurrentReconciles is how many Clusters are looked after at once; 0 for the default.
	MaxConcurrentReconciles int
}

// Reconciler looks after Clusters.
type Reconciler struct {
	client  client.Client
	live    client.Reader
	mapper  meta.RESTMapper
	options Options
	silence *silence
	shell   *reconcile.Shell[*v1.Cluster]

	podMonitors reconcile.Optional
}

// New makes a Reconciler. The client may read from a cache that holds our objects only; live reads everything, from the
// API server.
func New(c client.Client, live client.Reader, mapper meta.RESTMapper, options Options) (*Reconciler, error) {
	metrics, err := reconcile.NewMetrics(options.Registerer, kind)
	if err != nil {
		return nil, fmt.Errorf("cluster controller: %w", err)
	}

	r := &Reconciler{client: c, live: live, mapper: mapper, options: options, silence: newSilence()}
	r.shell = &reconcile.Shell[*v1.Cluster]{
		Kind: kind, New: func() *v1.Cluster { return &v1.Cluster{} }, Client: c, Clock: options.Clock, Metrics: metrics, Pass: r.pass,
	}

	return r, nil
}

// SetupWithManager adds the controller to a manager.
func SetupWithManager(mgr ctrl.Manager, options Options) error {
	r, err := New(mgr.GetClient(), mgr.GetAPIReader(), mgr.GetRESTMapper(), options)
	if err != nil {
		return err
	}

	if _, err := reconcile.Register[prometheus.Collector](options.Registerer, backupCollector{mgr.GetClient()}); err != nil {
		return fmt.Errorf("cluster controller: %w", err)
	}

	concurrency := options.MaxConcurrentReconciles
	if concurrency == 0 {
		concurrency = defaultConcurrency
	}

	// Our own status writes change neither of these: they do not bring us back.
	changed := predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}, predicate.LabelChangedPredicate{})

	b := ctrl.NewControllerManagedBy(mgr).
		Named(kind).
		For(&v1.Cluster{}, builder.WithPredicates(changed)).
		Watches(&v1.ClusterTerm{}, handler.EnqueueRequestsFromMapFunc(byName)).
		Watches(&v1.Backup{}, handler.EnqueueRequestsFromMapFunc(byBackup)).
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrency, RateLimiter: reconcile.NewRateLimiter()})

	for _, object := range watched() {
		b = b.Watches(object, reconcile.ByLabel(naming.LabelCluster))
	}

	built, err := b.Build(r)
	if err != nil {
		return fmt.Errorf("set up the cluster controller: %w", err)
	}

	r.podMonitors.Init(mgr, built, build.PodMonitorGVK(), naming.LabelCluster)

	return nil
}

// watched are the kinds that belong to a Cluster, found by label: volumes have no owner reference under Retain.
func watched() []client.Object {
	return []client.Object{
		&corev1.Pod{}, &corev1.PersistentVolumeClaim{}, &corev1.Secret{}, &corev1.ConfigMap{}, &corev1.Service{},
		&corev1.ServiceAccount{}, &rbacv1.Role{}, &rbacv1.RoleBinding{}, &policyv1.PodDisruptionBudget{},
	}
}

// byBackup: what can be recovered is in the Cluster's status.
func byBackup(_ context.Context, object client.Object) []ctrl.Request {
	backup, ok := object.(*v1.Backup)
	if !ok {
		return nil
	}

	return []ctrl.Request{{NamespacedName: types.NamespacedName{Namespace: backup.Namespace, Name: backup.Spec.Cluster.Name}}}
}

// byName: the record has its Cluster's name.
func byName(_ context.Context, object client.Object) []ctrl.Request {
	return []ctrl.Request{{NamespacedName: client.ObjectKeyFromObject(object)}}
}

// Reconcile makes one pass over a Cluster.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	return r.shell.Reconcile(ctx, request)
}

// pass observes, decides, acts and reports.
func (r *Reconciler) pass(ctx context.Context, cluster *v1.Cluster) (reconcile.Outcome, error) {
	view, err := r.observe(ctx, cluster)
	if err != nil {
		return reconcile.Outcome{}, err
	}

	plan := decide.Decide(view.View)
	done, err := r.act(ctx, view, plan.Actions)
	written := r.report(ctx, view.View, plan, done, err)

	if err := errors.Join(err, written); err != nil && !isUsersToSolve(err) {
		return reconcile.Outcome{}, err
	}

	return reconcile.Outcome{
		Waiting: plan.Outcome.Kind == conditions.Waiting,
		Stalled: plan.Outcome.Kind == conditions.Stalled || err != nil,
		After:   plan.After,
	}, nil
}

// isUsersToSolve: the error is told in the status, and trying again is worth it only after the user has done something
// that is not watched. The next poll will see.
func isUsersToSolve(err error) bool {
	var taken *apply.ConflictError

	var refused *instanceclient.RefusedError

	var expansion *expansionError

	return errors.As(err, &taken) || errors.As(err, &refused) || errors.As(err, &expansion)
}

func (r *Reconciler) applier(cluster *v1.Cluster) apply.Applier {
	return apply.Applier{
		Client: r.client, Live: r.live, Owner: naming.FieldOwner, For: "this Cluster",
		Ours:    func(live client.Object) bool { return build.IsOurs(cluster, live) },
		Visible: func(live client.Object) bool { return build.HasLabels(cluster, live) },
	}
}

func logActions(ctx context.Context, done []decide.Action) {
	logger := log.FromContext(ctx)
	for _, action := range slices.All(done) {
		logger.Info("Done", "action", action.String())
	}
}
