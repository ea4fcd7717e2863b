package operator

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/controllers"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/operator"
)

// TestChartsRightsSuffice runs the real controller with nothing but the rights of the chart for one namespace: every
// object of a Cluster is made there, and a Cluster elsewhere is left alone.
func TestChartsRightsSuffice(t *testing.T) {
	server := suite.Server(t)
	home, watched, other := server.Namespace(t), server.Namespace(t), server.Namespace(t)

	installTemplates(t, server.Client, "caretaker", "--namespace", home, "--set", "watchNamespaces={"+watched+"}", "--show-only", "templates/rbac.yaml")

	for _, namespace := range []string{watched, other} {
		object := &postgresqlv1.Cluster{}
		object.Namespace, object.Name = namespace, "pg"
		object.Spec.Instances, object.Spec.Storage.Size = 3, "1Gi"

		if err := server.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}

	connection := rest.CopyConfig(server.Config)
	connection.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + home + ":caretaker",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + home, "system:authenticated"},
	}

	p := startController(t, connection, "--watch-namespaces="+watched, "--leader-elect", "--leader-election-namespace="+home)

	eventually(t, 20*time.Second, "every object of the Cluster should be made", func() error {
		for _, object := range []client.Object{
			&postgresqlv1.ClusterTerm{}, &corev1.Pod{}, &corev1.PersistentVolumeClaim{}, &corev1.Secret{}, &corev1.ConfigMap{},
			&corev1.Service{}, &corev1.ServiceAccount{}, &rbacv1.Role{}, &rbacv1.RoleBinding{},
		} {
			key := client.ObjectKey{Namespace: watched, Name: name(object)}
			if err := server.Client.Get(t.Context(), key, object); err != nil {
				return err
			}
		}

		return nil
	})

	eventually(t, 20*time.Second, "the status should say what is waited for", func() error {
		object := &postgresqlv1.Cluster{}
		if err := server.Client.Get(t.Context(), client.ObjectKey{Namespace: watched, Name: "pg"}, object); err != nil {
			return err
		}

		if object.Status.ObservedGeneration != object.Generation || len(object.Status.Conditions) == 0 {
			return fmt.Errorf("status is %+v", object.Status)
		}

		return nil
	})

	if text := p.log.String(); strings.Contains(text, "forbidden") || strings.Contains(text, `"level":"error"`) {
		t.Errorf("the log has errors:\n%s", text)
	}

	pods := &corev1.PodList{}
	if err := server.Client.List(t.Context(), pods, client.InNamespace(other)); err != nil || len(pods.Items) > 0 {
		t.Errorf("in a namespace that is not watched: %d pods, %v", len(pods.Items), err)
	}
}

// name of a kind's object in the Cluster pg.
func name(object client.Object) string {
	switch object.(type) {
	case *corev1.Pod, *corev1.PersistentVolumeClaim:
		return naming.Instance("pg", 0)
	case *corev1.Secret:
		return naming.SecretServer("pg")
	case *corev1.ConfigMap:
		return naming.ConfigMap("pg")
	case *corev1.Service:
		return naming.ServiceReadWrite("pg")
	default:
		return "pg"
	}
}

// startController is startProcess with the controllers of the real operator.
func startController(t *testing.T, connection *rest.Config, arguments ...string) *process {
	t.Helper()

	options := operator.Options{DefaultPostgresImage: "example.org/postgres:17", OperatorImage: "example.org/caretaker:v1", MaxConcurrentReconciles: 2}

	return start(t, connection, controllers.All(options, clock.RealClock{}), arguments...)
}
