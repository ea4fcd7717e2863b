package v1_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// What kube-api-linter would check of a CRD, as far as the generated schema shows it.
func TestCRDsKeepConventions(t *testing.T) {
	t.Parallel()

	files, err := filepath.Glob("../../../config/crd/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no CRDs in config/crd (run make generate): %v", err)
	}

	for _, file := range files {
		crd := readCRD(t, file)
		for _, version := range crd.Spec.Versions {
			t.Run(crd.Name+"/"+version.Name, func(t *testing.T) {
				t.Parallel()
				checkNames(t, crd)
				checkSchema(t, "", *version.Schema.OpenAPIV3Schema)
			})
		}
	}
}

func readCRD(t *testing.T, file string) apiextensionsv1.CustomResourceDefinition {
	t.Helper()

	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(raw, &crd); err != nil {
		t.Fatalf("%s: %v", file, err)
	}

	return crd
}

func checkNames(t *testing.T, crd apiextensionsv1.CustomResourceDefinition) {
	t.Helper()

	if !strings.HasSuffix(crd.Spec.Group, ".caretaker.dev") {
		t.Errorf("group %s is not below caretaker.dev", crd.Spec.Group)
	}

	if len(crd.Spec.Names.Categories) != 1 || crd.Spec.Names.Categories[0] != "caretaker" {
		t.Errorf("categories %v: want caretaker alone, so that `kubectl get caretaker` shows every kind", crd.Spec.Names.Categories)
	}
}

// fromKubernetes are fields of Kubernetes' own types; their schema is not ours to word.
var fromKubernetes = []string{
	".spec.affinity.nodeAffinity", ".spec.affinity.podAffinity", ".spec.affinity.podAntiAffinity", ".spec.affinity.tolerations",
	".spec.env", ".spec.envFrom", ".spec.projectedVolumeTemplate", ".spec.resources", ".spec.storage.pvcTemplate",
	".spec.topologySpreadConstraints", ".spec.managed.services.additional[].serviceTemplate.spec", ".status.conditions",
	".spec.securityContext", ".spec.probes.liveness", ".spec.probes.readiness", ".spec.probes.startup", ".spec.autoscaling.metrics",
	".spec.networkPolicy.from",
	".spec.database.resources", ".spec.cache.resources",
	".spec.backend.env", ".spec.backend.resources", ".spec.backend.probes.liveness", ".spec.backend.probes.readiness", ".spec.backend.probes.startup",
	".spec.frontend.env", ".spec.frontend.resources", ".spec.frontend.probes.liveness", ".spec.frontend.probes.readiness", ".spec.frontend.probes.startup",
	".spec.destination.persistentVolumeClaim",
	".spec.backup.volume.persistentVolumeClaim", ".status.volume.persistentVolumeClaim", ".spec.backup.drill.resources",
}

func checkSchema(t *testing.T, path string, schema apiextensionsv1.JSONSchemaProps) {
	t.Helper()

	if path == ".metadata" {
		return
	}

	if path != "" && schema.Description == "" && !strings.HasSuffix(path, "[]") {
		t.Errorf("%s has no description: `kubectl explain` would be silent", path)
	}

	if slices.Contains(fromKubernetes, path) {
		return
	}

	if schema.Type == "array" {
		if schema.XListType == nil {
			t.Errorf("%s: a list needs a list type, or server-side apply replaces it as a whole by accident", path)
		}

		checkSchema(t, path+"[]", *schema.Items.Schema)
	}

	for name, property := range schema.Properties {
		checkProperty(t, path+"."+name, name, property)
	}
}

func checkProperty(t *testing.T, path, name string, property apiextensionsv1.JSONSchemaProps) {
	t.Helper()

	if property.Type == "number" {
		t.Errorf("%s: a floating-point number; use an integer or a quantity", path)
	}

	// The source documents print a status.phase of the application kinds: derived from the conditions, it drives nothing.
	if strings.Contains(strings.ToLower(name), "phase") && path != ".status.phase" {
		t.Errorf("%s: conditions, not phases", path)
	}

	checkSchema(t, path, property)
}
