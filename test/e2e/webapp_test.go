package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	caretakerappsv1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	configv1 "github.com/caretaker-dev/caretaker/api/config/v1"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// driftTimeout is how long what was changed by hand may stay so. The promise is 2 s, on a machine that does nothing else; the
// log says how long it was.
const driftTimeout = 10 * time.Second

// soon waits for what the operator does within moments.
func soon(t *testing.T, what string, done func(ctx context.Context) error) {
	t.Helper()

	began := time.Now()

	kube.Eventually(t, driftTimeout, what, done)
	t.Logf("%s, after %.1f s", what, time.Since(began).Seconds())
}

// webAppTest is a WebApp "web" of nginx with an AppConfig "web".
type webAppTest struct {
	*fixture

	config *configv1.AppConfig
	app    *caretakerappsv1.WebApp
}

// TestWebApp takes a WebApp of nginx through what its users do with it.
func TestWebApp(t *testing.T) {
	t.Parallel()

	image := nginxImage(t)

	w := &webAppTest{fixture: newFixture(t, "webapp")}
	in := metav1.ObjectMeta{Namespace: w.namespace, Name: "web"}
	w.config = &configv1.AppConfig{ObjectMeta: in, Spec: configv1.AppConfigSpec{
		Application: "web", Environment: "prod",
		Config: map[string]configv1.ConfigValue{"GREETING": "from {{ .Namespace }}"},
	}}
	w.app = &caretakerappsv1.WebApp{ObjectMeta: in, Spec: caretakerappsv1.WebAppSpec{
		Replicas: 2, Image: image, Port: 8080, ConfigRef: &caretakerappsv1.ConfigReference{Name: "web"},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("16Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")},
		},
		SecurityContext: &corev1.SecurityContext{
			RunAsNonRoot: new(true), RunAsUser: new(int64(101)), AllowPrivilegeEscalation: new(false),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}}

	step(t, w, "it waits for its configuration and says so", webAppWaits)
	step(t, w, "it serves", webAppServes)
	step(t, w, "it is scaled as kubectl scale does", webAppScales)
	step(t, w, "what is changed by hand is put right", webAppDrift)
	step(t, w, "a new configuration reaches every pod, and no request fails", webAppRolls)
	step(t, w, "an earlier configuration comes back", webAppRollsBack)
	step(t, w, "requests from outside are led to it", webAppIngress)
	step(t, w, "a wrong image is named, and what serves goes on", webAppWrongImage)
	step(t, w, "an autoscaler has the replicas to itself", webAppAutoscales)
	step(t, w, "it goes with all that belongs to it", webAppGoes)
}

// nginxImage is of an nginx that runs as any user, and listens on 80 and 8080.
func nginxImage(t *testing.T) string {
	t.Helper()

	image := env("CARETAKER_NGINX_IMAGE", "caretaker.local/nginx:1.26")
	if image == "" {
		t.Skip("CARETAKER_NGINX_IMAGE is empty: there is no nginx to test with")
	}

	return image
}

// TestWebAppsOfTheDocuments applies the documents' WebApps, with an image that can be had here, and does with them what the
// documents do.
func TestWebAppsOfTheDocuments(t *testing.T) {
	t.Parallel()

	image := nginxImage(t)
	f := newFixture(t, "webapps")

	// They set no security context, which is nothing for a restricted namespace.
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: f.namespace}}
	if err := f.Client.Patch(t.Context(), ns, client.RawPatch("application/merge-patch+json",
		[]byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"baseline"}}}`))); err != nil {
		t.Fatal(err)
	}

	for _, name := range []string{"my-webapp", "test-app", "test-webapp"} {
		f.applyDocument(t, "webapp-"+name+".yaml", fmt.Sprintf("spec: {image: %q}", image))
	}

	terminal := f.terminal(t)

	// Our kind has another group than the document's, and its Deployment is there a moment after it. One is waited for at a time:
	// kubectl wait --for=create of several gives up at once if more than one is missing.
	terminal.run(t, `
		kubectl get crd webapps.apps.caretaker.dev
		kubectl api-resources | grep webapp
		kubectl get webapps
		kubectl describe webapp my-webapp
		kubectl wait --for=create deployment/my-webapp --timeout=60s
		kubectl wait --for=create deployment/test-app --timeout=60s
		kubectl wait --for=create deployment/test-webapp --timeout=60s`)

	// The document's integration test.
	terminal.run(t, `
		kubectl wait --for=condition=Available deployment/test-webapp --timeout=300s
		kubectl get service test-webapp
		kubectl patch webapp test-webapp --type='merge' -p='{"spec":{"replicas":3}}'
		kubectl wait --for=jsonpath='{.spec.replicas}'=3 deployment/test-webapp --timeout=300s
		kubectl wait --for=condition=Ready webapp/my-webapp webapp/test-app webapp/test-webapp --timeout=300s`)

	for name, replicas := range map[string]int32{"my-webapp": 3, "test-app": 2, "test-webapp": 3} {
		content, err := f.Clientset.CoreV1().Services(f.namespace).ProxyGet("http", name, "80", "/", nil).DoRaw(t.Context())
		if err != nil || !strings.Contains(string(content), "nginx") {
			t.Errorf("%s answers %q: %v", name, content, err)
		}

		app := &caretakerappsv1.WebApp{}
		if err := f.Client.Get(t.Context(), client.ObjectKey{Namespace: f.namespace, Name: name}, app); err != nil || app.Status.ReadyReplicas != replicas {
			t.Errorf("%s has %d ready replicas (%v), want %d", name, app.Status.ReadyReplicas, err, replicas)
		}
	}

	terminal.run(t, `
		kubectl delete webapp test-webapp
		kubectl wait --for=delete deployment/test-webapp --timeout=300s`)
}

// told waits for the WebApp to say something of its current spec.
func (w *webAppTest) told(t *testing.T, kind, reason, message string) {
	t.Helper()
	kube.Eventually(t, readyTimeout, kind+" "+reason, func(ctx context.Context) error {
		if err := w.Client.Get(ctx, client.ObjectKeyFromObject(w.app), w.app); err != nil {
			return err
		}

		is := meta.FindStatusCondition(w.app.Status.Conditions, kind)
		if is == nil || is.Status != metav1.ConditionTrue || is.ObservedGeneration != w.app.Generation ||
			reason != "" && is.Reason != reason || !strings.Contains(is.Message, message) {
			return fmt.Errorf("phase %s, conditions %+v", w.app.Status.Phase, w.app.Status.Conditions)
		}

		return nil
	})
}

func (w *webAppTest) ready(t *testing.T) {
	t.Helper()
	w.told(t, caretakerappsv1.ConditionReady, "", fmt.Sprintf("%d of %d replicas ready", w.app.Spec.Replicas, w.app.Spec.Replicas))
}

// patch the WebApp, or its configuration, as `kubectl patch --type=merge` does.
func (w *webAppTest) patch(t *testing.T, object client.Object, patch string) {
	t.Helper()

	if err := w.Client.Patch(t.Context(), object, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		t.Fatalf("patch %s: %v", patch, err)
	}
}

// page that the Service gives.
func (w *webAppTest) page(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()

	content, err := w.Clientset.CoreV1().Services(w.namespace).ProxyGet("http", "web", "8080", "/", nil).DoRaw(ctx)
	if err == nil && !strings.Contains(string(content), "nginx") {
		err = fmt.Errorf("the page is %q", content)
	}

	return err
}

// webPods are the pods that have not been told to stop.
func (w *webAppTest) webPods(t *testing.T) []corev1.Pod {
	t.Helper()

	list := &corev1.PodList{}
	if err := w.Client.List(t.Context(), list, client.InNamespace(w.namespace), client.MatchingLabels{"app": "web"}); err != nil {
		t.Fatal(err)
	}

	var pods []corev1.Pod

	for _, pod := range list.Items {
		if pod.DeletionTimestamp == nil {
			pods = append(pods, pod)
		}
	}

	return pods
}

func webAppWaits(t *testing.T, w *webAppTest) {
	t.Helper()
	w.create(t, w.app)
	w.told(t, caretakerappsv1.ConditionReconciling, caretakerappsv1.ReasonWaitingForConfig, "the AppConfig web")

	if pods := w.webPods(t); len(pods) > 0 || w.app.Status.Phase != caretakerappsv1.PhasePending {
		t.Errorf("%d pods, phase %s before there is a configuration", len(pods), w.app.Status.Phase)
	}
}

func webAppServes(t *testing.T, w *webAppTest) {
	t.Helper()
	w.create(t, w.config)
	w.ready(t)

	if want := "http://web." + w.namespace + ".svc:8080"; w.app.Status.Phase != caretakerappsv1.PhaseRunning || w.app.Status.URL != want {
		t.Errorf("phase %s, url %s, want %s", w.app.Status.Phase, w.app.Status.URL, want)
	}

	if err := w.page(t.Context()); err != nil {
		t.Errorf("Ready, and the Service does not answer: %v", err)
	}

	w.greeting(t, "from "+w.namespace)
}

// greeting is what every pod has of the configuration.
func (w *webAppTest) greeting(t *testing.T, want string) {
	t.Helper()

	pods := w.webPods(t)
	if len(pods) != int(w.app.Spec.Replicas) {
		t.Errorf("%d pods, want %d", len(pods), w.app.Spec.Replicas)
	}

	for _, pod := range pods {
		got, err := w.Exec(t.Context(), kube.Container{Namespace: w.namespace, Pod: pod.Name, Container: "webapp"}, "sh", "-c", `echo "$GREETING"`)
		if err != nil || got != want {
			t.Errorf("%s has %q (%v), want %q", pod.Name, got, err, want)
		}
	}
}

func webAppScales(t *testing.T, w *webAppTest) {
	t.Helper()

	before := w.webPods(t)

	// The subresource that `kubectl scale webapp web --replicas=3` writes to.
	err := w.Client.SubResource("scale").Patch(t.Context(), w.app,
		client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"replicas":3}}`)), client.WithSubResourceBody(&autoscalingv1.Scale{}))
	if err != nil {
		t.Fatalf("scale: %v", err)
	}

	if err := w.Client.Get(t.Context(), client.ObjectKeyFromObject(w.app), w.app); err != nil || w.app.Spec.Replicas != 3 {
		t.Fatalf("%d replicas: %v", w.app.Spec.Replicas, err)
	}

	w.ready(t)

	nodes := map[string]bool{}
	there := map[string]bool{}

	for _, pod := range w.webPods(t) {
		nodes[pod.Spec.NodeName], there[pod.Name] = true, true
	}

	if len(nodes) < 2 {
		t.Errorf("all pods are on %v", nodes)
	}

	for _, pod := range before {
		if !there[pod.Name] {
			t.Errorf("%s was replaced when it was scaled up", pod.Name)
		}
	}
}

func webAppDrift(t *testing.T, w *webAppTest) {
	t.Helper()

	in := metav1.ObjectMeta{Namespace: w.namespace, Name: "web"}
	before := w.webPods(t)

	for _, object := range []client.Object{
		&corev1.Service{ObjectMeta: in}, &networkingv1.NetworkPolicy{ObjectMeta: in}, &policyv1.PodDisruptionBudget{ObjectMeta: in},
	} {
		if err := w.Client.Delete(t.Context(), object); err != nil {
			t.Fatalf("delete %T: %v", object, err)
		}

		soon(t, fmt.Sprintf("%T is made again", object), func(ctx context.Context) error {
			return w.Client.Get(ctx, client.ObjectKeyFromObject(object), object)
		})
	}

	soon(t, "the Service answers again", w.page)

	service := &corev1.Service{ObjectMeta: in}
	w.patch(t, service, `{"spec":{"selector":{"app":"somebody-else"}}}`)
	soon(t, "the Service selects the pods again", func(ctx context.Context) error {
		if err := w.Client.Get(ctx, client.ObjectKeyFromObject(service), service); err != nil {
			return err
		}

		if service.Spec.Selector["app"] != "web" {
			return fmt.Errorf("it selects %v", service.Spec.Selector)
		}

		return w.page(ctx)
	})
	w.ready(t)

	if after := w.webPods(t); len(after) != len(before) {
		t.Errorf("%d pods, and %d before", len(after), len(before))
	}
}

func webAppRolls(t *testing.T, w *webAppTest) {
	t.Helper()

	before := w.revision(t)
	failed, stop := w.ask(t)

	w.patch(t, w.config, `{"spec":{"config":{"GREETING":"changed in {{ .Namespace }}"}}}`)
	w.replaced(t, before)
	stop()

	if errs := failed(); len(errs) > 0 {
		t.Errorf("%d requests failed while the pods were replaced: %v", len(errs), errors.Join(errs...))
	}

	w.greeting(t, "changed in "+w.namespace)

	sets := &appsv1.ReplicaSetList{}
	if err := w.Client.List(t.Context(), sets, client.InNamespace(w.namespace)); err != nil || len(sets.Items) != 2 {
		t.Errorf("%d ReplicaSets after one change of the configuration, want 2: %v", len(sets.Items), err)
	}
}

// replaced waits until every pod is of another revision than before, and ready.
func (w *webAppTest) replaced(t *testing.T, before string) {
	t.Helper()
	kube.Eventually(t, readyTimeout, "every pod has the new configuration", func(context.Context) error {
		pods := w.webPods(t)
		if len(pods) != 3 {
			return fmt.Errorf("%d pods", len(pods))
		}

		for _, pod := range pods {
			if pod.Labels["pod-template-hash"] == before {
				return fmt.Errorf("%s is of before", pod.Name)
			}
		}

		return nil
	})
	w.ready(t)
}

// webAppRollsBack: every pod has the values of before.
func webAppRollsBack(t *testing.T, w *webAppTest) {
	t.Helper()

	before := w.revision(t)
	w.patch(t, w.config, `{"spec":{"rollbackTo":1}}`)
	w.replaced(t, before)
	w.greeting(t, "from "+w.namespace)

	if err := w.Client.Get(t.Context(), client.ObjectKeyFromObject(w.config), w.config); err != nil || w.config.Status.Version != 1 {
		t.Errorf("version %d is in use (%v), want 1", w.config.Status.Version, err)
	}
}

// webAppIngress: the Ingress is made, and kept as it should be.
func webAppIngress(t *testing.T, w *webAppTest) {
	t.Helper()

	w.patch(t, w.app, `{"spec":{"ingress":{"host":"shop.example.org","className":"nginx","tlsSecretName":"shop-tls"}}}`)

	ingress := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "web"}}
	right := func(ctx context.Context) error {
		live := &networkingv1.Ingress{}
		if err := w.Client.Get(ctx, client.ObjectKeyFromObject(ingress), live); err != nil {
			return err
		}

		spec := live.Spec
		if len(spec.Rules) != 1 || spec.Rules[0].Host != "shop.example.org" || len(spec.TLS) != 1 || spec.TLS[0].SecretName != "shop-tls" || *spec.IngressClassName != "nginx" {
			return fmt.Errorf("it is %+v", spec)
		}

		backend := spec.Rules[0].HTTP.Paths[0].Backend.Service
		if backend.Name != "web" || backend.Port.Name != "http" {
			return fmt.Errorf("it leads to %+v", backend)
		}

		return nil
	}
	soon(t, "the Ingress is made", right)

	w.patch(t, ingress, `{"spec":{"rules":[{"host":"elsewhere.example.org"}],"tls":null}}`)
	soon(t, "the Ingress is put right", right)

	if err := w.Client.Delete(t.Context(), ingress); err != nil {
		t.Fatal(err)
	}

	soon(t, "the Ingress is made again", right)

	w.ready(t)

	if w.app.Status.URL != "https://shop.example.org" {
		t.Errorf("the url is %s", w.app.Status.URL)
	}

	w.patch(t, w.app, `{"spec":{"ingress":null}}`)
	soon(t, "the Ingress is gone", func(ctx context.Context) error {
		return gone(w.Client.Get(ctx, client.ObjectKeyFromObject(ingress), ingress))
	})
}

// gone is nil for the error of reading what does not exist.
func gone(err error) error {
	if err == nil {
		return errors.New("it is there still")
	}

	return client.IgnoreNotFound(err)
}

// webAppAutoscales: no pod is lost when an autoscaler takes over, and what it, or somebody in its place, has set stays.
func webAppAutoscales(t *testing.T, w *webAppTest) {
	t.Helper()

	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "web"}}
	scaler := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: deployment.ObjectMeta}
	pods := w.webPods(t)

	scaled := func(minReplicas, maxReplicas, replicas int32) {
		t.Helper()
		soon(t, "the autoscaler is as it should be", func(ctx context.Context) error {
			if err := w.Client.Get(ctx, client.ObjectKeyFromObject(scaler), scaler); err != nil {
				return err
			}

			if *scaler.Spec.MinReplicas != minReplicas || scaler.Spec.MaxReplicas != maxReplicas || scaler.Spec.ScaleTargetRef.Name != "web" {
				return fmt.Errorf("it is %+v", scaler.Spec)
			}

			return nil
		})

		// The Deployment was written, or not, before the autoscaler.
		if err := w.Client.Get(t.Context(), client.ObjectKeyFromObject(deployment), deployment); err != nil || *deployment.Spec.Replicas != replicas {
			t.Errorf("%d replicas, want %d: %v", *deployment.Spec.Replicas, replicas, err)
		}
	}

	w.patch(t, w.app, `{"spec":{"autoscaling":{"minReplicas":1,"maxReplicas":4,"targetCPU":75}}}`)
	scaled(1, 4, 3)

	if after := w.webPods(t); len(after) != len(pods) {
		t.Errorf("%d pods once there is an autoscaler, %d before", len(after), len(pods))
	}

	w.patch(t, deployment, `{"spec":{"replicas":2}}`)
	w.patch(t, w.app, `{"spec":{"autoscaling":{"minReplicas":2,"maxReplicas":5}}}`)
	scaled(2, 5, 2)

	w.patch(t, w.app, `{"spec":{"autoscaling":null}}`)
	soon(t, "the autoscaler is gone, and the number of replicas the WebApp's", func(ctx context.Context) error {
		if err := gone(w.Client.Get(ctx, client.ObjectKeyFromObject(scaler), scaler)); err != nil {
			return err
		}

		if err := w.Client.Get(ctx, client.ObjectKeyFromObject(deployment), deployment); err != nil {
			return err
		}

		if *deployment.Spec.Replicas != 3 {
			return fmt.Errorf("%d replicas", *deployment.Spec.Replicas)
		}

		return nil
	})
	w.ready(t)
}

// revision is the hash of the pods' template.
func (w *webAppTest) revision(t *testing.T) string {
	t.Helper()

	pods := w.webPods(t)
	if len(pods) == 0 {
		t.Fatal("there are no pods")
	}

	return pods[0].Labels["pod-template-hash"]
}

// ask for the page again and again from within the cluster, until stop is called. failed gives what went wrong.
func (w *webAppTest) ask(t *testing.T) (failed func() []error, stop func()) {
	t.Helper()

	ctx, cancel := context.WithCancel(t.Context())

	var (
		errs  []error
		asked int
		done  sync.WaitGroup
	)

	done.Go(func() {
		for ctx.Err() == nil {
			asked++

			if err := w.page(ctx); err != nil && ctx.Err() == nil {
				errs = append(errs, err)
			}

			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	})

	return func() []error {
			t.Logf("%d requests", asked)

			return errs
		}, func() {
			cancel()
			done.Wait()
		}
}

func webAppWrongImage(t *testing.T, w *webAppTest) {
	t.Helper()

	image := w.app.Spec.Image
	w.patch(t, w.app, fmt.Sprintf(`{"spec":{"image":%q}}`, image+".999"))
	w.told(t, caretakerappsv1.ConditionStalled, caretakerappsv1.ReasonImagePullFailed, image+".999")

	if w.app.Status.Phase != caretakerappsv1.PhaseFailed || w.app.Status.ReadyReplicas != 3 {
		t.Errorf("phase %s, %d ready", w.app.Status.Phase, w.app.Status.ReadyReplicas)
	}

	if err := w.page(t.Context()); err != nil {
		t.Errorf("a wrong image cost the pods that served: %v", err)
	}

	w.patch(t, w.app, fmt.Sprintf(`{"spec":{"image":%q}}`, image))
	w.ready(t)
}

func webAppGoes(t *testing.T, w *webAppTest) {
	t.Helper()

	if err := w.Client.Delete(t.Context(), w.app); err != nil {
		t.Fatal(err)
	}

	for _, list := range []client.ObjectList{
		&caretakerappsv1.WebAppList{}, &appsv1.DeploymentList{}, &corev1.ServiceList{}, &networkingv1.NetworkPolicyList{},
		&policyv1.PodDisruptionBudgetList{}, &corev1.PodList{},
	} {
		kube.Eventually(t, readyTimeout, fmt.Sprintf("%T is empty", list), func(ctx context.Context) error {
			if err := w.Client.List(ctx, list, client.InNamespace(w.namespace)); err != nil {
				return err
			}

			if n := meta.LenList(list); n > 0 {
				return fmt.Errorf("%d left", n)
			}

			return nil
		})
	}

	// The AppConfig is its owner's.
	if err := w.Client.Get(t.Context(), client.ObjectKeyFromObject(w.config), w.config); apierrors.IsNotFound(err) {
		t.Error("the AppConfig went with the WebApp")
	}
}
