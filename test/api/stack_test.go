package api

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	caretakerappsv1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	configv1 "github.com/caretaker-dev/caretaker/api/config/v1"
	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	platformv1 "github.com/caretaker-dev/caretaker/api/platform/v1"
	"github.com/caretaker-dev/caretaker/internal/appstack"
	"github.com/caretaker-dev/caretaker/internal/ecommerce"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/test/internal/apiserver"
	"github.com/caretaker-dev/caretaker/test/internal/crash"
)

// stackWorld is a namespace with an EcommercePlatform "shop", the real Reconcilers of it and of its AppStack, and, in the
// place of the parts' controllers and of kubelets, somebody who says of each part that it is ready.
type stackWorld struct {
	server    *apiserver.Server
	namespace string
	events    *recorder
	// held are parts that are not ready, and what they say.
	held map[string]string
}

func newStackWorld(t *testing.T) *stackWorld {
	t.Helper()

	server := suite.Server(t)

	return &stackWorld{server: server, namespace: server.Namespace(t), events: &recorder{}, held: map[string]string{}}
}

func (w *stackWorld) newPlatform(change ...func(*platformv1.EcommercePlatformSpec)) *platformv1.EcommercePlatform {
	p := &platformv1.EcommercePlatform{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "shop"}}
	p.Spec.Environment = platformv1.Production
	p.Spec.Backend = &platformv1.ShopWorkloadSpec{Image: "backend:1"}
	p.Spec.Frontend = &platformv1.ShopWorkloadSpec{Image: "frontend:1"}
	p.Spec.Config = map[string]string{"GREETING": "hello"}
	p.Spec.Ingress = &platformv1.IngressSpec{Host: "shop.example.com"}

	for _, f := range change {
		f(&p.Spec)
	}

	return p
}

// startedShop is a world with a platform that is ready.
func startedShop(t *testing.T) *stackWorld {
	t.Helper()

	w := newStackWorld(t)
	w.create(t, w.newPlatform())
	w.settle(t)
	w.wantReady(t)

	return w
}

func (w *stackWorld) create(t *testing.T, object client.Object) {
	t.Helper()

	if err := w.server.Client.Create(t.Context(), object); err != nil {
		t.Fatalf("create %T %s: %v", object, object.GetName(), err)
	}
}

func (w *stackWorld) key() client.ObjectKey {
	return client.ObjectKey{Namespace: w.namespace, Name: "shop"}
}

func (w *stackWorld) platform(t *testing.T) *platformv1.EcommercePlatform {
	t.Helper()

	p := &platformv1.EcommercePlatform{}
	if err := w.server.Client.Get(t.Context(), w.key(), p); err != nil {
		t.Fatalf("get platform: %v", err)
	}

	return p
}

func (w *stackWorld) change(t *testing.T, mutate func(*platformv1.EcommercePlatform)) {
	t.Helper()

	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		p := w.platform(t)
		mutate(p)

		return w.server.Client.Update(t.Context(), p)
	})
	if err != nil {
		t.Fatalf("change platform: %v", err)
	}
}

func (w *stackWorld) settle(t *testing.T) {
	t.Helper()
	w.Run(t, crash.NewProcess(w.server.Client, 0))
}

func (w *stackWorld) wantReady(t *testing.T) {
	t.Helper()

	p := w.platform(t)
	if !meta.IsStatusConditionTrue(p.Status.Conditions, platformv1.ConditionReady) || p.Status.Phase != platformv1.PhaseRunning {
		t.Fatalf("the platform is not ready: %s, %+v", p.Status.Phase, p.Status.Conditions)
	}
}

// exists says whether there is an object.
func (w *stackWorld) exists(t *testing.T, object client.Object, name string) bool {
	t.Helper()

	err := w.server.Client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, object)
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatalf("get %T %s: %v", object, name, err)
	}

	return err == nil
}

// Client is the world's own.
func (w *stackWorld) Client() client.WithWatch { return w.server.Client }

// Run makes the controllers on the process, and lets them and the parts take turns until nothing is left to do.
func (w *stackWorld) Run(t *testing.T, process *crash.Process) {
	t.Helper()

	c := process.Client()
	ctx, cancel := process.Context(t.Context())

	defer cancel()

	// One of its own: another test installs PodMonitors and takes them away again, which the client's mapper would not notice.
	http, err := rest.HTTPClientFor(w.server.Config)
	if err != nil {
		t.Fatal(err)
	}

	mapper, err := apiutil.NewDynamicRESTMapper(w.server.Config, http)
	if err != nil {
		t.Fatal(err)
	}

	stacks, err := appstack.New(c, c, mapper, appstack.Options{
		CacheImage: "valkey:8", Clock: clock.RealClock{}, Recorder: w.events, NewPassword: func() string { return "fixed" },
	})
	if err != nil {
		t.Fatal(err)
	}

	platforms, err := ecommerce.New(c, c, ecommerce.Options{Clock: clock.RealClock{}, Recorder: w.events})
	if err != nil {
		t.Fatal(err)
	}

	quiet := 0
	for range maxPasses {
		before := len(process.Writes())

		for _, reconcile := range []func(context.Context, ctrl.Request) (ctrl.Result, error){platforms.Reconcile, stacks.Reconcile} {
			_, err := reconcile(ctx, ctrl.Request{NamespacedName: w.key()})
			if process.IsDead() {
				return
			}

			if err != nil && !apierrors.IsConflict(err) {
				t.Fatalf("reconcile: %v", err)
			}
		}

		moved := w.turn(t)

		quiet++
		if moved || len(process.Writes()) > before {
			quiet = 0
		}

		if quiet == 2 {
			return
		}
	}

	t.Fatalf("it does not come to rest; last writes: %v", tail(process.Writes()))
}

// turn lets every part say how it is; true if one had something new to say.
func (w *stackWorld) turn(t *testing.T) bool {
	t.Helper()

	moved := false

	for _, list := range []client.ObjectList{
		&databasev1.PostgreSQLList{}, &caretakerappsv1.WebAppList{}, &configv1.AppConfigList{}, &appsv1.StatefulSetList{},
	} {
		if err := w.server.Client.List(t.Context(), list, client.InNamespace(w.namespace)); err != nil {
			t.Fatalf("list %T: %v", list, err)
		}

		items, err := meta.ExtractList(list)
		if err != nil {
			t.Fatal(err)
		}

		for _, item := range items {
			object, ok := item.(client.Object)
			if !ok || !w.say(object) {
				continue
			}

			if err := w.server.Client.Status().Update(t.Context(), object); err == nil {
				moved = true
			} else if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
				t.Fatalf("update status of %s: %v", object.GetName(), err)
			}
		}
	}

	return moved
}

// say puts into an object's status how its part is; true if that is new.
func (w *stackWorld) say(object client.Object) bool {
	message, held := w.held[object.GetLabels()[naming.LabelComponent]]

	ready := metav1.Condition{
		Type: "Ready", Status: metav1.ConditionTrue, Reason: "Ready", Message: "all ready", ObservedGeneration: object.GetGeneration(),
	}
	if held {
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, "Waiting", message
	}

	switch o := object.(type) {
	case *databasev1.PostgreSQL:
		return meta.SetStatusCondition(&o.Status.Conditions, ready)
	case *caretakerappsv1.WebApp:
		return meta.SetStatusCondition(&o.Status.Conditions, ready)
	case *configv1.AppConfig:
		return meta.SetStatusCondition(&o.Status.Conditions, ready)
	case *appsv1.StatefulSet:
		want := int32(1)
		if held {
			want = 0
		}

		if o.Status.ReadyReplicas == want && o.Status.ObservedGeneration == o.Generation {
			return false
		}

		o.Status.Replicas, o.Status.ReadyReplicas, o.Status.ObservedGeneration = 1, want, o.Generation

		return true
	default:
		return false
	}
}

// State is every object of the platform.
func (w *stackWorld) State(t *testing.T) map[string]string {
	t.Helper()

	core, apps := schema.GroupVersion{Version: "v1"}, schema.GroupVersion{Group: "apps", Version: "v1"}
	networking := schema.GroupVersion{Group: "networking.k8s.io", Version: "v1"}

	var objects []*unstructured.Unstructured

	for _, kind := range []schema.GroupVersionKind{
		platformv1.GroupVersion.WithKind("EcommercePlatform"), platformv1.GroupVersion.WithKind("AppStack"),
		databasev1.GroupVersion.WithKind("PostgreSQL"), caretakerappsv1.GroupVersion.WithKind("WebApp"),
		configv1.GroupVersion.WithKind("AppConfig"), apps.WithKind("StatefulSet"), core.WithKind("Service"), core.WithKind("Secret"),
		{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"},
		networking.WithKind("Ingress"), networking.WithKind("NetworkPolicy"),
	} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind)

		if err := w.server.Client.List(t.Context(), list, client.InNamespace(w.namespace)); err != nil {
			t.Fatalf("list %s: %v", kind.Kind, err)
		}

		for i := range list.Items {
			objects = append(objects, &list.Items[i])
		}
	}

	state, err := crash.Normalise(objects, map[string]string{w.namespace: "<namespace>"})
	if err != nil {
		t.Fatal(err)
	}

	return state
}

// TestShopCrashAfterEveryWrite kills the controllers of a shop after each single write of each of these scenarios.
func TestShopCrashAfterEveryWrite(t *testing.T) {
	t.Parallel()

	change := func(mutate func(*platformv1.EcommercePlatform)) func(*testing.T) *stackWorld {
		return func(t *testing.T) *stackWorld {
			t.Helper()

			w := startedShop(t)
			w.change(t, mutate)

			return w
		}
	}

	scenarios := map[string]func(*testing.T) *stackWorld{
		"create": func(t *testing.T) *stackWorld {
			t.Helper()

			w := newStackWorld(t)
			w.create(t, w.newPlatform())

			return w
		},
		"image, and no cache any more": change(func(p *platformv1.EcommercePlatform) {
			p.Spec.Backend.Image = "backend:2"
			p.Spec.Cache.Enabled = new(false)
		}),
		"delete": func(t *testing.T) *stackWorld {
			t.Helper()

			w := startedShop(t)
			if err := w.server.Client.Delete(t.Context(), w.platform(t)); err != nil {
				t.Fatal(err)
			}

			return w
		},
	}

	for name, start := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			crash.AfterEveryWrite(t, func(t *testing.T) crash.World {
				t.Helper()

				return start(t)
			})
		})
	}
}

// TestShopWaitsForItsDatabase holds the database back: the backend is not created, the platform says what is waited for,
// and all comes up by itself when the database is there.
func TestShopWaitsForItsDatabase(t *testing.T) {
	t.Parallel()

	w := newStackWorld(t)
	w.held["database"] = "Waiting for shop-db-1: it is starting (1 of 3 instances ready)"
	w.create(t, w.newPlatform())
	w.settle(t)

	if !w.exists(t, &databasev1.PostgreSQL{}, "shop-db") || !w.exists(t, &appsv1.StatefulSet{}, "shop-cache") {
		t.Error("database and cache are not made at once")
	}

	if w.exists(t, &caretakerappsv1.WebApp{}, "shop-backend") || w.exists(t, &caretakerappsv1.WebApp{}, "shop-frontend") {
		t.Error("the backend is made before the database is ready")
	}

	p := w.platform(t)
	if p.Status.Phase != platformv1.PhaseDeploying || p.Status.Ready != "2/6" {
		t.Errorf("phase %s, %s ready", p.Status.Phase, p.Status.Ready)
	}

	if message := reconciling(p.Status.Conditions); !strings.Contains(message, "Waiting for database shop-db: Waiting for shop-db-1: it is starting") {
		t.Errorf("it says %q", message)
	}

	for _, c := range p.Status.Components {
		if c.Name == "backend" && c.Message != "waits for database shop-db: Waiting for shop-db-1: it is starting (1 of 3 instances ready)" {
			t.Errorf("the backend says %q", c.Message)
		}
	}

	delete(w.held, "database")
	w.settle(t)
	w.wantReady(t)

	if p := w.platform(t); p.Status.Ready != "6/6" || p.Status.Endpoints.URL != "http://shop.example.com" {
		t.Errorf("%s ready, endpoints %+v", p.Status.Ready, p.Status.Endpoints)
	}
}

// TestShopPartBreaks: it is reported, and nothing is written but statuses.
func TestShopPartBreaks(t *testing.T) {
	t.Parallel()

	w := startedShop(t)

	for _, part := range []string{"database", "cache", "backend", "frontend"} {
		w.held[part] = "it is broken"
		process := crash.NewProcess(w.server.Client, 0)
		w.Run(t, process)

		for _, write := range process.Writes() {
			if !strings.Contains(write, "status") {
				t.Errorf("%s breaks: %s", part, write)
			}
		}

		p := w.platform(t)
		if p.Status.Phase != platformv1.PhaseDegraded || !strings.Contains(reconciling(p.Status.Conditions), part+" shop-") {
			t.Errorf("%s breaks: phase %s, %s", part, p.Status.Phase, reconciling(p.Status.Conditions))
		}

		delete(w.held, part)
		w.settle(t)
		w.wantReady(t)
	}
}

// TestShopDrift changes and deletes what belongs to a shop: it is put back.
func TestShopDrift(t *testing.T) {
	t.Parallel()

	w := startedShop(t)
	want := w.State(t)

	for name, drift := range map[string]func(context.Context) error{
		"the backend's image": func(ctx context.Context) error {
			return w.patch(ctx, &caretakerappsv1.WebApp{}, "shop-backend", `{"spec":{"image":"other"}}`)
		},
		"the cache's service": func(ctx context.Context) error {
			return w.patch(ctx, &corev1.Service{}, "shop-cache", `{"spec":{"selector":{"app.kubernetes.io/component":"other"}}}`)
		},
		"the stack's environment": func(ctx context.Context) error {
			return w.patch(ctx, &platformv1.AppStack{}, "shop", `{"spec":{"environment":"staging"}}`)
		},
		"the frontend deleted": func(ctx context.Context) error {
			return w.server.Client.Delete(ctx, &caretakerappsv1.WebApp{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "shop-frontend"}})
		},
		"the cache deleted": func(ctx context.Context) error {
			return w.server.Client.Delete(ctx, &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "shop-cache"}})
		},
	} {
		if err := drift(t.Context()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}

		w.settle(t)

		for key, object := range w.State(t) {
			if diff := cmp.Diff(timeless(want[key]), timeless(object)); diff != "" {
				t.Errorf("%s: %s is not as it was (-want +got):\n%s", name, key, diff)
			}
		}
	}
}

// timeless is an object without how often it was changed.
func timeless(object string) string {
	return regexp.MustCompile(`observedGeneration: \d+`).ReplaceAllString(object, "observedGeneration: n")
}

func (w *stackWorld) patch(ctx context.Context, object client.Object, name, patch string) error {
	object.SetNamespace(w.namespace)
	object.SetName(name)

	return w.server.Client.Patch(ctx, object, client.RawPatch("application/merge-patch+json", []byte(patch)))
}

// TestShopLabels: everything of a shop is found by platform=shop, as the source documents do.
func TestShopLabels(t *testing.T) {
	t.Parallel()

	w := startedShop(t)

	for _, list := range []client.ObjectList{
		&platformv1.AppStackList{}, &databasev1.PostgreSQLList{}, &caretakerappsv1.WebAppList{}, &configv1.AppConfigList{}, &appsv1.StatefulSetList{}, &corev1.ServiceList{},
	} {
		if err := w.server.Client.List(t.Context(), list, client.InNamespace(w.namespace), client.MatchingLabels{"platform": "shop"}); err != nil {
			t.Fatal(err)
		}

		if meta.LenList(list) == 0 {
			t.Errorf("no %T by platform=shop", list)
		}
	}

	for _, name := range []string{"shop-backend", "shop-frontend"} {
		webapp := &caretakerappsv1.WebApp{}
		if !w.exists(t, webapp, name) || webapp.Spec.InheritedMetadata.Labels["platform"] != "shop" {
			t.Errorf("the pods of %s will not have the label", name)
		}
	}

	set := &appsv1.StatefulSet{}
	if !w.exists(t, set, "shop-cache") || set.Spec.Template.Labels["platform"] != "shop" {
		t.Error("the cache's pods do not have the label")
	}
}

// TestShopNeverShrinksVolumes: going from production to development keeps the volumes as large as they are.
func TestShopNeverShrinksVolumes(t *testing.T) {
	t.Parallel()

	w := startedShop(t)
	w.change(t, func(p *platformv1.EcommercePlatform) { p.Spec.Environment = platformv1.Development })
	w.settle(t)
	w.wantReady(t)

	database := &databasev1.PostgreSQL{}
	if !w.exists(t, database, "shop-db") || database.Spec.Storage != "100Gi" || *database.Spec.Replicas != 1 {
		t.Errorf("%+v", database.Spec)
	}
}

func reconciling(all []metav1.Condition) string {
	if condition := meta.FindStatusCondition(all, platformv1.ConditionReconciling); condition != nil {
		return condition.Message
	}

	return ""
}
