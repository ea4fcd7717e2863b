package apiserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// CRDs are Caretaker's own, from config/crd, or generated now if that folder is missing.
func CRDs(ctx context.Context) ([]*apiextensionsv1.CustomResourceDefinition, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}

	return readCRDs(ctx, root)
}

func readCRDs(ctx context.Context, root string) ([]*apiextensionsv1.CustomResourceDefinition, error) {
	paths, err := filepath.Glob(filepath.Join(root, "config", "crd", "*.caretaker.dev_*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("list CRDs: %w", err)
	}

	if len(paths) == 0 {
		dir, err := os.MkdirTemp("", "caretaker-crd-")
		if err != nil {
			return nil, fmt.Errorf("make folder for CRDs: %w", err)
		}

		defer func() { _ = os.RemoveAll(dir) }()

		if paths, err = generateCRDs(ctx, root, dir); err != nil {
			return nil, err
		}
	}

	crds := make([]*apiextensionsv1.CustomResourceDefinition, 0, len(paths))

	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read CRD: %w", err)
		}

		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.Unmarshal(content, crd); err != nil {
			return nil, fmt.Errorf("read CRD %s: %w", path, err)
		}

		crds = append(crds, crd)
	}

	return crds, nil
}

func generateCRDs(ctx context.Context, root, dir string) ([]string, error) {
	command := exec.CommandContext(ctx, "go", "run", "-modfile=go.tools.mod", "sigs.k8s.io/controller-tools/cmd/controller-gen",
		"crd", "paths=./api/...", "output:crd:dir="+dir)
	command.Dir = root

	if out, err := command.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("generate CRDs: %w\n%s", err, out)
	}

	return filepath.Glob(filepath.Join(dir, "*.yaml"))
}

// installCRDs applies the CRDs and waits until their kinds are served.
func (s *Server) installCRDs(ctx context.Context, root string) error {
	crds, err := readCRDs(ctx, root)
	if err != nil {
		return err
	}

	for _, crd := range crds {
		if err := s.applyCRD(ctx, crd); err != nil {
			return err
		}
	}

	for _, crd := range crds {
		if err := s.waitServed(ctx, crd); err != nil {
			return err
		}
	}

	return nil
}

func (s *Server) applyCRD(ctx context.Context, crd *apiextensionsv1.CustomResourceDefinition) error {
	content, err := yaml.Marshal(crd)
	if err != nil {
		return fmt.Errorf("encode CRD %s: %w", crd.Name, err)
	}

	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(content, &object.Object); err != nil {
		return fmt.Errorf("encode CRD %s: %w", crd.Name, err)
	}

	unstructured.RemoveNestedField(object.Object, "status")
	unstructured.RemoveNestedField(object.Object, "metadata", "creationTimestamp")

	err = s.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object),
		client.FieldOwner("caretaker-tests"), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("apply CRD %s: %w", crd.Name, err)
	}

	return nil
}

// waitServed waits until lists of the kind work: "established" is said a moment before.
func (s *Server) waitServed(ctx context.Context, crd *apiextensionsv1.CustomResourceDefinition) error {
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion(crd.Spec.Group + "/" + crd.Spec.Versions[0].Name)
	list.SetKind(crd.Spec.Names.ListKind)

	var last error

	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, 30*time.Second, true,
		func(ctx context.Context) (bool, error) {
			last = s.Client.List(ctx, list)

			return last == nil, nil
		})
	if err != nil {
		return fmt.Errorf("CRD %s is not served: %w", crd.Name, errors.Join(err, last))
	}

	return nil
}
