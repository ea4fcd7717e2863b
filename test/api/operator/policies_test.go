package operator

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	caretakerappsv1 "github.com/caretaker-dev/caretaker/api/apps/v1"
)

// installPolicies makes what the chart has for the admission of WebApps.
func installPolicies(t *testing.T, c client.Client) {
	t.Helper()

	installTemplates(t, c, "caretaker",
		"--namespace", "policies", "--show-only", "templates/webapp-policies.yaml",
		"--set", "webAppPolicy.approvedRegistries={registry.company.com}", "--set", "webAppPolicy.maxProductionReplicas=5",
		"--api-versions", "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy")
}

// TestWebAppPolicies sends WebApps to a real API server that has nothing but the chart's policies: no operator runs.
func TestWebAppPolicies(t *testing.T) {
	server := suite.Server(t)
	installPolicies(t, server.Client)

	plain, production := server.Namespace(t), server.Namespace(t)

	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: production}}
	label := []byte(`{"metadata":{"labels":{"caretaker.dev/environment":"production"}}}`)

	if err := server.Client.Patch(t.Context(), namespace, client.RawPatch("application/merge-patch+json", label)); err != nil {
		t.Fatal(err)
	}

	number := 0
	webApp := func(namespace string, change ...func(*caretakerappsv1.WebAppSpec)) *caretakerappsv1.WebApp {
		number++
		app := &caretakerappsv1.WebApp{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("app-%d", number)}}
		app.Spec.Replicas, app.Spec.Image = 2, "registry.company.com/shop:1"
		app.Spec.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")}

		for _, c := range change {
			c(&app.Spec)
		}

		return app
	}

	elsewhere := func(s *caretakerappsv1.WebAppSpec) { s.Image = "registry.company.com.example.org/shop:1" }
	many := func(s *caretakerappsv1.WebAppSpec) { s.Replicas = 6 }
	unlimited := func(s *caretakerappsv1.WebAppSpec) { s.Resources.Limits = nil }
	scaling := func(s *caretakerappsv1.WebAppSpec) {
		s.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m")}
		s.Autoscaling = &caretakerappsv1.Autoscaling{MaxReplicas: 6}
	}

	// The API server takes a moment to heed new policies.
	eventually(t, 30*time.Second, "the policies should be in force", func() error {
		if err := server.Client.Create(t.Context(), webApp(plain, elsewhere)); err == nil {
			return errors.New("an image from elsewhere is taken")
		}

		app := webApp(plain)
		if err := server.Client.Create(t.Context(), app); err != nil || app.Labels["managed-by"] == "" {
			return fmt.Errorf("labels are %v, %w", app.Labels, err)
		}

		return nil
	})

	for name, tc := range map[string]struct {
		app  *caretakerappsv1.WebApp
		want string
	}{
		"image from elsewhere":         {webApp(plain, elsewhere), "images must come from approved registry; spec.image must begin with registry.company.com/"},
		"many replicas":                {webApp(plain, many), ""},
		"many replicas in production":  {webApp(production, many), "production workloads cannot exceed 5 replicas"},
		"scaled to many in production": {webApp(production, scaling), "production workloads cannot exceed 5 replicas; lower spec.autoscaling.maxReplicas"},
		"no limits":                    {webApp(plain, unlimited), ""},
		"no limits in production":      {webApp(production, unlimited), "resource limits required in production"},
		"all is well in production":    {webApp(production), ""},
	} {
		err := server.Client.Create(t.Context(), tc.app)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}

	app := webApp(production)
	app.Labels = map[string]string{"version": "v2"}

	if err := server.Client.Create(t.Context(), app); err != nil {
		t.Fatal(err)
	}

	if app.Labels["managed-by"] != "caretaker" || app.Labels["version"] != "v2" {
		t.Errorf("labels are %v", app.Labels)
	}

	if c := app.Spec.SecurityContext; c == nil || c.RunAsNonRoot == nil || !*c.RunAsNonRoot || *c.RunAsUser != 1000 || *c.AllowPrivilegeEscalation ||
		c.Capabilities == nil || len(c.Capabilities.Drop) != 1 {
		t.Errorf("in production, the security context is %+v", c)
	}

	// kubectl scale goes another way.
	scale := &unstructured.Unstructured{Object: map[string]any{}}

	err := server.Client.SubResource("scale").Patch(t.Context(), app,
		client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"replicas":6}}`)), &client.SubResourcePatchOptions{SubResourceBody: scale})
	if err == nil || !strings.Contains(err.Error(), "production workloads cannot exceed 5 replicas") {
		t.Errorf("scaled past the ceiling: %v", err)
	}
}
