package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/operator-framework/api/pkg/manifests"
	"github.com/operator-framework/api/pkg/validation"
	interfaces "github.com/operator-framework/api/pkg/validation/interfaces"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const root = "../.."

// TestBundleIsValid: the validators of `operator-sdk bundle validate` have nothing to say against bundle/ but what is listed here.
func TestBundleIsValid(t *testing.T) {
	bundle, err := manifests.GetBundleFromDir(filepath.Join(root, "bundle"))
	if err != nil {
		t.Fatal(err)
	}

	if bundle.Package != packageName || bundle.DefaultChannel != channel || !slices.Equal(bundle.Channels, []string{channel}) {
		t.Errorf("package %s, channels %v, %s by default", bundle.Package, bundle.Channels, bundle.DefaultChannel)
	}

	want := []string{
		// Of the term record, which nobody makes by hand.
		"provided API should have an example annotation",
		// There is none.
		"csv.Spec.Icon not specified",
		// Events are taken for those of v1beta1, since a rule names no version. Once for each set of rights.
		"deprecated and removed in v1.25",
		"deprecated and removed in v1.25",
	}

	var got []string

	// Not MultipleArchitecturesValidator, which pulls images, and CommunityOperatorValidator, which its authors have given up.
	for _, result := range (interfaces.Validators{
		validation.ClusterServiceVersionValidator, validation.CustomResourceDefinitionValidator, validation.BundleValidator,
		validation.OperatorHubV2Validator, validation.StandardCategoriesValidator, validation.StandardCapabilitiesValidator,
		validation.ObjectValidator, validation.OperatorGroupValidator, validation.AlphaDeprecatedAPIsValidator, validation.GoodPracticesValidator,
	}).Validate(bundle.ObjectsToValidate()...) {
		for _, wrong := range result.Errors {
			t.Errorf("%s: %v", result.Name, wrong)
		}

		for _, warning := range result.Warnings {
			got = append(got, warning.Detail)
		}
	}

	if !slices.EqualFunc(got, want, strings.Contains) {
		t.Errorf("warnings, want ones of %q:\n%s", want, strings.Join(got, "\n"))
	}
}

// TestWhatTheBundleCannotSay: what the chart may render and OLM would not do is an error, and not left out in silence.
func TestWhatTheBundleCannotSay(t *testing.T) {
	for _, test := range []struct{ name, objects, want string }{
		{"a kind that nobody decided on", "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}", "ConfigMap c"},
		{"a second Deployment", "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {template: {spec: {containers: [{image: i}]}}}}\n---\n" +
			"{apiVersion: apps/v1, kind: Deployment, metadata: {name: b}}", "Deployment b"},
		{"some namespaces only", "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: a}}\n---\n" +
			"{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: r, namespace: b}}", "watchNamespaces"},
		{"nothing", "", "no Deployment"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := run(root, strings.NewReader(test.objects)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want one about %s", err, test.want)
			}
		})
	}
}

// TestEveryKindIsDescribed: a CRD that the base does not know, or that has no example, is named.
func TestEveryKindIsDescribed(t *testing.T) {
	source, err := readSource(root)
	if err != nil {
		t.Fatal(err)
	}

	one := source.definitions[0].DeepCopy()
	one.SetName("things.apps.caretaker.dev")
	source.definitions[0] = one
	source.samples = slices.DeleteFunc(source.samples, func(s *unstructured.Unstructured) bool { return s.GetKind() == "Cluster" })

	_, _, err = source.owned()
	for _, want := range []string{"things.apps.caretaker.dev is not described", "there is no CRD webapps.apps.caretaker.dev", "no example of clusters.postgresql.caretaker.dev"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want one with %q", err, want)
		}
	}
}

// TestValuesReachTheBundle: what somebody sets for an image of his own is in the bundle's CSV.
func TestValuesReachTheBundle(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"charts", "config"} {
		path, err := filepath.Abs(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}

		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}

	var stderr bytes.Buffer

	helm := exec.CommandContext(t.Context(), "go", "run", "-modfile="+root+"/go.tools.mod", "helm.sh/helm/v4/cmd/helm", "template", "caretaker",
		root+"/charts/caretaker", "--namespace", "caretaker-system", "--set", "image.repository=registry.example.org/caretaker,metrics.serviceMonitor.enabled=true",
		"--set", "networkPolicy.enabled=true")
	helm.Stderr = &stderr

	rendered, err := helm.Output()
	if err != nil {
		t.Fatalf("helm template: %v\n%s", err, stderr.String())
	}

	if err := run(dir, bytes.NewReader(rendered)); err != nil {
		t.Fatal(err)
	}

	bundle, err := manifests.GetBundleFromDir(filepath.Join(dir, "bundle"))
	if err != nil {
		t.Fatal(err)
	}

	image := "registry.example.org/caretaker:v" + bundle.CSV.Spec.Version.String()
	container := bundle.CSV.Spec.InstallStrategy.StrategySpec.DeploymentSpecs[0].Spec.Template.Spec.Containers[0]

	if container.Image != image || bundle.CSV.Annotations["containerImage"] != image || !slices.Contains(container.Args, "--operator-image="+image) {
		t.Errorf("image %s, annotation %s, arguments %v", container.Image, bundle.CSV.Annotations["containerImage"], container.Args)
	}

	var kinds []string
	for _, object := range bundle.Objects {
		kinds = append(kinds, object.GetKind())
	}

	if !slices.Contains(kinds, "NetworkPolicy") || slices.Contains(kinds, "ServiceMonitor") {
		t.Errorf("beside the CSV: %v", kinds)
	}
}
