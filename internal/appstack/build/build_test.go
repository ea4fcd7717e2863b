package build_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	v1 "github.com/caretaker-dev/caretaker/api/platform/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/appstack/build"
)

var update = flag.Bool("update", false, "write the golden files")

func smallest() build.Input {
	return build.Input{
		Stack: &v1.AppStack{
			ObjectMeta: metav1.ObjectMeta{Name: "small", Namespace: "apps", UID: "11111111-2222-3333-4444-555555555555"},
			Spec: v1.AppStackSpec{
				Database: &v1.DatabaseSpec{}, Cache: &v1.CacheSpec{}, Config: map[string]string{"A": "1"},
				Backend: &v1.WorkloadSpec{Image: "backend:1"}, Frontend: &v1.WorkloadSpec{Image: "frontend:1"},
				Ingress: &v1.IngressSpec{Host: "small.example.com"}, Monitoring: &v1.MonitoringSpec{},
			},
		},
		CacheImage: "valkey:8", CachePassword: "secret",
	}
}

func fullest() build.Input {
	in := smallest()
	in.Stack.Name = "full"
	in.Storage = "20Gi"
	in.Stack.Spec = v1.AppStackSpec{
		Environment: v1.Production,
		Database:    &v1.DatabaseSpec{Type: v1.MySQL, Version: "9.7", Storage: "10Gi", Replicas: new(int32(3))},
		Cache:       &v1.CacheSpec{Image: "redis:7"},
		Config:      map[string]string{"A": "{{ .Environment }}"},
		Backend: &v1.WorkloadSpec{
			Image: "backend:1", Replicas: new(int32(3)), Port: 9000,
			Env: []corev1.EnvVar{{Name: "CACHE_HOST", Value: "mine"}, {Name: "OWN", Value: "1"}},
		},
		Frontend:          &v1.WorkloadSpec{Image: "frontend:1", Port: 80},
		Ingress:           &v1.IngressSpec{Host: "full.example.com", ClassName: "own", Annotations: map[string]string{"a": "b"}, TLS: &v1.IngressTLS{}},
		Monitoring:        &v1.MonitoringSpec{Path: "/m"},
		InheritedMetadata: &v1.EmbeddedMetadata{Labels: map[string]string{"platform": "full"}, Annotations: map[string]string{"team": "shop"}},
	}

	return in
}

func TestObjectsAreAsTheGoldenFilesSay(t *testing.T) {
	t.Parallel()

	for name, in := range map[string]build.Input{"smallest": smallest(), "fullest": fullest()} {
		objects := []owned.Object{build.DatabaseObject(in)}
		objects = append(objects, build.CacheObjects(in)...)

		if policy := build.CacheNetworkPolicy(in); policy != nil {
			objects = append(objects, policy)
		}

		objects = append(objects, build.ConfigObject(in), build.BackendObject(in), build.FrontendObject(in), build.IngressObject(in), build.PodMonitor(in))

		var got bytes.Buffer

		for _, object := range objects {
			encoded, err := yaml.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}

			got.WriteString("---\n")
			got.Write(encoded)
		}

		path := filepath.Join("testdata", name+".golden.yaml")
		if *update {
			if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}

			continue
		}

		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}

		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
