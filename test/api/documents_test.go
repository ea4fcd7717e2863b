package api

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	documents     = "../../config/samples/from-documents"
	documentsPage = "../../docs/reference/source-documents.md"
)

// TestFromDocuments applies every manifest of the source documents, with nothing but their apiVersion changed: the API
// server takes it, and stores all that it says. The page about them names the end-to-end test that brings it up.
func TestFromDocuments(t *testing.T) {
	server := suite.Server(t)
	ns := server.Namespace(t)

	page, err := os.ReadFile(documentsPage)
	if err != nil {
		t.Fatal(err)
	}

	paths, err := filepath.Glob(filepath.Join(documents, "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no manifests: %v", err)
	}

	tests := endToEndTests(t)

	for _, path := range paths {
		name := filepath.Base(path)
		if name == "kustomization.yaml" {
			continue
		}

		t.Run(name, func(t *testing.T) {
			row := regexp.MustCompile("(?m)^\\| `" + name + "` .*\\| `(Test\\w+)`").FindStringSubmatch(string(page))
			if row == nil || !strings.Contains(tests, "\nfunc "+row[1]+"(") {
				t.Errorf("%s names no test in test/e2e that brings it up: %q", documentsPage, row)
			}

			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}

			object := decode(t, content)
			object.SetNamespace(ns)

			want, _, _ := unstructured.NestedMap(object.DeepCopy().Object, "spec")

			if err := client.WithFieldValidation(server.Client, "Strict").Create(t.Context(), object); err != nil {
				t.Fatalf("refused: %v", err)
			}

			got, _, _ := unstructured.NestedMap(object.Object, "spec")
			if lost := missing("spec", want, got); len(lost) > 0 {
				t.Errorf("not stored as written: %s", strings.Join(lost, ", "))
			}
		})
	}
}

// endToEndTests is the text of all of them.
func endToEndTests(t *testing.T) string {
	t.Helper()

	paths, err := filepath.Glob("../e2e/*_test.go")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no end-to-end tests: %v", err)
	}

	var all strings.Builder

	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}

		all.Write(content)
	}

	return all.String()
}

// TestPlatformTakesWhatTheDocumentsKindTakes: nothing is required there, and every field may be left out.
func TestPlatformTakesWhatTheDocumentsKindTakes(t *testing.T) {
	server := suite.Server(t)
	ns := server.Namespace(t)

	fields := []struct {
		path  []string
		value any
	}{
		{[]string{"environment"}, "staging"},
		{[]string{"frontend", "replicas"}, int64(1)},
		{[]string{"frontend", "image"}, "frontend"},
		{[]string{"backend", "replicas"}, int64(1)},
		{[]string{"database", "type"}, "mysql"},
		{[]string{"database", "version"}, "9.7"},
		{[]string{"cache", "enabled"}, false},
		{[]string{"monitoring", "enabled"}, false},
	}

	create := func(spec map[string]any) error {
		object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "platform.caretaker.dev/v1", "kind": "EcommercePlatform"}}
		object.SetName("shop")
		object.SetNamespace(ns)

		if spec != nil {
			object.Object["spec"] = spec
		}

		return client.WithFieldValidation(server.Client, "Strict").Create(t.Context(), object, client.DryRunAll)
	}

	if err := create(nil); err != nil {
		t.Errorf("no spec: %v", err)
	}

	for set := range 1 << len(fields) {
		spec := map[string]any{}

		for i, field := range fields {
			if set&(1<<i) == 0 {
				continue
			}

			if err := unstructured.SetNestedField(spec, field.value, field.path...); err != nil {
				t.Fatal(err)
			}
		}

		if err := create(spec); err != nil {
			t.Errorf("%v: %v", spec, err)
		}
	}
}
