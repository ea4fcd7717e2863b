package database

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/application"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/instanceclient"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/reconcile"
)

// kind in lower case, for logs, metrics and the controller's name.
const kind = "database"

// maxSteps of one pass: the role, its Secret, its password, the rest.
const maxSteps = 5

// Instances asks PID 1 of a primary. The errors are those of package instanceclient.
type Instances interface {
	// EnsureDatabase asks to bring a database to what is wished, and waits for it.
	EnsureDatabase(ctx context.Context, target instanceclient.Target, request instanceapi.DatabaseRequest) (instanceapi.DatabaseReport, error)
	// DropDatabase asks to drop a database, and waits for it.
	DropDatabase(ctx context.Context, target instanceclient.Target, request instanceapi.DropDatabaseRequest) (instanceapi.DatabaseReport, error)
}

// Options of the controller.
type Options struct {
	// Defaults are the operator's configuration.
	Defaults Defaults
	// Instances reaches the primaries.
	Instances Instances
	// Clock tells the time.
	Clock clock.PassiveClock
	// Recorder records events.
	Recorder events.EventRecorder
	// Registerer takes the controller's metrics; nil for none.
	Registerer prometheus.Registerer
	// MaxConcurrentReconciles is how many objects are looked after at once.
	MaxConcurrentReconciles int
}

// Reconciler looks after Databases.
type Reconciler struct {
	client  client.Client
	writer  application.Writer
	options Options
	shell   *reconcile.Shell[*v1.Database]

	mu    sync.Mutex
	known map[types.UID]Known
}

// New makes a Reconciler. The client may read from a cache that holds our objects only; live reads everything, from the
// API server.
func New(c client.Client, live client.Reader, options Options) (*Reconciler, error) {
	metrics, err := reconcile.NewMetrics(options.Registerer, kind)
	if err != nil {
		return nil, fmt.Errorf("database controller: %w", err)
	}

	r := &Reconciler{client: c, writer: application.Writer{Client: c, Live: live}, options: options, known: map[types.UID]Known{}}
	r.shell = &reconcile.Shell[*v1.Database]{
		Kind: kind, New: func() *v1.Database { return &v1.Database{} }, Client: c, Clock: options.Clock, Metrics: metrics, Pass: r.pass,
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
		For(&v1.Database{}).
		Watches(&v1.Cluster{}, handler.EnqueueRequestsFromMapFunc(r.ofCluster)).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(ofSecret)).
		WithOptions(controller.Options{MaxConcurrentReconciles: options.MaxConcurrentReconciles, RateLimiter: reconcile.NewRateLimiter()}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the database controller: %w", err)
	}

	return nil
}

// ofCluster are the Databases in a Cluster, and the one of its name, whose own it may be.
func (r *Reconciler) ofCluster(ctx context.Context, cluster client.Object) []ctrl.Request {
	requests := []ctrl.Request{{NamespacedName: client.ObjectKeyFromObject(cluster)}}

	list := &v1.DatabaseList{}
	if err := r.client.List(ctx, list, client.InNamespace(cluster.GetNamespace())); err != nil {
		log.FromContext(ctx).Error(err, "Databases cannot be listed; they are looked at later")

		return requests
	}

	for i := range list.Items {
		if reference := list.Items[i].Spec.Cluster; reference != nil && reference.Name == cluster.GetName() {
			requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}

	return requests
}

func ofSecret(_ context.Context, secret client.Object) []ctrl.Request {
	name := secret.GetLabels()[naming.LabelDatabase]
	if name == "" {
		return nil
	}

	return []ctrl.Request{{NamespacedName: types.NamespacedName{Namespace: secret.GetNamespace(), Name: name}}}
}

// Reconcile makes one pass over a Database.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	return r.shell.Reconcile(ctx, request)
}

// pass observes, decides, acts and reports. What a primary answers decides what comes next, so that it decides and acts in
// small steps.
func (r *Reconciler) pass(ctx context.Context, object *v1.Database) (reconcile.Outcome, error) {
	view, err := r.observe(ctx, object)
	if err != nil {
		return reconcile.Outcome{}, err
	}

	var (
		plan    Plan
		done    []owned.Change
		failure error
	)

	for range maxSteps {
		plan = Decide(view)

		again, changes, err := r.step(ctx, &view, plan)
		done = append(done, changes...)

		if failure = err; err != nil || !again {
			break
		}
	}

	if plan.Release && failure == nil {
		// It may be gone, and with it its status.
		return reconcile.Outcome{}, nil
	}

	return r.finish(ctx, view, plan, done, failure)
}

// step does one thing of a plan; again says that the view has changed by it.
func (r *Reconciler) step(ctx context.Context, view *View, plan Plan) (again bool, done []owned.Change, err error) {
	switch {
	case plan.Finalize:
		return true, nil, r.finalize(ctx, view, controllerutil.AddFinalizer)
	case plan.Release:
		r.forget(view.Object.UID)

		return false, nil, r.finalize(ctx, view, controllerutil.RemoveFinalizer)
	case plan.Drop != nil:
		return true, nil, r.drop(ctx, view, *plan.Drop)
	case plan.Ask != nil:
		return true, nil, r.ask(ctx, view, plan)
	case len(plan.Changes) > 0:
		done, err = r.writer.Do(ctx, view.owner(), plan.Changes)

		return err == nil && wrote(view, plan.Changes), done, err
	default:
		return false, nil, nil
	}
}

// wrote takes a Secret that was just written over into the view: its password is to be set now.
func wrote(view *View, changes []owned.Change) bool {
	for _, change := range changes {
		if apply, ok := change.(owned.Apply); ok {
			if secret, ok := apply.Object.(*corev1.Secret); ok {
				view.Secret = secret

				return true
			}
		}
	}

	return false
}

func (r *Reconciler) finalize(ctx context.Context, view *View, change func(client.Object, string) bool) error {
	updated := view.Object.DeepCopy()
	change(updated, Finalizer)

	patch := client.MergeFromWithOptions(view.Object.DeepCopy(), client.MergeFromWithOptimisticLock{})
	if err := r.client.Patch(ctx, updated, patch, client.FieldOwner(naming.FieldOwner)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("write the finalizer: %w", err)
	}

	view.Object = updated

	return nil
}

func (r *Reconciler) drop(ctx context.Context, view *View, request instanceapi.DropDatabaseRequest) error {
	target, err := r.target(ctx, view.Cluster)
	if err != nil {
		return err
	}

	report, err := r.options.Instances.DropDatabase(ctx, target, request)
	r.tell(view.Object, report)

	if err != nil {
		return fmt.Errorf("drop the database: %w", err)
	}

	// It is gone: the next step lets the object go.
	view.Cluster = nil

	return nil
}

func (r *Reconciler) ask(ctx context.Context, view *View, plan Plan) error {
	target, err := r.target(ctx, view.Cluster)
	if err != nil {
		return err
	}

	report, err := r.options.Instances.EnsureDatabase(ctx, target, *plan.Ask)
	r.tell(view.Object, report)

	if err != nil {
		return fmt.Errorf("bring the database about: %w", err)
	}

	known := Known{Hash: plan.Hash, At: view.Now, Report: report}
	view.Known = &known

	r.mu.Lock()
	defer r.mu.Unlock()

	r.known[view.Object.UID] = known

	return nil
}

func (r *Reconciler) forget(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()

	delete(r.known, uid)
}

func (r *Reconciler) tell(object *v1.Database, report instanceapi.DatabaseReport) {
	for _, done := range report.Done {
		r.options.Recorder.Eventf(object, nil, corev1.EventTypeNormal, "DatabaseChanged", "Reconcile", "%s", application.Upper(done))
	}
}

func (r *Reconciler) observe(ctx context.Context, object *v1.Database) (View, error) {
	view := View{Now: r.options.Clock.Now(), Object: object.DeepCopy(), Defaults: r.options.Defaults, NewPassword: rand.Text()}

	cluster := object.Name
	if object.Spec.Cluster != nil {
		cluster = object.Spec.Cluster.Name
	}

	live := &v1.Cluster{}

	found, err := application.Get(ctx, r.client, object.Namespace, cluster, live)
	if err != nil {
		return view, fmt.Errorf("observe: %w", err)
	}

	if found {
		view.Cluster = live
	}

	if object.Spec.Cluster == nil {
		return view, nil
	}

	list := &v1.DatabaseList{}
	if err := r.client.List(ctx, list, client.InNamespace(object.Namespace)); err != nil {
		return view, fmt.Errorf("observe: list databases: %w", err)
	}

	view.Others = list.Items

	for name, into := range map[string]**corev1.Secret{secretName(object): &view.Secret, naming.SecretApp(cluster): &view.ClusterSecret} {
		secret := &corev1.Secret{}

		found, err := application.Get(ctx, r.client, object.Namespace, name, secret)
		if err != nil {
			return view, fmt.Errorf("observe: %w", err)
		}

		if found {
			*into = secret
		}
	}

	if view.Secret != nil && !view.owner().IsOurs(view.Secret) {
		view.Secret = nil
	}

	r.mu.Lock()
	defer r.mu.Unlock()

	if known, ok := r.known[object.UID]; ok {
		view.Known = &known
	}

	return view, nil
}

// target is the primary's PID 1, and what it is trusted by.
func (r *Reconciler) target(ctx context.Context, cluster *v1.Cluster) (instanceclient.Target, error) {
	pod, bundles, certificate := &corev1.Pod{}, &corev1.ConfigMap{}, &corev1.Secret{}

	for name, into := range map[string]client.Object{
		cluster.Status.Primary:                 pod,
		naming.ConfigMap(cluster.Name):         bundles,
		naming.SecretReplication(cluster.Name): certificate,
	} {
		if err := r.client.Get(ctx, client.ObjectKey{Namespace: cluster.Namespace, Name: name}, into); err != nil {
			return instanceclient.Target{}, fmt.Errorf("find the primary: %w", err)
		}
	}

	return instanceclient.Target{
		Name:       pod.Name,
		Address:    net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(naming.PortStatus)),
		ServerCA:   []byte(bundles.Data[instanceapi.ServerCAKey]),
		ClientCert: certificate.Data[corev1.TLSCertKey],
		ClientKey:  certificate.Data[corev1.TLSPrivateKeyKey],
	}, nil
}

// finish writes the status once, and then the events.
func (r *Reconciler) finish(ctx context.Context, view View, plan Plan, done []owned.Change, failure error) (reconcile.Outcome, error) {
	// A primary that cannot be reached for a look at what is known to be right changes nothing.
	if plan.Ask != nil && plan.Outcome.Kind == conditions.Done && instanceclient.IsUnreachable(failure) {
		failure = nil
		plan.After = retryInterval
	}

	status := statusOf(view, plan, failure)

	var written error

	if !equality.Semantic.DeepEqual(view.Object.Status, status) {
		updated := view.Object.DeepCopy()
		updated.Status = status
		written = application.WriteStatus(ctx, r.client, updated)
	}

	if written == nil {
		application.Events(r.options.Recorder, view.Object, view.Object.Status.Conditions, status.Conditions, done)
	}

	stalled := plan.Outcome.Kind == conditions.Stalled

	if refusal(failure) != "" || application.IsUsersToSolve(failure) {
		stalled, failure, plan.After = true, nil, retryInterval
	}

	if err := errors.Join(failure, written); err != nil {
		return reconcile.Outcome{}, err
	}

	return reconcile.Outcome{Waiting: plan.Outcome.Kind == conditions.Waiting, Stalled: stalled, After: plan.After}, nil
}

// refusal is what PostgreSQL says against a wish; empty if it was not that.
func refusal(failure error) string {
	const unprocessable = 422

	if refused, ok := errors.AsType[*instanceclient.RefusedError](failure); ok && refused.StatusCode == unprocessable {
		return refused.Message
	}

	return ""
}

// statusOf is the whole status after a pass. It is pure.
func statusOf(view View, plan Plan, failure error) v1.DatabaseStatus {
	status := *plan.Status.DeepCopy()
	status.Conditions = view.Object.Status.DeepCopy().Conditions

	outcome := application.Outcome(plan.Outcome, failure)
	if message := refusal(failure); message != "" {
		outcome = conditions.Outcome{Kind: conditions.Stalled, Reason: v1.ReasonDatabaseRefused, Message: message}
	}

	writer := conditions.Writer{Conditions: &status.Conditions, Generation: view.Object.Generation, Now: view.Now}
	if outcome.Reason != "" {
		writer.Summarize(outcome)
	}

	return status
}
