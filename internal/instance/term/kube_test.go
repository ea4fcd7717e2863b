package term_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instance/term"
)

// envKubeconfig names a real API server with Caretaker's CRDs, as the API tests use it.
const envKubeconfig = "CARETAKER_APISERVER_KUBECONFIG"

// apiServer makes a namespace on a real API server.
func apiServer(t *testing.T) (*rest.Config, string, *rest.RESTClient) {
	t.Helper()

	path := os.Getenv(envKubeconfig)
	if path == "" {
		t.Skip(envKubeconfig + " names no API server with Caretaker's CRDs")
	}

	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}

	plain := rest.CopyConfig(config)
	plain.NegotiatedSerializer = scheme.Codecs.WithoutConversion()

	client, err := rest.UnversionedRESTClientFor(plain)
	if err != nil {
		t.Fatal(err)
	}

	namespace := fmt.Sprintf("term-%d", time.Now().UnixNano())
	post(t, client, "/api/v1/namespaces", map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": namespace},
	})
	t.Cleanup(func() {
		_ = client.Delete().AbsPath("/api/v1/namespaces/" + namespace).Do(context.Background()).Error()
	})

	return config, namespace, client
}

func post(t *testing.T, client *rest.RESTClient, path string, object map[string]any) {
	t.Helper()

	body, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}

	if err := client.Post().AbsPath(path).SetHeader("Content-Type", "application/json").Body(body).Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
}

func TestRecordInTheAPI(t *testing.T) {
	config, namespace, client := apiServer(t)

	kube, err := term.NewKube(config, namespace, "demo", "demo-0")
	if err != nil {
		t.Fatal(err)
	}

	if _, err := kube.Get(t.Context()); !errors.Is(err, term.ErrMissing) {
		t.Fatalf("without a record: %v", err)
	}

	post(t, client, "/apis/postgresql.caretaker.dev/v1/namespaces/"+namespace+"/clusterterms", map[string]any{
		"apiVersion": "postgresql.caretaker.dev/v1", "kind": "ClusterTerm",
		"metadata": map[string]any{"name": "demo", "labels": map[string]any{"kept": "yes"}},
		"spec":     map[string]any{"term": 0, "bootstrap": "demo-0"},
	})

	read, err := kube.Get(t.Context())
	if err != nil || read.Spec.Bootstrap != "demo-0" || read.Version == "" {
		t.Fatalf("got %+v, %v", read, err)
	}

	first := postgresqlv1.ClusterTermSpec{
		Term: 1, Established: true, SystemID: "7", Timeline: 1,
		Primary: &postgresqlv1.TermHolder{MemberID: "m", Name: "demo-0", PodUID: "uid"},
	}

	written, err := kube.CompareAndSwap(t.Context(), read.Version, first)
	if err != nil || written.Spec.Bootstrap != "" || written.Spec.Primary == nil || written.Version == read.Version {
		t.Fatalf("got %+v, %v: want the first term, and a field that is empty now to be gone", written, err)
	}

	if _, err := kube.CompareAndSwap(t.Context(), read.Version, first); !errors.Is(err, term.ErrConflict) {
		t.Errorf("a swap from an old version: %v", err)
	}

	// The API server's own rules stand behind the compare-and-swap.
	another := first
	another.Primary = &postgresqlv1.TermHolder{MemberID: "other", Name: "demo-1"}

	if _, err := kube.CompareAndSwap(t.Context(), written.Version, another); err == nil || errors.Is(err, term.ErrConflict) {
		t.Errorf("another primary in the same term: %v", err)
	}

	if again, err := kube.Get(t.Context()); err != nil || again.Spec.Primary.MemberID != "m" {
		t.Errorf("the record is %+v, %v", again, err)
	}
}

// A primary takes the label off the one before it, and off nobody else.
func TestStripPrimary(t *testing.T) {
	config, namespace, client := apiServer(t)

	for name, role := range map[string]string{"demo-0": "primary", "demo-1": "replica", "demo-2": "primary"} {
		post(t, client, "/api/v1/namespaces/"+namespace+"/pods", map[string]any{
			"apiVersion": "v1", "kind": "Pod",
			"metadata": map[string]any{"name": name, "labels": map[string]any{"caretaker.dev/role": role}},
			"spec": map[string]any{
				"automountServiceAccountToken": false,
				"containers":                   []map[string]any{{"name": "postgres", "image": "postgres"}},
			},
		})
	}

	kube, err := term.NewKube(config, namespace, "demo", "demo-2")
	if err != nil {
		t.Fatal(err)
	}

	if role, err := kube.Role(t.Context()); err != nil || role != "primary" {
		t.Errorf("its own label is %q, %v", role, err)
	}

	for _, name := range []string{"demo-0", "demo-0", "demo-1", "demo-7"} {
		if err := kube.StripPrimary(t.Context(), name); err != nil {
			t.Errorf("strip %s: %v", name, err)
		}
	}

	for name, want := range map[string]string{"demo-0": "", "demo-1": "replica", "demo-2": "primary"} {
		body, err := client.Get().AbsPath("/api/v1/namespaces/" + namespace + "/pods/" + name).Do(t.Context()).Raw()
		if err != nil {
			t.Fatal(err)
		}

		var pod corev1.Pod
		if err := json.Unmarshal(body, &pod); err != nil {
			t.Fatal(err)
		}

		if got := pod.Labels["caretaker.dev/role"]; got != want {
			t.Errorf("%s is labelled %q, want %q", name, got, want)
		}
	}
}
