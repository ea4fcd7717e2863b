package operator

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/operator-framework/api/crds"
	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

const bundleFolder = "../../../bundle/manifests"

// TestBundle does to a real API server what OLM would do with the bundle: the manifests are taken as they are, strictly, the examples
// too, and the CSV gives the operator the Deployment and the rights that the chart gives it.
func TestBundle(t *testing.T) {
	server := suite.Server(t)
	namespace := server.Namespace(t)
	c := client.WithFieldValidation(server.Client, metav1.FieldValidationStrict)

	installCSVKind(t, server.Client)

	csv := &operatorsv1alpha1.ClusterServiceVersion{}

	for name, object := range bundleManifests(t) {
		switch object.GetKind() {
		case "CustomResourceDefinition":
			// It is there already, for every test, and must be the same one.
			live := &apiextensionsv1.CustomResourceDefinition{}
			if err := server.Client.Get(t.Context(), client.ObjectKeyFromObject(object), live); err != nil {
				t.Fatal(err)
			}

			object.SetResourceVersion(live.ResourceVersion)

			if err := c.Update(t.Context(), object); err != nil {
				t.Errorf("%s: %v", name, err)
			}

			if object.GetGeneration() != live.Generation {
				t.Errorf("%s is not the CRD of config/crd", name)
			}

			continue
		case "ClusterServiceVersion":
			convert(t, object, csv)
		}

		if err := client.IgnoreAlreadyExists(install(t, c, namespace, object)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	var examples []map[string]any
	if err := json.Unmarshal([]byte(csv.Annotations["alm-examples"]), &examples); err != nil || len(examples) != len(csv.Spec.CustomResourceDefinitions.Owned)-1 {
		t.Fatalf("%d examples (%v) of %d kinds, one of them internal", len(examples), err, len(csv.Spec.CustomResourceDefinitions.Owned))
	}

	for _, example := range examples {
		object := &unstructured.Unstructured{Object: example}
		if err := install(t, client.NewDryRunClient(c), namespace, object); err != nil {
			t.Errorf("the example of %s: %v", object.GroupVersionKind().GroupKind(), err)
		}
	}

	bundleRights(t, csv)
	bundleDeployment(t, c, namespace, csv)
}

// bundleRights: no right more and none less than the chart's.
func bundleRights(t *testing.T, csv *operatorsv1alpha1.ClusterServiceVersion) {
	t.Helper()

	strategy := csv.Spec.InstallStrategy.StrategySpec
	if len(strategy.ClusterPermissions) != 1 || len(strategy.Permissions) != 1 {
		t.Fatalf("permissions for %d and %d ServiceAccounts", len(strategy.ClusterPermissions), len(strategy.Permissions))
	}

	cluster, own := &rbacv1.ClusterRole{}, &rbacv1.Role{}

	for _, object := range templates(t, "caretaker", "--namespace", "caretaker-system", "--show-only", "templates/rbac.yaml") {
		switch object.GetKind() {
		case "ClusterRole":
			convert(t, object, cluster)
		case "Role":
			convert(t, object, own)
		}
	}

	if diff := cmp.Diff(cluster.Rules, strategy.ClusterPermissions[0].Rules); diff != "" {
		t.Errorf("rights in all namespaces (-chart +bundle):\n%s", diff)
	}

	if diff := cmp.Diff(own.Rules, strategy.Permissions[0].Rules); diff != "" {
		t.Errorf("rights in the operator's namespace (-chart +bundle):\n%s", diff)
	}

	account := strategy.DeploymentSpecs[0].Spec.Template.Spec.ServiceAccountName
	if strategy.ClusterPermissions[0].ServiceAccountName != account || strategy.Permissions[0].ServiceAccountName != account {
		t.Errorf("the pods run as %s, and the rights are %s's", account, strategy.ClusterPermissions[0].ServiceAccountName)
	}
}

// bundleDeployment: what OLM makes of the install strategy is taken, and its arguments are ones that the operator knows.
func bundleDeployment(t *testing.T, c client.Client, namespace string, csv *operatorsv1alpha1.ClusterServiceVersion) {
	t.Helper()

	spec := csv.Spec.InstallStrategy.StrategySpec.DeploymentSpecs[0]
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: spec.Name, Labels: spec.Label}, Spec: spec.Spec}

	if err := c.Create(t.Context(), deployment); err != nil {
		t.Errorf("the Deployment: %v", err)
	}

	selector, err := metav1.LabelSelectorAsMap(deployment.Spec.Selector)
	if err != nil {
		t.Fatal(err)
	}

	service := &unstructured.Unstructured{}
	service.SetAPIVersion("v1")
	service.SetKind("Service")

	if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "caretaker"}, service); err != nil {
		t.Fatal(err)
	}

	selects, _, _ := unstructured.NestedStringMap(service.Object, "spec", "selector")
	if diff := cmp.Diff(selector, selects); diff != "" {
		t.Errorf("the Service does not lead to the operator (-pods +service):\n%s", diff)
	}
}

// installCSVKind makes OLM's own CRD, until the test's end.
func installCSVKind(t *testing.T, c client.Client) {
	t.Helper()

	crd := crds.ClusterServiceVersion()
	if err := c.Create(t.Context(), crd); err != nil {
		t.Fatalf("OLM's CRD: %v", err)
	}

	t.Cleanup(func() { _ = c.Delete(context.WithoutCancel(t.Context()), crd) })

	eventually(t, time.Minute, "the API server should serve ClusterServiceVersions", func() error {
		list := &unstructured.UnstructuredList{}
		list.SetAPIVersion("operators.coreos.com/v1alpha1")
		list.SetKind("ClusterServiceVersionList")

		return c.List(t.Context(), list)
	})
}

// bundleManifests by their files' names.
func bundleManifests(t *testing.T) map[string]*unstructured.Unstructured {
	t.Helper()

	paths, err := filepath.Glob(filepath.Join(bundleFolder, "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no manifests: %v", err)
	}

	objects := map[string]*unstructured.Unstructured{}

	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}

		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(content, &object.Object); err != nil {
			t.Fatalf("%s: %v", path, err)
		}

		objects[filepath.Base(path)] = object
	}

	return objects
}

// install an object, in the namespace if its kind has one; what has none is removed at the test's end.
func install(t *testing.T, c client.Client, namespace string, object *unstructured.Unstructured) error {
	t.Helper()

	mapping, err := c.RESTMapper().RESTMapping(object.GroupVersionKind().GroupKind(), object.GroupVersionKind().Version)
	if err != nil {
		return err
	}

	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		object.SetNamespace(namespace)

		return c.Create(t.Context(), object)
	}

	if err := c.Create(t.Context(), object); err != nil {
		return err
	}

	t.Cleanup(func() { _ = c.Delete(context.WithoutCancel(t.Context()), object) })

	return nil
}

func convert(t *testing.T, object *unstructured.Unstructured, typed any) {
	t.Helper()

	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, typed); err != nil {
		t.Fatalf("%s %s: %v", object.GetKind(), object.GetName(), err)
	}
}
