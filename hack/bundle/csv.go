package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// source is what a bundle is made of beside what the chart renders.
type source struct {
	base *unstructured.Unstructured
	// crds are the files of config/crd by name, definitions what is in them.
	crds        map[string][]byte
	definitions []*unstructured.Unstructured
	samples     []*unstructured.Unstructured
	meta        chartMeta
}

// chartMeta is what Chart.yaml says.
type chartMeta struct {
	Version     string `json:"version"`
	KubeVersion string `json:"kubeVersion"`
}

func readSource(root string) (*source, error) {
	s := &source{crds: map[string][]byte{}}

	bases, err := decodeFiles(filepath.Join(root, "config", "manifests", "bases", csvFile))
	if err != nil {
		return nil, err
	}

	s.base = bases[0]

	content, err := os.ReadFile(filepath.Join(root, "charts", "caretaker", "Chart.yaml")) //nolint:gosec // The repository's own file.
	if err != nil {
		return nil, fmt.Errorf("read Chart.yaml: %w", err)
	}

	if err := yaml.Unmarshal(content, &s.meta); err != nil {
		return nil, fmt.Errorf("read Chart.yaml: %w", err)
	}

	definitions := filepath.Join(root, "config", "crd", "*.yaml")
	if s.definitions, err = decodeFiles(definitions); err != nil {
		return nil, err
	}

	paths, err := filepath.Glob(definitions)
	if err != nil {
		return nil, fmt.Errorf("list CRDs: %w", err)
	}

	for _, path := range paths {
		if s.crds[filepath.Base(path)], err = os.ReadFile(path); err != nil { //nolint:gosec // The repository's own files.
			return nil, fmt.Errorf("read CRD: %w", err)
		}
	}

	samples := filepath.Join(root, "config", "samples")
	s.samples, err = decodeFiles(filepath.Join(samples, "*.yaml"), filepath.Join(samples, "from-documents", "*.yaml"))

	return s, err
}

// csv is the base with everything that it does not say itself.
func (s *source) csv(chart *chart) (map[string]any, error) {
	csv := s.base.DeepCopy()
	csv.SetName(packageName + ".v" + s.meta.Version)
	// OLM puts in the namespace.
	csv.SetNamespace("placeholder")

	owned, examples, err := s.owned()
	if err != nil {
		return nil, err
	}

	minimum := strings.TrimSuffix(strings.TrimLeft(s.meta.KubeVersion, ">= "), "-0")
	annotations := csv.GetAnnotations()
	annotations["alm-examples"] = examples
	annotations["containerImage"] = chart.image
	csv.SetAnnotations(annotations)

	for path, value := range map[string]any{
		"version":        s.meta.Version,
		"minKubeVersion": minimum,
		"install":        chart.install(),
	} {
		if err := unstructured.SetNestedField(csv.Object, value, "spec", path); err != nil {
			return nil, fmt.Errorf("set spec.%s: %w", path, err)
		}
	}

	if err := unstructured.SetNestedSlice(csv.Object, owned, "spec", "customresourcedefinitions", "owned"); err != nil {
		return nil, fmt.Errorf("set the owned CRDs: %w", err)
	}

	return csv.Object, nil
}

// owned are the base's entries with kind, version and description of the CRD, and an example of each kind that people make.
func (s *source) owned() ([]any, string, error) {
	entries, _, err := unstructured.NestedSlice(s.base.Object, "spec", "customresourcedefinitions", "owned")
	if err != nil {
		return nil, "", fmt.Errorf("read the base: %w", err)
	}

	described := map[string]map[string]any{}

	for _, entry := range entries {
		if entry, ok := entry.(map[string]any); ok {
			described[fmt.Sprint(entry["name"])] = entry
		}
	}

	var (
		owned    []any
		examples []map[string]any
		wrong    []error
	)

	internal := s.base.GetAnnotations()["operators.operatorframework.io/internal-objects"]

	for _, crd := range s.definitions {
		entry, ok := described[crd.GetName()]
		if !ok {
			wrong = append(wrong, fmt.Errorf("%s is not described; add it to spec.customresourcedefinitions.owned of config/manifests/bases/%s", crd.GetName(), csvFile))

			continue
		}

		delete(described, crd.GetName())

		kind, err := describe(entry, crd)
		wrong = append(wrong, err)
		owned = append(owned, entry)

		if example := s.example(kind); example != nil {
			examples = append(examples, example)
		} else if !strings.Contains(internal, `"`+crd.GetName()+`"`) {
			wrong = append(wrong, fmt.Errorf("no example of %s; add one to config/samples", crd.GetName()))
		}
	}

	for name := range described {
		wrong = append(wrong, fmt.Errorf("there is no CRD %s; remove it from config/manifests/bases/%s", name, csvFile))
	}

	text, err := json.MarshalIndent(examples, "", "  ")

	return owned, string(text), errors.Join(errors.Join(wrong...), err)
}

// describe completes an entry by what the CRD says.
func describe(entry map[string]any, crd *unstructured.Unstructured) (schema.GroupKind, error) {
	kind, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "kind")
	group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")

	if len(versions) != 1 {
		return schema.GroupKind{}, fmt.Errorf("%s has %d versions, and a bundle is made for one", crd.GetName(), len(versions))
	}

	version, ok := versions[0].(map[string]any)
	if !ok {
		return schema.GroupKind{}, fmt.Errorf("%s: a version that is no object", crd.GetName())
	}

	text, _, err := unstructured.NestedString(version, "schema", "openAPIV3Schema", "description")
	if err != nil || text == "" {
		return schema.GroupKind{}, errors.Join(fmt.Errorf("%s has no description", crd.GetName()), err)
	}

	// The kind's comment wraps its lines.
	entry["description"] = strings.Join(strings.Fields(text), " ")
	entry["kind"] = kind
	entry["version"] = version["name"]

	resources, _ := entry["resources"].([]any)
	for _, resource := range resources {
		if resource, ok := resource.(map[string]any); ok {
			resource["name"] = ""
		}
	}

	return schema.GroupKind{Group: group, Kind: kind}, nil
}

// example is the first sample of the kind, for any namespace.
func (s *source) example(kind schema.GroupKind) map[string]any {
	for _, sample := range s.samples {
		if sample.GroupVersionKind().GroupKind() == kind {
			unstructured.RemoveNestedField(sample.Object, "metadata", "namespace")

			return sample.Object
		}
	}

	return nil
}
