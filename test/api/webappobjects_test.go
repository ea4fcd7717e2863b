package api

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	caretakerappsv1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	"github.com/caretaker-dev/caretaker/internal/webapp/build"
)

// exists says whether there is an object of this kind and name; it is read into the object.
func (w *applications) exists(t *testing.T, name string, object client.Object) bool {
	t.Helper()

	err := w.server.Client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, object)
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}

	return err == nil
}

func (w *applications) patch(t *testing.T, object client.Object, patch string) {
	t.Helper()

	if err := w.server.Client.Patch(t.Context(), object, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		t.Fatalf("patch %T: %v", object, err)
	}
}

// TestWebAppAutoscaling: the autoscaler has the replicas from the moment on that it is asked for, and what it does with
// them stays.
func TestWebAppAutoscaling(t *testing.T) {
	t.Parallel()

	w := newApplications(t)
	w.create(t, newWebApp(func(s *caretakerappsv1.WebAppSpec) {
		s.Replicas = 3
		s.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}
	}))
	w.settle(t)

	deployment, scaler := &appsv1.Deployment{}, &autoscalingv2.HorizontalPodAutoscaler{}
	replicas := func(when string, want int32) {
		t.Helper()
		w.get(t, "shop", deployment)

		if *deployment.Spec.Replicas != want {
			t.Errorf("%s: %d replicas, want %d", when, *deployment.Spec.Replicas, want)
		}
	}

	changed(t, w, "shop", &caretakerappsv1.WebApp{}, func(a *caretakerappsv1.WebApp) {
		a.Spec.Autoscaling = &caretakerappsv1.Autoscaling{MinReplicas: new(int32(2)), MaxReplicas: 8, TargetCPU: new(int32(75))}
	})
	w.settle(t)
	w.wantReady(t)
	replicas("once there is an autoscaler", 3)
	w.get(t, "shop", scaler)

	target := scaler.Spec.ScaleTargetRef
	if *scaler.Spec.MinReplicas != 2 || scaler.Spec.MaxReplicas != 8 || target.Kind != "Deployment" || target.Name != "shop" ||
		len(scaler.Spec.Metrics) != 1 || *scaler.Spec.Metrics[0].Resource.Target.AverageUtilization != 75 {
		t.Errorf("the autoscaler is %+v", scaler.Spec)
	}

	// What the autoscaler does.
	w.patch(t, deployment, `{"spec":{"replicas":6}}`)
	changed(t, w, "shop", &caretakerappsv1.WebApp{}, func(a *caretakerappsv1.WebApp) { a.Spec.Image = "nginx:1.22" })
	w.settle(t)
	replicas("after it has scaled up, and another image", 6)

	if got := deployment.Spec.Template.Spec.Containers[0].Image; got != "nginx:1.22" {
		t.Errorf("the image is %s", got)
	}

	w.patch(t, scaler, `{"spec":{"maxReplicas":100}}`)
	w.settle(t)
	w.get(t, "shop", scaler)

	if scaler.Spec.MaxReplicas != 8 {
		t.Errorf("the autoscaler was changed by hand, and stays so: at most %d", scaler.Spec.MaxReplicas)
	}

	changed(t, w, "shop", &caretakerappsv1.WebApp{}, func(a *caretakerappsv1.WebApp) { a.Spec.Autoscaling = nil })
	w.settle(t)
	w.wantReady(t)
	replicas("without an autoscaler", 3)

	if w.exists(t, "shop", scaler) {
		t.Error("the autoscaler is there still")
	}
}

// TestWebAppIngress: it is made, put right, and taken away.
func TestWebAppIngress(t *testing.T) {
	t.Parallel()

	w := newApplications(t)
	w.create(t, newWebApp(func(s *caretakerappsv1.WebAppSpec) {
		s.Ingress = &caretakerappsv1.Ingress{
			Host: "shop.example.org", Path: "/buy", ClassName: "nginx", TLSSecretName: "shop-tls", Annotations: map[string]string{"example.org/a": "b"},
		}
	}))
	w.settle(t)
	w.wantReady(t)

	app := &caretakerappsv1.WebApp{}
	w.get(t, "shop", app)

	if app.Status.URL != "https://shop.example.org/buy" {
		t.Errorf("the url is %s", app.Status.URL)
	}

	right := func(when string) *networkingv1.Ingress {
		t.Helper()

		ingress := &networkingv1.Ingress{}
		w.get(t, "shop", ingress)

		rules := ingress.Spec.Rules
		if len(rules) != 1 || rules[0].Host != "shop.example.org" || len(rules[0].HTTP.Paths) != 1 || rules[0].HTTP.Paths[0].Path != "/buy" ||
			rules[0].HTTP.Paths[0].Backend.Service.Name != "shop" || *ingress.Spec.IngressClassName != "nginx" ||
			len(ingress.Spec.TLS) != 1 || ingress.Spec.TLS[0].SecretName != "shop-tls" || ingress.Annotations["example.org/a"] != "b" {
			t.Errorf("%s: %+v", when, ingress.Spec)
		}

		return ingress
	}

	ingress := right("made")

	w.patch(t, ingress, `{"spec":{"rules":[{"host":"elsewhere.example.org"}],"tls":null}}`)
	w.settle(t)
	ingress = right("changed by hand")

	if err := w.server.Client.Delete(t.Context(), ingress); err != nil {
		t.Fatal(err)
	}

	w.settle(t)
	right("deleted by hand")

	changed(t, w, "shop", app, func(a *caretakerappsv1.WebApp) { a.Spec.Ingress = nil })
	w.settle(t)

	if w.exists(t, "shop", ingress) {
		t.Error("it stays, though it is not asked for any more")
	}
}

// TestWebAppRoute: where the Gateway API is not installed the WebApp says so and is ready all the same; once it is, the
// HTTPRoute is made, put right, and taken away, and what the gateway says of it is told.
func TestWebAppRoute(t *testing.T) {
	w := newApplications(t)
	w.create(t, newWebApp(func(s *caretakerappsv1.WebAppSpec) {
		s.Route = &caretakerappsv1.Route{Host: "shop.example.org", Gateway: caretakerappsv1.GatewayReference{Name: "public", Namespace: "gateways"}}
	}))
	w.settle(t)
	w.wantReady(t)
	w.wantRouted(t, metav1.ConditionFalse, caretakerappsv1.ReasonGatewayAPINotFound)

	installKind(t, w.server, "testdata/httproutes.yaml", build.HTTPRouteGVK())
	w.settle(t)
	w.wantReady(t)
	w.wantRouted(t, metav1.ConditionFalse, caretakerappsv1.ReasonNotAcceptedYet)

	right := func(when string) *unstructured.Unstructured {
		t.Helper()

		route := newRoute()
		w.get(t, "shop", route)

		hosts, _, _ := unstructured.NestedStringSlice(route.Object, "spec", "hostnames")
		parents, _, _ := unstructured.NestedSlice(route.Object, "spec", "parentRefs")

		parent := map[string]any{}
		if len(parents) == 1 {
			parent, _ = parents[0].(map[string]any)
		}

		if len(hosts) != 1 || hosts[0] != "shop.example.org" || parent["name"] != "public" || parent["namespace"] != "gateways" {
			t.Errorf("%s: %v", when, route.Object["spec"])
		}

		return route
	}

	route := right("made")

	for status, reason := range map[metav1.ConditionStatus]string{
		metav1.ConditionFalse: caretakerappsv1.ReasonRefused, metav1.ConditionTrue: caretakerappsv1.ReasonRouted,
	} {
		told := []any{map[string]any{"conditions": []any{map[string]any{"type": "Accepted", "status": string(status), "message": "so says the gateway"}}}}
		if err := unstructured.SetNestedSlice(route.Object, told, "status", "parents"); err != nil {
			t.Fatal(err)
		}

		if err := w.server.Client.Status().Update(t.Context(), route); err != nil {
			t.Fatal(err)
		}

		w.settle(t)
		w.wantRouted(t, status, reason)
	}

	w.patch(t, route, `{"spec":{"hostnames":["elsewhere.example.org"]}}`)
	w.settle(t)
	right("changed by hand")

	if err := w.server.Client.Delete(t.Context(), route); err != nil {
		t.Fatal(err)
	}

	w.settle(t)
	right("deleted by hand")

	changed(t, w, "shop", &caretakerappsv1.WebApp{}, func(a *caretakerappsv1.WebApp) { a.Spec.Route = nil })
	w.settle(t)

	if w.exists(t, "shop", newRoute()) {
		t.Error("it stays, though it is not asked for any more")
	}
}

func newRoute() *unstructured.Unstructured {
	route := &unstructured.Unstructured{}
	route.SetGroupVersionKind(build.HTTPRouteGVK())

	return route
}

func (w *applications) wantRouted(t *testing.T, status metav1.ConditionStatus, reason string) {
	t.Helper()

	app := &caretakerappsv1.WebApp{}
	w.get(t, "shop", app)

	got := meta.FindStatusCondition(app.Status.Conditions, caretakerappsv1.ConditionRouted)
	if got == nil || got.Status != status || got.Reason != reason {
		t.Errorf("the condition is %+v, want %s for %s", got, status, reason)
	}
}
