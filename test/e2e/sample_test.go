package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

const sampleNamespace = "production-databases"

// TestSample applies financial-db and its application as the overlay for the development cluster has them.
func TestSample(t *testing.T) {
	t.Parallel()

	f := &fixture{Kube: testEnvironment.kube, environment: testEnvironment, namespace: sampleNamespace, name: "financial-db"}

	ns := &corev1.Namespace{}
	if err := f.Client.Get(t.Context(), client.ObjectKey{Name: sampleNamespace}, ns); err == nil {
		t.Skipf("there is a namespace %s already, which this test would remove at its end", sampleNamespace)
	}

	f.applyOverlay(t, "../../config/samples/overlays/devcluster")
	f.waitReady(t)

	kube.Eventually(t, readyTimeout, "trading-app is available", func(ctx context.Context) error {
		deployment := &appsv1.Deployment{}
		if err := f.Client.Get(ctx, client.ObjectKey{Namespace: f.namespace, Name: "trading-app"}, deployment); err != nil {
			return err
		}

		if deployment.Status.AvailableReplicas != *deployment.Spec.Replicas {
			return fmt.Errorf("%d of %d replicas are available", deployment.Status.AvailableReplicas, *deployment.Spec.Replicas)
		}

		return nil
	})

	f.waitSQL(t, f.replicas(t)[0], "trading", "SELECT count(DISTINCT trader) >= 2 FROM trades", "t")

	if got := f.sql(t, f.primary(t), "trading", "SELECT string_agg(DISTINCT usename || ' ' || ssl, ',') FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "+
		"WHERE datname = 'trading' AND client_addr IS NOT NULL"); got != "" && got != "app true" {
		t.Errorf("the application is connected as %q", got)
	}

	nodes := map[string]bool{}
	for _, pod := range f.pods(t) {
		nodes[pod.Spec.NodeName] = true

		if pod.Labels["postgresql"] != f.name {
			t.Errorf("pod %s cannot be selected by postgresql=%s", pod.Name, f.name)
		}
	}

	if len(nodes) != 3 {
		t.Errorf("three instances are on %d nodes", len(nodes))
	}
}

// applyOverlay applies what `kubectl apply -k` would, and takes the namespace away at the test's end.
func (f *fixture) applyOverlay(t *testing.T, overlay string) {
	t.Helper()

	kubectl := "../../bin/kubectl"
	if _, err := os.Stat(kubectl); err != nil {
		kubectl = "kubectl"
	}

	content, err := exec.CommandContext(t.Context(), kubectl, "kustomize", overlay).Output()
	if err != nil {
		t.Fatalf("build the overlay with %s: %v", kubectl, err)
	}

	t.Cleanup(func() {
		ctx := context.Background()
		if t.Failed() {
			f.Dump(ctx, t, f.namespace)
		}

		ns := &corev1.Namespace{}
		ns.Name = f.namespace

		if err := f.Client.Delete(ctx, ns); err != nil {
			t.Errorf("delete namespace: %v", err)
		}
	})

	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)

	for {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(object); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("read the overlay: %v", err)
		}

		err := f.Client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("kubectl"))
		if err != nil {
			t.Fatalf("apply %s %s: %v", object.GetKind(), object.GetName(), err)
		}
	}
}
