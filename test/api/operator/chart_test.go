package operator

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
)

// kubeconfig is a file for programs that are not this test.
func kubeconfig(t *testing.T, connection *rest.Config) string {
	t.Helper()

	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{
		Server: connection.Host, CertificateAuthority: connection.CAFile, CertificateAuthorityData: connection.CAData,
		InsecureSkipTLSVerify: connection.Insecure, TLSServerName: connection.ServerName,
	}
	config.AuthInfos["test"] = &clientcmdapi.AuthInfo{
		ClientCertificate: connection.CertFile, ClientCertificateData: connection.CertData,
		ClientKey: connection.KeyFile, ClientKeyData: connection.KeyData, Token: connection.BearerToken,
	}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "test"}
	config.CurrentContext = "test"

	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}

	return path
}

// helmCommand runs the Helm that the project is built with.
func helmCommand(ctx context.Context, arguments ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "go", append([]string{"run", "-modfile=../../../go.tools.mod", "helm.sh/helm/v4/cmd/helm"}, arguments...)...)
}

// templates are what the chart renders with the arguments.
func templates(t *testing.T, release string, arguments ...string) []*unstructured.Unstructured {
	t.Helper()

	var stderr bytes.Buffer

	command := helmCommand(t.Context(), append([]string{"template", release, "../../../charts/caretaker"}, arguments...)...)
	command.Stderr = &stderr

	out, err := command.Output()
	if err != nil {
		t.Fatalf("helm template: %v\n%s", err, stderr.String())
	}

	var objects []*unstructured.Unstructured

	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(out), 4096); ; {
		object := &unstructured.Unstructured{}

		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects
		}

		if err != nil {
			t.Fatal(err)
		}

		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// installTemplates makes what the chart renders with the arguments, until the test's end: the server is shared.
func installTemplates(t *testing.T, c client.Client, release string, arguments ...string) {
	t.Helper()

	for _, object := range templates(t, release, arguments...) {
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatalf("create %s %s: %v", object.GetKind(), object.GetName(), err)
		}

		t.Cleanup(func() { _ = c.Delete(context.WithoutCancel(t.Context()), object) })
	}
}

// TestUninstallingKeepsClusters: the release takes over CRDs that were there before, an upgrade works, and removing the
// release leaves the CRDs, and with them every Cluster.
func TestUninstallingKeepsClusters(t *testing.T) {
	server := suite.Server(t)
	namespace := server.Namespace(t)
	config := kubeconfig(t, server.Config)

	helm := func(arguments ...string) (string, error) {
		out, err := helmCommand(t.Context(), append([]string{"--kubeconfig", config, "--namespace", namespace}, arguments...)...).CombinedOutput()

		return string(out), err
	}

	cluster := &postgresqlv1.Cluster{}
	cluster.Namespace, cluster.Name = namespace, "pg"
	cluster.Spec.Instances, cluster.Spec.Storage.Size = 1, "1Gi"

	if err := server.Client.Create(t.Context(), cluster); err != nil {
		t.Fatal(err)
	}

	out, err := helm("install", "uninstalled", "../../../charts/caretaker", "--take-ownership")
	if err != nil {
		t.Fatalf("install: %v\n%s", err, out)
	}

	if !strings.Contains(out, "looks after all namespaces") {
		t.Errorf("the notes do not say what the operator looks after:\n%s", out)
	}

	if out, err := helm("upgrade", "uninstalled", "../../../charts/caretaker", "--reset-then-reuse-values", "--set", "replicas=3"); err != nil {
		t.Fatalf("upgrade: %v\n%s", err, out)
	}

	deployment := &appsv1.Deployment{}
	key := client.ObjectKey{Namespace: namespace, Name: "uninstalled-caretaker"}

	if err := server.Client.Get(t.Context(), key, deployment); err != nil || *deployment.Spec.Replicas != 3 {
		t.Errorf("after the upgrade: %v, %v", deployment.Spec.Replicas, err)
	}

	if out, err := helm("uninstall", "uninstalled"); err != nil {
		t.Fatalf("uninstall: %v\n%s", err, out)
	}

	if err := server.Client.Get(t.Context(), key, deployment); !apierrors.IsNotFound(err) {
		t.Errorf("the operator is still there: %v", err)
	}

	for _, name := range []string{"clusters.postgresql.caretaker.dev", "clusterterms.postgresql.caretaker.dev"} {
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := server.Client.Get(t.Context(), client.ObjectKey{Name: name}, crd); err != nil || crd.DeletionTimestamp != nil {
			t.Errorf("%s went with the release: %v", name, err)
		}
	}

	if err := server.Client.Get(t.Context(), client.ObjectKeyFromObject(cluster), cluster); err != nil || cluster.DeletionTimestamp != nil {
		t.Errorf("the Cluster went with the release: %v", err)
	}
}
