package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// What the bundle is called, and the channel that a Subscription names. It is the one that OLM recommends for what is not stable yet.
const (
	packageName = "caretaker"
	channel     = "candidate"
)

const csvFile = packageName + ".clusterserviceversion.yaml"

func main() {
	root := flag.String("root", ".", "folder of the repository")
	flag.Parse()

	if err := run(*root, os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "bundle:", err)
		os.Exit(1)
	}
}

// run writes the bundle of what the chart has rendered.
func run(root string, rendered io.Reader) error {
	objects, err := decode(rendered)
	if err != nil {
		return fmt.Errorf("read what the chart renders: %w", err)
	}

	source, err := readSource(root)
	if err != nil {
		return err
	}

	chart, err := sort(objects)
	if err != nil {
		return err
	}

	csv, err := source.csv(chart)
	if err != nil {
		return err
	}

	files := map[string][]byte{}
	maps.Copy(files, source.crds)

	if files[csvFile], err = yaml.Marshal(csv); err != nil {
		return fmt.Errorf("write %s: %w", csvFile, err)
	}

	for _, object := range chart.beside {
		name := fmt.Sprintf("%s_%s_%s.yaml", object.GetName(), strings.ReplaceAll(object.GetAPIVersion(), "/", "_"), strings.ToLower(object.GetKind()))

		if files[name], err = yaml.Marshal(object.Object); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}

	return write(root, files)
}

// write the manifests and what tells of them. Manifests that nothing makes any more go.
func write(root string, manifests map[string][]byte) error {
	folder := filepath.Join(root, "bundle", "manifests")
	if err := os.RemoveAll(folder); err != nil {
		return fmt.Errorf("empty the bundle: %w", err)
	}

	annotations := &bytes.Buffer{}
	dockerfile := bytes.NewBufferString("# Made by make bundle.\nFROM scratch\n\n")

	annotations.WriteString("annotations:\n")

	for _, a := range [][2]string{
		{"mediatype.v1", "registry+v1"},
		{"manifests.v1", "manifests/"},
		{"metadata.v1", "metadata/"},
		{"package.v1", packageName},
		{"channels.v1", channel},
		{"channel.default.v1", channel},
	} {
		fmt.Fprintf(annotations, "  operators.operatorframework.io.bundle.%s: %s\n", a[0], a[1])
		fmt.Fprintf(dockerfile, "LABEL operators.operatorframework.io.bundle.%s=%s\n", a[0], a[1])
	}

	dockerfile.WriteString("\nCOPY bundle/manifests /manifests/\nCOPY bundle/metadata /metadata/\n")

	files := map[string][]byte{
		filepath.Join("bundle", "metadata", "annotations.yaml"): annotations.Bytes(),
		"bundle.Dockerfile": dockerfile.Bytes(),
	}
	for name, content := range manifests {
		files[filepath.Join("bundle", "manifests", name)] = content
	}

	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // The bundle is for everybody.
			return fmt.Errorf("write the bundle: %w", err)
		}

		if err := os.WriteFile(path, content, 0o644); err != nil { //nolint:gosec // The bundle is for everybody.
			return fmt.Errorf("write the bundle: %w", err)
		}
	}

	return nil
}

// decode the documents of a YAML stream, but for empty ones.
func decode(r io.Reader) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured

	for decoder := utilyaml.NewYAMLOrJSONDecoder(r, 4096); ; {
		object := &unstructured.Unstructured{}

		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}

		if err != nil {
			return nil, err //nolint:wrapcheck // The callers name the file.
		}

		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

func decodeFiles(patterns ...string) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured

	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			return nil, errors.Join(fmt.Errorf("no %s", pattern), err)
		}

		slices.Sort(paths)

		for _, path := range paths {
			content, err := os.ReadFile(path) //nolint:gosec // The repository's own files.
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", path, err)
			}

			objects, err := decode(bytes.NewReader(content))
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", path, err)
			}

			all = append(all, objects...)
		}
	}

	return all, nil
}
