package api

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
)

// TestAccepted applies CloudNativePG's manifests of the source documents with nothing but their apiVersion changed.
func TestAccepted(t *testing.T) {
	server := suite.Server(t)
	ns := server.Namespace(t)

	paths, err := filepath.Glob("testdata/accepted/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no manifests: %v", err)
	}

	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}

			theirs := []byte("apiVersion: postgresql.cnpg.io/v1\n")
			if !bytes.Contains(content, theirs) {
				t.Fatal("the manifest is not as the document has it")
			}

			object := decode(t, bytes.Replace(content, theirs, []byte("apiVersion: postgresql.caretaker.dev/v1\n"), 1))
			object.SetNamespace(ns)

			want, _, _ := unstructured.NestedMap(object.DeepCopy().Object, "spec")

			err = client.WithFieldValidation(server.Client, "Strict").Create(t.Context(), object)
			if err != nil {
				t.Fatalf("refused: %v", err)
			}

			got, _, _ := unstructured.NestedMap(object.Object, "spec")
			if lost := missing("spec", want, got); len(lost) > 0 {
				t.Errorf("not stored as written: %s", strings.Join(lost, ", "))
			}
		})
	}
}

// TestSamplesAccepted applies our own samples.
func TestSamplesAccepted(t *testing.T) {
	server := suite.Server(t)
	ns := server.Namespace(t)

	for _, path := range []string{"cluster-small.yaml", "financial-db/cluster.yaml", "overlays/devcluster/cluster.yaml", "quickstart.yaml", "webapp.yaml", "proved-mysql.yaml"} {
		t.Run(path, func(t *testing.T) {
			content, err := os.ReadFile(filepath.Join("../../config/samples", path))
			if err != nil {
				t.Fatal(err)
			}

			for document := range bytes.SplitSeq(content, []byte("\n---\n")) {
				object := decode(t, document)
				if kind := object.GetKind(); kind != "Cluster" && kind != "WebApp" && kind != "AppConfig" && kind != "MySQL" {
					continue
				}

				object.SetNamespace(ns)
				object.SetName("sample-" + object.GetName())

				err = client.WithFieldValidation(server.Client, "Strict").Create(t.Context(), object, client.DryRunAll)
				if err != nil {
					t.Errorf("refused: %v", err)
				}
			}
		})
	}
}

// TestSampleIsTheDocuments holds our samples to the document's manifests: only apiVersion may differ.
func TestSampleIsTheDocuments(t *testing.T) {
	for sample, document := range map[string]string{
		"financial-db/cluster.yaml":                              "financial-db.yaml",
		"from-documents/cluster-financial-db.yaml":               "financial-db.yaml",
		"from-documents/cluster-financial-db-restored.yaml":      "financial-db-restored.yaml",
		"from-documents/backup-financial-db-before-upgrade.yaml": "manual-backup.yaml",
		"from-documents/scheduledbackup-financial-db-daily.yaml": "scheduled-backup.yaml",
	} {
		t.Run(sample, func(t *testing.T) {
			theirs, err := os.ReadFile(filepath.Join("testdata/accepted", document))
			if err != nil {
				t.Fatal(err)
			}

			ours, err := os.ReadFile(filepath.Join("../../config/samples", sample))
			if err != nil {
				t.Fatal(err)
			}

			want, got := decode(t, theirs), decode(t, ours)
			want.SetAPIVersion(postgresqlv1.GroupVersion.String())

			if diff := cmp.Diff(want.Object, got.Object); diff != "" {
				t.Errorf("the sample differs from the document's manifest (-document +sample):\n%s", diff)
			}
		})
	}
}

// TestDefaults reads back what the API server adds to the smallest Cluster.
func TestDefaults(t *testing.T) {
	server := suite.Server(t)

	cluster := &postgresqlv1.Cluster{}
	cluster.Name, cluster.Namespace = "small", server.Namespace(t)
	cluster.Spec.Storage.Size = "1Gi"

	object := decode(t, []byte("apiVersion: postgresql.caretaker.dev/v1\nkind: Cluster\nspec: {storage: {size: 1Gi}}"))
	object.SetName(cluster.Name)
	object.SetNamespace(cluster.Namespace)

	if err := server.Client.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}

	if err := server.Client.Get(t.Context(), client.ObjectKeyFromObject(cluster), cluster); err != nil {
		t.Fatal(err)
	}

	spec, err := yaml.Marshal(cluster.Spec)
	if err != nil {
		t.Fatal(err)
	}

	const want = `affinity: {}
deletionPolicy: Retain
enablePDB: true
enableSuperuserAccess: false
instances: 1
postgresql: {}
primaryUpdateMethod: switchover
primaryUpdateStrategy: unsupervised
resources: {}
smartShutdownTimeout: 10
startDelay: 3600
stopDelay: 120
storage:
  resizeInUseVolumes: true
  size: 1Gi
`
	if diff := cmp.Diff(want, string(spec)); diff != "" {
		t.Errorf("defaults differ from what the reference says (-want +got):\n%s", diff)
	}
}

func decode(t *testing.T, content []byte) *unstructured.Unstructured {
	t.Helper()

	encoded, err := yaml.YAMLToJSON(content)
	if err != nil {
		t.Fatalf("decode manifest: %v", err)
	}

	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(encoded); err != nil {
		t.Fatalf("decode manifest: %v", err)
	}

	return object
}

// missing are the paths of want that got lacks or holds differently. What the API server has added is no loss.
func missing(path string, want, got any) []string {
	switch want := want.(type) {
	case map[string]any:
		other, ok := got.(map[string]any)
		if !ok {
			return []string{path}
		}

		var lost []string
		for key, value := range want {
			lost = append(lost, missing(path+"."+key, value, other[key])...)
		}

		return lost
	case []any:
		other, ok := got.([]any)
		if !ok || len(other) != len(want) {
			return []string{path}
		}

		var lost []string
		for i, value := range want {
			lost = append(lost, missing(path+"[]", value, other[i])...)
		}

		return lost
	default:
		if !cmp.Equal(want, got) {
			return []string{path}
		}

		return nil
	}
}
