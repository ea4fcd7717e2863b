package build_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	v1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/diff"
	"github.com/caretaker-dev/caretaker/internal/webapp/build"
)

var update = flag.Bool("update", false, "write the golden files anew")

func minimal(change ...func(*build.Input)) build.Input {
	in := build.Input{WebApp: &v1.WebApp{
		ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: "apps", UID: "uid-of-shop"},
		Spec:       v1.WebAppSpec{Replicas: 1, Image: "nginx:1.21", Port: 80},
	}}
	for _, c := range change {
		c(&in)
	}

	return in
}

func everything(in *build.Input) {
	in.Config = &build.Config{ConfigMap: "shop-config", Secret: "shop-config"}
	in.Database = &build.Database{Secret: "db-app", Hash: "0123456789abcdef"}
	in.WebApp.Spec = v1.WebAppSpec{
		Replicas: 3, Image: "registry.example.org/shop:2", Port: 8080, ImagePullPolicy: corev1.PullAlways,
		ImagePullSecrets: []v1.LocalObjectReference{{Name: "registry"}},
		Command:          []string{"/shop"}, Args: []string{"--verbose"},
		Env:       []corev1.EnvVar{{Name: "LOG_LEVEL", Value: "info"}, {Name: "DATABASE_NAME", Value: "mine"}},
		EnvFrom:   []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "extra"}}}},
		ConfigRef: &v1.ConfigReference{Name: "shop", MountPath: "/etc/shop"},
		Database: &v1.DatabaseConnection{
			Ref: v1.DatabaseReference{Kind: "Cluster", Name: "db"}, EnvPrefix: "DATABASE", MountPath: "/var/run/secrets/caretaker.dev/database",
		},
		Resources:       corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}},
		SecurityContext: &corev1.SecurityContext{RunAsNonRoot: new(true)},
		Probes:          &v1.Probes{Liveness: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"/alive"}}}}},
		Ingress:         &v1.Ingress{Host: "shop.example.org", TLSSecretName: "shop-tls", ClassName: "nginx", Annotations: map[string]string{"a": "b"}},
		InheritedMetadata: &v1.EmbeddedMetadata{
			Labels: map[string]string{"platform": "shop"}, Annotations: map[string]string{"team": "web"},
		},
		ServiceAccountName: "shop",
	}
}

// Read the golden files as what users find in their cluster; write them anew with -update.
func TestGolden(t *testing.T) {
	t.Parallel()

	for name, in := range map[string]build.Input{
		"minimal":    minimal(),
		"everything": minimal(everything),
		"autoscaled": minimal(everything, func(in *build.Input) {
			in.WebApp.Spec.Autoscaling = &v1.Autoscaling{MinReplicas: new(int32(2)), MaxReplicas: 20}
			in.WebApp.Spec.Ingress, in.WebApp.Spec.Route = nil, &v1.Route{Host: "shop.example.org", Gateway: v1.GatewayReference{Name: "public", Namespace: "gateways"}}
			in.WebApp.Spec.NetworkPolicy = &v1.NetworkPolicy{Enabled: new(false)}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			var got bytes.Buffer

			for _, object := range build.Routed(in) {
				u, err := diff.Unstructured(object)
				if err != nil {
					t.Fatal(err)
				}

				encoded, err := yaml.Marshal(u.Object)
				if err != nil {
					t.Fatal(err)
				}

				got.WriteString("---\n")
				got.Write(encoded)
			}

			file := filepath.Join("testdata", name+".yaml")

			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}

			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("objects (-golden +now):\n%s", diff)
			}
		})
	}
}

func TestDatabaseOf(t *testing.T) {
	t.Parallel()

	for secret, want := range map[string]string{"db-app": "db", "my-app-app": "my-app", "db": "", "-app": ""} {
		if got := build.DatabaseOf(secret); got != want {
			t.Errorf("%s is the connection of %q, want %q", secret, got, want)
		}
	}
}
