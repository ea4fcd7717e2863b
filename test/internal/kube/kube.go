package kube

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	caretakerappsv1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	backupv1 "github.com/caretaker-dev/caretaker/api/backup/v1"
	configv1 "github.com/caretaker-dev/caretaker/api/config/v1"
	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	platformv1 "github.com/caretaker-dev/caretaker/api/platform/v1"
	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
)

// pollInterval is short: what is measured should not wait for the one who measures.
const pollInterval = 250 * time.Millisecond

// Kube is a Kubernetes cluster.
type Kube struct {
	Config    *rest.Config
	Client    client.WithWatch
	Clientset *kubernetes.Clientset
}

// Connect to the cluster that KUBECONFIG names.
func Connect() (*Kube, error) {
	path := os.Getenv("KUBECONFIG")
	if path == "" {
		return nil, errors.New("KUBECONFIG is not set; it names the cluster to test on")
	}

	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig %s: %w", path, err)
	}

	config.QPS, config.Burst = 100, 200

	scheme := runtime.NewScheme()

	err = errors.Join(
		clientgoscheme.AddToScheme(scheme),
		postgresqlv1.AddToScheme(scheme),
		databasev1.AddToScheme(scheme),
		backupv1.AddToScheme(scheme),
		caretakerappsv1.AddToScheme(scheme),
		configv1.AddToScheme(scheme),
		platformv1.AddToScheme(scheme),
	)
	if err != nil {
		return nil, fmt.Errorf("build scheme: %w", err)
	}

	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", config.Host, err)
	}

	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", config.Host, err)
	}

	return &Kube{Config: config, Client: c, Clientset: clientset}, nil
}

// Namespace makes a namespace for one test, under the restricted Pod Security Standard. It is dumped if the test fails,
// and deleted at its end.
func (k *Kube) Namespace(t *testing.T, prefix string) string {
	t.Helper()

	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: prefix + "-",
		Labels:       map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	if err := k.Client.Create(t.Context(), ns); err != nil {
		t.Fatalf("create namespace: %v", err)
	}

	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()

		if t.Failed() {
			k.Dump(ctx, t, ns.Name)
		}

		if os.Getenv("CARETAKER_KEEP") == "1" && t.Failed() {
			t.Logf("namespace %s is kept", ns.Name)

			return
		}

		if err := k.Client.Delete(ctx, ns); err != nil {
			t.Errorf("delete namespace: %v", err)
		}
	})

	return ns.Name
}

// Eventually tries until there is no error; after the timeout the test fails with the last one.
func Eventually(t *testing.T, timeout time.Duration, what string, try func(ctx context.Context) error) {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()

	EventuallyWith(ctx, t, what, try)
}

// EventuallyWith tries until there is no error; when the context ends the test fails with the last one. It is for
// cleaning up, when the test's own context has ended.
func EventuallyWith(ctx context.Context, t *testing.T, what string, try func(ctx context.Context) error) {
	t.Helper()

	if err := Poll(ctx, pollInterval, try); err != nil {
		t.Fatalf("not in time: %s: %v", what, err)
	}
}

// Poll tries until there is no error; when the context ends it gives back the last one that is not of that end.
func Poll(ctx context.Context, interval time.Duration, try func(ctx context.Context) error) error {
	var last error

	err := wait.PollUntilContextCancel(ctx, interval, true, func(ctx context.Context) (bool, error) {
		err := try(ctx)
		if err == nil || ctx.Err() == nil || last == nil {
			last = err
		}

		return err == nil, nil
	})
	if err != nil && last != nil {
		return last
	}

	return err
}

// Always tries for a while; the test fails at the first error.
func Always(t *testing.T, duration time.Duration, what string, try func(ctx context.Context) error) {
	t.Helper()

	_ = wait.PollUntilContextTimeout(t.Context(), pollInterval, duration, true, func(ctx context.Context) (bool, error) {
		// The end of the time may come in the midst of a try.
		if err := try(ctx); err != nil && ctx.Err() == nil {
			t.Fatalf("%s: %v", what, err)
		}

		return false, nil
	})
}
