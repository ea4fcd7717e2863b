package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	caretakerappsv1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	configv1 "github.com/caretaker-dev/caretaker/api/config/v1"
	"github.com/caretaker-dev/caretaker/internal/appconfig"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/webapp"
	"github.com/caretaker-dev/caretaker/test/internal/apiserver"
	"github.com/caretaker-dev/caretaker/test/internal/crash"
)

// applications is a namespace with a WebApp and an AppConfig "shop", and the real Reconcilers. Deployments become ready at
// once, as if pods did not have to start.
type applications struct {
	server    *apiserver.Server
	namespace string
	events    *recorder
}

func newApplications(t *testing.T) *applications {
	t.Helper()

	server := suite.Server(t)

	return &applications{server: server, namespace: server.Namespace(t), events: &recorder{}}
}

func (w *applications) create(t *testing.T, object client.Object) {
	t.Helper()

	object.SetNamespace(w.namespace)

	if err := w.server.Client.Create(t.Context(), object); err != nil {
		t.Fatalf("create %T %s: %v", object, object.GetName(), err)
	}
}

func (w *applications) get(t *testing.T, name string, object client.Object) {
	t.Helper()

	if err := w.server.Client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, object); err != nil {
		t.Fatalf("get %T %s: %v", object, name, err)
	}
}

func changed[T client.Object](t *testing.T, w *applications, name string, object T, mutate func(T)) {
	t.Helper()

	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		w.get(t, name, object)
		mutate(object)

		return w.server.Client.Update(t.Context(), object)
	})
	if err != nil {
		t.Fatalf("change %T %s: %v", object, name, err)
	}
}

func newWebApp(change ...func(*caretakerappsv1.WebAppSpec)) *caretakerappsv1.WebApp {
	object := &caretakerappsv1.WebApp{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
	object.Spec = caretakerappsv1.WebAppSpec{Replicas: 2, Image: "nginx:1.21", Port: 80}

	for _, c := range change {
		c(&object.Spec)
	}

	return object
}

func newAppConfig(change ...func(*configv1.AppConfigSpec)) *configv1.AppConfig {
	object := &configv1.AppConfig{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
	object.Spec = configv1.AppConfigSpec{
		Application: "shop", Environment: configv1.EnvironmentProd,
		Config: map[string]configv1.ConfigValue{"LOG_LEVEL": "info", "URL": "http://{{ .Application }}.{{ .Namespace }}.svc"},
	}

	for _, c := range change {
		c(&object.Spec)
	}

	return object
}

// Client is the world's own.
func (w *applications) Client() client.WithWatch { return w.server.Client }

// settle lets the controllers work until nothing is left to do.
func (w *applications) settle(t *testing.T) {
	t.Helper()
	w.Run(t, crash.NewProcess(w.server.Client, 0))
}

// Run makes the controllers on a process and lets them, and Kubernetes' own, take turns until all have nothing to do.
func (w *applications) Run(t *testing.T, process *crash.Process) {
	t.Helper()

	c := process.Client()

	webapps, err := webapp.New(c, c, c.RESTMapper(), webapp.Options{Clock: clock.RealClock{}, Recorder: w.events})
	if err != nil {
		t.Fatal(err)
	}

	configs, err := appconfig.New(c, c, appconfig.Options{Clock: clock.RealClock{}, Recorder: w.events})
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := process.Context(t.Context())
	defer cancel()

	request := ctrl.Request{NamespacedName: client.ObjectKey{Namespace: w.namespace, Name: "shop"}}
	quiet := 0

	for range maxPasses {
		before := len(process.Writes())

		_, configErr := configs.Reconcile(ctx, request)
		_, webappErr := webapps.Reconcile(ctx, request)

		if process.IsDead() {
			return
		}

		for _, err := range []error{configErr, webappErr} {
			if err != nil && !apierrors.IsConflict(err) {
				t.Fatalf("reconcile: %v", err)
			}
		}

		quiet++
		if w.deploy(t) || len(process.Writes()) > before {
			quiet = 0
		}

		if quiet == 2 {
			return
		}
	}

	t.Fatalf("it does not come to rest; last writes: %v", tail(process.Writes()))
}

// deploy does what Kubernetes' controller does with Deployments, as far as their status shows it.
func (w *applications) deploy(t *testing.T) bool {
	t.Helper()

	list := &appsv1.DeploymentList{}
	if err := w.server.Client.List(t.Context(), list, client.InNamespace(w.namespace)); err != nil {
		t.Fatal(err)
	}

	moved := false

	for i := range list.Items {
		d := &list.Items[i]
		n := *d.Spec.Replicas

		if d.Status.ObservedGeneration == d.Generation && d.Status.AvailableReplicas == n {
			continue
		}

		d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: n, UpdatedReplicas: n, ReadyReplicas: n, AvailableReplicas: n}
		moved = true

		if err := w.server.Client.Status().Update(t.Context(), d); err != nil && !apierrors.IsConflict(err) {
			t.Fatal(err)
		}
	}

	return moved
}

// State is every object of the applications.
func (w *applications) State(t *testing.T) map[string]string {
	t.Helper()

	var objects []*unstructured.Unstructured

	for _, kind := range []schema.GroupVersionKind{
		caretakerappsv1.GroupVersion.WithKind("WebApp"), configv1.GroupVersion.WithKind("AppConfig"),
		{Version: "v1", Kind: "Service"},
		{Version: "v1", Kind: "ConfigMap"},
		{Version: "v1", Kind: "Secret"},
		{Group: "apps", Version: "v1", Kind: "Deployment"},
		{Group: "apps", Version: "v1", Kind: "StatefulSet"},
		{Group: "apps", Version: "v1", Kind: "DaemonSet"},
		{Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy"},
		{Group: "networking.k8s.io", Version: "v1", Kind: "Ingress"},
		{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"},
		{Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler"},
	} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind)

		if err := w.server.Client.List(t.Context(), list, client.InNamespace(w.namespace)); err != nil {
			t.Fatalf("list %s: %v", kind.Kind, err)
		}

		for i := range list.Items {
			// How often Kubernetes has changed it on the way is no matter.
			unstructured.RemoveNestedField(list.Items[i].Object, "metadata", "generation")
			unstructured.RemoveNestedField(list.Items[i].Object, "status", "observedGeneration")
			objects = append(objects, &list.Items[i])
		}
	}

	uids := map[string]string{w.namespace: "<namespace>"}

	for _, object := range objects {
		if object.GetKind() == "AppConfig" {
			// A part of it is in the revision.
			uids["-"+string(object.GetUID())[:8]] = "-<uid>"
		}
	}

	state, err := crash.Normalise(objects, uids)
	if err != nil {
		t.Fatal(err)
	}

	return state
}

func (w *applications) wantReady(t *testing.T) {
	t.Helper()

	app, config := &caretakerappsv1.WebApp{}, &configv1.AppConfig{}

	if err := w.server.Client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "shop"}, app); err == nil {
		if !meta.IsStatusConditionTrue(app.Status.Conditions, "Ready") || app.Status.Phase != caretakerappsv1.PhaseRunning {
			t.Errorf("the WebApp is not ready: %+v", app.Status)
		}
	}

	if err := w.server.Client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "shop"}, config); err == nil {
		if !meta.IsStatusConditionTrue(config.Status.Conditions, "Ready") {
			t.Errorf("the AppConfig is not ready: %+v", config.Status)
		}
	}
}

// users are workloads of somebody else that use the configuration in each of the ways that there are, and one that does not.
func (w *applications) createUsers(t *testing.T) {
	t.Helper()

	ref := corev1.LocalObjectReference{Name: "shop-config"}
	template := func(name string, spec corev1.PodSpec) (corev1.PodTemplateSpec, *metav1.LabelSelector) {
		spec.Containers = append([]corev1.Container{{Name: "main", Image: "busybox"}}, spec.Containers...)

		return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}}, Spec: spec},
			&metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
	}

	byEnv := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "by-env"}}
	byEnv.Spec.Template, byEnv.Spec.Selector = template("by-env", corev1.PodSpec{Containers: []corev1.Container{{
		Name: "side", Image: "busybox",
		Env: []corev1.EnvVar{{Name: "L", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: ref, Key: "LOG_LEVEL"}}}},
	}}})

	byFrom := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "by-env-from"}}
	byFrom.Spec.Template, byFrom.Spec.Selector = template("by-env-from", corev1.PodSpec{Containers: []corev1.Container{{
		Name: "side", Image: "busybox",
		EnvFrom: []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: ref}}},
	}}})

	projected := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "projected"}}
	projected.Spec.Template, projected.Spec.Selector = template("projected", corev1.PodSpec{Volumes: []corev1.Volume{{Name: "c", VolumeSource: corev1.VolumeSource{
		Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: ref}}}},
	}}}})

	other := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "other"}}
	other.Spec.Template, other.Spec.Selector = template("other", corev1.PodSpec{})

	for _, object := range []client.Object{byEnv, byFrom, projected, other} {
		w.create(t, object)
	}
}

// generations of the workloads: each change of the pods' template counts.
func (w *applications) generations(t *testing.T) map[string]int64 {
	t.Helper()

	found := map[string]int64{}

	for name, object := range map[string]client.Object{
		"by-env": &appsv1.Deployment{}, "by-env-from": &appsv1.StatefulSet{}, "projected": &appsv1.DaemonSet{}, "other": &appsv1.Deployment{},
	} {
		w.get(t, name, object)
		found[name] = object.GetGeneration()
	}

	return found
}

func TestWebApp(t *testing.T) {
	t.Parallel()

	w := newApplications(t)
	w.create(t, newWebApp(func(s *caretakerappsv1.WebAppSpec) { s.Env = []corev1.EnvVar{{Name: "A", Value: "b"}} }))
	w.settle(t)
	w.wantReady(t)

	deployment, service := &appsv1.Deployment{}, &corev1.Service{}
	w.get(t, "shop", deployment)
	w.get(t, "shop", service)

	if deployment.Spec.Template.Labels["app"] != "shop" || deployment.Spec.Selector.MatchLabels["app"] != "shop" || *deployment.Spec.Replicas != 2 {
		t.Errorf("deployment: labels %v, selector %v, %d replicas", deployment.Spec.Template.Labels, deployment.Spec.Selector, *deployment.Spec.Replicas)
	}

	// By kubectl scale, too.
	app := &caretakerappsv1.WebApp{}
	w.get(t, "shop", app)

	scale := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"replicas": int64(3)}}}
	if err := w.server.Client.SubResource("scale").Patch(t.Context(), app, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"replicas":3}}`)), &client.SubResourcePatchOptions{SubResourceBody: scale}); err != nil {
		t.Fatalf("scale: %v", err)
	}

	w.settle(t)
	w.get(t, "shop", deployment)

	if *deployment.Spec.Replicas != 3 {
		t.Errorf("scaled to %d", *deployment.Spec.Replicas)
	}

	// What somebody changes by hand is put right; lists, too.
	service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{Name: "more", Port: 99})
	if err := w.server.Client.Update(t.Context(), service); err != nil {
		t.Fatal(err)
	}

	deployment.Spec.Template.Spec.Containers[0].Env = append(deployment.Spec.Template.Spec.Containers[0].Env, corev1.EnvVar{Name: "BY_HAND", Value: "1"})
	if err := w.server.Client.Update(t.Context(), deployment); err != nil {
		t.Fatal(err)
	}

	w.settle(t)
	w.get(t, "shop", deployment)
	w.get(t, "shop", service)

	if len(service.Spec.Ports) != 1 || len(deployment.Spec.Template.Spec.Containers[0].Env) != 1 {
		t.Errorf("ports %v, env %v", service.Spec.Ports, deployment.Spec.Template.Spec.Containers[0].Env)
	}

	// By the field that the API serves.
	list := &caretakerappsv1.WebAppList{}
	if err := w.server.Client.List(t.Context(), list, client.InNamespace(w.namespace), client.MatchingFields{webapp.IndexImage: "nginx:1.21"}); err != nil || len(list.Items) != 1 {
		t.Errorf("found %d by image: %v", len(list.Items), err)
	}
}

// A Service of this name that is not ours is left alone.
func TestWebAppTakesNothingOver(t *testing.T) {
	t.Parallel()

	w := newApplications(t)
	w.create(t, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "shop"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 1}}}})
	w.create(t, newWebApp())
	w.settle(t)

	app, service := &caretakerappsv1.WebApp{}, &corev1.Service{}
	w.get(t, "shop", app)
	w.get(t, "shop", service)

	stalled := meta.FindStatusCondition(app.Status.Conditions, "Stalled")
	if stalled == nil || stalled.Reason != caretakerappsv1.ReasonObjectConflict || app.Status.Phase != caretakerappsv1.PhaseFailed || service.Spec.Ports[0].Port != 1 {
		t.Errorf("phase %s, %+v; the Service's port is %d", app.Status.Phase, stalled, service.Spec.Ports[0].Port)
	}
}

func TestWebAppWaits(t *testing.T) {
	t.Parallel()

	w := newApplications(t)
	w.create(t, newWebApp(func(s *caretakerappsv1.WebAppSpec) {
		s.ConfigRef = &caretakerappsv1.ConfigReference{Name: "shop"}
		s.Database = &caretakerappsv1.DatabaseConnection{Ref: caretakerappsv1.DatabaseReference{Name: "db"}}
	}))
	w.settle(t)

	app := &caretakerappsv1.WebApp{}
	w.get(t, "shop", app)

	waitsFor := func(what string) {
		t.Helper()
		w.get(t, "shop", app)

		if c := meta.FindStatusCondition(app.Status.Conditions, "Reconciling"); c == nil || !strings.Contains(c.Message, what) || app.Status.Phase != caretakerappsv1.PhasePending {
			t.Errorf("phase %s, it waits for something else than %s: %+v", app.Status.Phase, what, c)
		}
	}

	waitsFor("the AppConfig shop")
	w.create(t, newAppConfig())
	w.settle(t)
	waitsFor("the Cluster db")

	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "db-app", Labels: map[string]string{naming.LabelManagedBy: naming.ManagedBy}}}
	secret.StringData = map[string]string{"uri": "u", "host": "h", "port": "5432", "dbname": "d", "username": "n", "password": "p"}
	w.create(t, secret)
	w.settle(t)
	w.wantReady(t)

	deployment := &appsv1.Deployment{}
	w.get(t, "shop", deployment)

	container := deployment.Spec.Template.Spec.Containers[0]
	if !slices.ContainsFunc(container.Env, func(e corev1.EnvVar) bool {
		return e.Name == "DATABASE_URL" && e.ValueFrom.SecretKeyRef.Name == "db-app"
	}) ||
		len(container.EnvFrom) == 0 || container.EnvFrom[0].ConfigMapRef.Name != "shop-config" || len(container.VolumeMounts) != 1 {
		t.Errorf("container: %+v", container)
	}

	// Other credentials: other pods.
	before := deployment.Generation
	secret.Data["password"] = []byte("q")

	if err := w.server.Client.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}

	w.settle(t)
	w.get(t, "shop", deployment)

	if deployment.Generation != before+1 {
		t.Errorf("the Deployment was changed %d times for new credentials", deployment.Generation-before)
	}
}

func TestAppConfigRollsEveryUserOnce(t *testing.T) {
	t.Parallel()

	w := newApplications(t)
	w.createUsers(t)
	w.create(t, newAppConfig())
	w.create(t, newWebApp(func(s *caretakerappsv1.WebAppSpec) { s.ConfigRef = &caretakerappsv1.ConfigReference{Name: "shop"} }))
	w.settle(t)
	w.wantReady(t)

	first := w.generations(t)

	for name, generation := range first {
		if generation != 1 {
			t.Errorf("%s was restarted by the first version", name)
		}
	}

	deployment, config := &appsv1.Deployment{}, &configv1.AppConfig{}
	w.get(t, "shop", deployment)
	before := deployment.Generation

	changed(t, w, "shop", config, func(c *configv1.AppConfig) { c.Spec.Config["LOG_LEVEL"] = "debug" })
	w.settle(t)
	w.settle(t)

	for name, generation := range w.generations(t) {
		if want := first[name] + 1; name != "other" && generation != want || name == "other" && generation != 1 {
			t.Errorf("%s is at generation %d after one change", name, generation)
		}
	}

	w.get(t, "shop", deployment)

	if deployment.Generation != before+1 {
		t.Errorf("the WebApp's Deployment was changed %d times", deployment.Generation-before)
	}

	// A template that fails changes nothing, and says where.
	changed(t, w, "shop", config, func(c *configv1.AppConfig) { c.Spec.Config["URL"] = "\n{{ .Config.NOPE }}{{ oops }}" })
	before, unchanged := deployment.Generation, w.generations(t)
	w.settle(t)
	w.get(t, "shop", config)

	stalled := meta.FindStatusCondition(config.Status.Conditions, "Stalled")
	if stalled == nil || !strings.Contains(stalled.Message, "spec.config.URL: line 2, column 19: function \"oops\" not defined") || !strings.Contains(stalled.Message, "version 2 stays in use") {
		t.Errorf("a template that fails: %+v", stalled)
	}

	configMap := &corev1.ConfigMap{}
	w.get(t, "shop-config", configMap)

	if configMap.Data["LOG_LEVEL"] != "debug" || configMap.Data["URL"] != fmt.Sprintf("http://shop.%s.svc", w.namespace) || fmt.Sprint(unchanged) != fmt.Sprint(w.generations(t)) {
		t.Errorf("a template that fails changed something: %v", configMap.Data)
	}

	// Rolling back works even so, and restarts once.
	changed(t, w, "shop", config, func(c *configv1.AppConfig) { c.Spec.RollbackTo = new(int64(1)) })
	w.settle(t)
	w.get(t, "shop-config", configMap)
	w.get(t, "shop", config)
	w.get(t, "shop", deployment)

	if configMap.Data["LOG_LEVEL"] != "info" || config.Status.Version != 1 || deployment.Generation != before+1 {
		t.Errorf("rolled back: %v, version %d, %d changes of the Deployment", configMap.Data, config.Status.Version, deployment.Generation-before)
	}

	// And forward again, for as long as nothing else is wanted.
	changed(t, w, "shop", config, func(c *configv1.AppConfig) {
		c.Spec.RollbackTo, c.Spec.Config["URL"] = nil, "http://{{ .Application }}.{{ .Namespace }}.svc"
	})
	w.settle(t)
	w.get(t, "shop-config", configMap)
	w.get(t, "shop", config)

	if configMap.Data["LOG_LEVEL"] != "debug" || config.Status.Version != 2 {
		t.Errorf("without rollbackTo: %v, version %d", configMap.Data, config.Status.Version)
	}
}

func TestAppConfigSecrets(t *testing.T) {
	t.Parallel()

	w := newApplications(t)
	w.create(t, newAppConfig(func(s *configv1.AppConfigSpec) {
		s.Config["DSN"] = "app:{{ .Secrets.password }}@db"
		s.SecretRefs = []configv1.SecretReference{{Name: "password", SecretName: "db", Key: "password"}}
	}))
	w.settle(t)

	config := &configv1.AppConfig{}
	w.get(t, "shop", config)

	if c := meta.FindStatusCondition(config.Status.Conditions, "Stalled"); c == nil || !strings.Contains(c.Message, "the Secret db does not exist") {
		t.Errorf("without its Secret: %+v", c)
	}

	w.create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "db"}, StringData: map[string]string{"password": "s3cret"}})
	w.settle(t)
	w.wantReady(t)

	configMap, secret := &corev1.ConfigMap{}, &corev1.Secret{}
	w.get(t, "shop-config", configMap)
	w.get(t, "shop-config", secret)

	if string(secret.Data["DSN"]) != "app:s3cret@db" || configMap.Data["DSN"] != "" || configMap.Data["LOG_LEVEL"] != "info" {
		t.Errorf("ConfigMap %v, Secret has %d keys", configMap.Data, len(secret.Data))
	}
}

// TestApplicationsCrashAfterEveryWrite kills the controllers after each single write of each of these scenarios.
func TestApplicationsCrashAfterEveryWrite(t *testing.T) {
	t.Parallel()

	both := func(t *testing.T) *applications {
		t.Helper()

		w := newApplications(t)
		w.createUsers(t)
		w.create(t, newAppConfig())
		w.create(t, newWebApp(func(s *caretakerappsv1.WebAppSpec) { s.ConfigRef = &caretakerappsv1.ConfigReference{Name: "shop"} }))

		return w
	}

	for name, start := range map[string]func(*testing.T) *applications{
		"create": both,
		"change the configuration": func(t *testing.T) *applications {
			t.Helper()

			w := both(t)
			w.settle(t)
			changed(t, w, "shop", &configv1.AppConfig{}, func(c *configv1.AppConfig) { c.Spec.Config["LOG_LEVEL"] = "debug" })

			return w
		},
		"another image, an ingress, one pod": func(t *testing.T) *applications {
			t.Helper()

			w := both(t)
			w.settle(t)
			changed(t, w, "shop", &caretakerappsv1.WebApp{}, func(a *caretakerappsv1.WebApp) {
				a.Spec.Image, a.Spec.Ingress = "nginx:1.22", &caretakerappsv1.Ingress{Host: "shop.example.org"}
				a.Spec.NetworkPolicy = &caretakerappsv1.NetworkPolicy{Enabled: new(false)}
				a.Spec.Replicas = 1
			})

			return w
		},
		"an autoscaler takes over": func(t *testing.T) *applications {
			t.Helper()

			w := newApplications(t)
			w.create(t, newWebApp(func(s *caretakerappsv1.WebAppSpec) { s.Replicas = 3 }))
			w.settle(t)
			changed(t, w, "shop", &caretakerappsv1.WebApp{}, func(a *caretakerappsv1.WebApp) {
				a.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}
				a.Spec.Autoscaling = &caretakerappsv1.Autoscaling{MinReplicas: new(int32(1)), MaxReplicas: 9}
			})

			return w
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			crash.AfterEveryWrite(t, func(t *testing.T) crash.World {
				t.Helper()

				return start(t)
			})
		})
	}
}
