package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// chart is what the chart renders, in the places where a bundle has it.
type chart struct {
	deployment *unstructured.Unstructured
	image      string
	// account is the ServiceAccount, which OLM makes.
	account string
	// clusterRules are the operator's in every namespace, rules those in its own.
	clusterRules, rules []any
	// beside are manifests of their own.
	beside []*unstructured.Unstructured
}

// beside are the kinds that OLM installs from manifests of their own, and that every Kubernetes cluster has.
func beside(kind string) bool {
	return slices.Contains([]string{"ClusterRole", "NetworkPolicy", "PodDisruptionBudget", "Service"}, kind)
}

// leftOut are the kinds that OLM cannot install, or not where the Prometheus operator is missing. docs/how-to/install.md says how they get there.
func leftOut(kind string) bool {
	return slices.Contains([]string{
		"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "ServiceMonitor",
	}, kind)
}

// sort puts what the chart renders in its places.
func sort(objects []*unstructured.Unstructured) (*chart, error) {
	c := &chart{}

	bound := map[string]bool{}
	namespaces := map[string]bool{}

	for _, object := range objects {
		if namespace := object.GetNamespace(); namespace != "" {
			namespaces[namespace] = true
		}

		if kind := object.GetKind(); kind == "ClusterRoleBinding" || kind == "RoleBinding" {
			role, _, _ := unstructured.NestedString(object.Object, "roleRef", "name")
			bound[strings.TrimSuffix(kind, "Binding")+" "+role] = true
		}
	}

	if len(namespaces) > 1 {
		return nil, errors.New("the chart renders objects for several namespaces; a bundle is for all of them, so leave watchNamespaces empty")
	}

	for _, object := range objects {
		clean(object)

		if err := c.put(object, bound[object.GetKind()+" "+object.GetName()]); err != nil {
			return nil, err
		}
	}

	if c.deployment == nil || c.account == "" || len(c.clusterRules) == 0 || len(c.rules) == 0 {
		return nil, errors.New("the chart renders no Deployment, no ServiceAccount or no rights for it")
	}

	return c, nil
}

func (c *chart) put(object *unstructured.Unstructured, bound bool) error {
	kind := object.GetKind()
	rules, _, _ := unstructured.NestedSlice(object.Object, "rules")
	_, hook := object.GetAnnotations()["helm.sh/hook"]

	switch {
	case kind == "Deployment" && c.deployment == nil:
		c.deployment = object

		return c.setImage()
	case kind == "ServiceAccount" && c.account == "":
		c.account = object.GetName()
	case kind == "ClusterRole" && bound:
		c.clusterRules = append(c.clusterRules, rules...)
	case kind == "Role" && bound:
		c.rules = append(c.rules, rules...)
	case beside(kind):
		c.beside = append(c.beside, object)
	case hook, kind == "ClusterRoleBinding", kind == "RoleBinding", kind == "CustomResourceDefinition", leftOut(kind):
	default:
		return fmt.Errorf("the chart renders %s %s; say in hack/bundle whether it is a manifest of the bundle", kind, object.GetName())
	}

	return nil
}

func (c *chart) setImage() error {
	containers, _, err := unstructured.NestedSlice(c.deployment.Object, "spec", "template", "spec", "containers")
	if err != nil || len(containers) != 1 {
		return errors.Join(errors.New("the operator's pods have not one container"), err)
	}

	container, _ := containers[0].(map[string]any)
	c.image, _ = container["image"].(string)

	return nil
}

// install is the CSV's install strategy.
func (c *chart) install() map[string]any {
	labels := map[string]any{}
	for name, value := range c.deployment.GetLabels() {
		labels[name] = value
	}

	rights := func(rules []any) []any { return []any{map[string]any{"serviceAccountName": c.account, "rules": rules}} }

	return map[string]any{
		"strategy": "deployment",
		"spec": map[string]any{
			"deployments":        []any{map[string]any{"name": c.deployment.GetName(), "label": labels, "spec": c.deployment.Object["spec"]}},
			"clusterPermissions": rights(c.clusterRules),
			"permissions":        rights(c.rules),
		},
	}
}

// clean takes from an object what is Helm's, and the namespace, which OLM sets.
func clean(object *unstructured.Unstructured) {
	unstructured.RemoveNestedField(object.Object, "metadata", "namespace")

	for _, path := range [][]string{{"metadata", "labels"}, {"spec", "template", "metadata", "labels"}} {
		for _, label := range []string{"helm.sh/chart", "app.kubernetes.io/managed-by"} {
			unstructured.RemoveNestedField(object.Object, append(slices.Clone(path), label)...)
		}
	}
}
