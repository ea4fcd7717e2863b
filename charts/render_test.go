package charts_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
)

const tools = "../go.tools.mod"

// helm is the path of the pinned program, built when it is first asked for.
var helm = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "tool", "-modfile="+tools, "-n", "helm").Output()
	if err != nil {
		return "", fmt.Errorf("build helm: %w", err)
	}

	return strings.TrimSpace(string(out)), nil
})

func runHelm(t *testing.T, arguments ...string) (string, error) {
	t.Helper()

	program, err := helm()
	if err != nil {
		t.Fatal(err)
	}

	var stdout, stderr bytes.Buffer

	command := exec.Command(program, arguments...)
	command.Stdout, command.Stderr = &stdout, &stderr

	if err := command.Run(); err != nil {
		return "", fmt.Errorf("helm %s: %w\n%s%s", strings.Join(arguments, " "), err, stdout.String(), stderr.String())
	}

	return stdout.String(), nil
}

// render is what the chart makes, by "Kind name" or "Kind namespace/name".
func render(t *testing.T, arguments ...string) map[string]*unstructured.Unstructured {
	t.Helper()

	out, err := runHelm(t, append([]string{"template", "caretaker", "caretaker", "--namespace", "caretaker-system"}, arguments...)...)
	if err != nil {
		t.Fatal(err)
	}

	objects := map[string]*unstructured.Unstructured{}
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(out), 4096)

	for {
		object := &unstructured.Unstructured{}

		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects
		}

		if err != nil {
			t.Fatalf("%v in\n%s", err, out)
		}

		if len(object.Object) == 0 {
			continue
		}

		name := object.GetName()
		if n := object.GetNamespace(); n != "" && n != "caretaker-system" {
			name = n + "/" + name
		}

		objects[object.GetKind()+" "+name] = object
	}
}

func get[T any](t *testing.T, objects map[string]*unstructured.Unstructured, key string) *T {
	t.Helper()

	object, ok := objects[key]
	if !ok {
		t.Fatalf("the chart makes no %s", key)
	}

	typed := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, typed, true); err != nil {
		t.Fatalf("%s: %v", key, err)
	}

	return typed
}

func keys(objects map[string]*unstructured.Unstructured) []string {
	var names []string
	for name := range objects {
		names = append(names, name)
	}

	slices.Sort(names)

	return names
}

func TestDefaultObjects(t *testing.T) {
	want := []string{
		"ClusterRole caretaker-system-caretaker",
		"ClusterRole caretaker-system-caretaker-edit",
		"ClusterRole caretaker-system-caretaker-view",
		"ClusterRoleBinding caretaker-system-caretaker",
		"CustomResourceDefinition appconfigs.config.caretaker.dev",
		"CustomResourceDefinition appstacks.platform.caretaker.dev",
		"CustomResourceDefinition backups.postgresql.caretaker.dev",
		"CustomResourceDefinition clusters.postgresql.caretaker.dev",
		"CustomResourceDefinition clusterterms.postgresql.caretaker.dev",
		"CustomResourceDefinition databases.postgresql.caretaker.dev",
		"CustomResourceDefinition dumps.backup.caretaker.dev",
		"CustomResourceDefinition ecommerceplatforms.platform.caretaker.dev",
		"CustomResourceDefinition mysqls.database.caretaker.dev",
		"CustomResourceDefinition postgresqls.database.caretaker.dev",
		"CustomResourceDefinition scheduledbackups.postgresql.caretaker.dev",
		"CustomResourceDefinition webapps.apps.caretaker.dev",
		"Deployment caretaker",
		"Pod caretaker-test",
		"PodDisruptionBudget caretaker",
		"Role caretaker-leader-election",
		"RoleBinding caretaker-leader-election",
		"Service caretaker",
		"ServiceAccount caretaker",
		"ValidatingAdmissionPolicy caretaker-system-caretaker-webapps",
		"ValidatingAdmissionPolicyBinding caretaker-system-caretaker-webapps",
	}
	if diff := cmp.Diff(want, keys(render(t))); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
}

func TestOptionalObjects(t *testing.T) {
	without := keys(render(t, "--set", "crds.install=false,rbac.create=false,rbac.aggregate=false,serviceAccount.create=false,replicas=1,webAppPolicy.enabled=false"))
	if diff := cmp.Diff([]string{"Deployment caretaker", "Pod caretaker-test", "Service caretaker"}, without); diff != "" {
		t.Errorf("the least (-want +got):\n%s", diff)
	}

	all := render(t, "--set", "networkPolicy.enabled=true,metrics.serviceMonitor.enabled=true,metrics.secure=true")
	for _, name := range []string{"NetworkPolicy caretaker", "ServiceMonitor caretaker"} {
		if all[name] == nil {
			t.Errorf("no %s", name)
		}
	}
}

// TestCRDsAreThoseOfTheAPI: the chart's are generated files, kept on uninstallation, and otherwise config/crd.
func TestCRDsAreThoseOfTheAPI(t *testing.T) {
	objects := render(t)

	files, err := filepath.Glob("../config/crd/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no CRDs: %v", err)
	}

	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}

		want := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.Unmarshal(content, want); err != nil {
			t.Fatal(err)
		}

		got := get[apiextensionsv1.CustomResourceDefinition](t, objects, "CustomResourceDefinition "+want.Name)
		if diff := cmp.Diff(want.Spec, got.Spec); diff != "" {
			t.Errorf("%s: run make generate (-config +chart):\n%s", file, diff)
		}

		if got.Annotations["helm.sh/resource-policy"] != "keep" {
			t.Errorf("%s would be deleted with the release, and every Cluster with it", want.Name)
		}
	}
}

func TestDeploymentIsRestricted(t *testing.T) {
	objects := render(t)
	deployment := get[appsv1.Deployment](t, objects, "Deployment caretaker")
	test := get[corev1.Pod](t, objects, "Pod caretaker-test")

	for name, spec := range map[string]corev1.PodSpec{"operator": deployment.Spec.Template.Spec, "test": test.Spec} {
		container := spec.Containers[0]

		if p := spec.SecurityContext; p == nil || p.RunAsNonRoot == nil || !*p.RunAsNonRoot || p.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			t.Errorf("%s: pod security context is %+v", name, p)
		}

		c := container.SecurityContext
		if c == nil || *c.AllowPrivilegeEscalation || !*c.ReadOnlyRootFilesystem || !slices.Contains(c.Capabilities.Drop, "ALL") {
			t.Errorf("%s: container security context is %+v", name, c)
		}

		if container.Resources.Limits.Memory().IsZero() || container.Resources.Requests.Cpu().IsZero() {
			t.Errorf("%s: resources are %+v", name, container.Resources)
		}
	}

	if deployment.Spec.Template.Spec.Affinity.PodAntiAffinity == nil {
		t.Error("replicas may all land on one node")
	}
}

func TestValuesReachTheOperator(t *testing.T) {
	objects := render(t,
		"--set", "image.repository=registry.example.org/caretaker,image.tag=v9,image.pullPolicy=Always",
		"--set", "defaultPostgresImage=registry.example.org/postgres:17.5",
		"--set", "watchNamespaces={a,b,a}", "--set", "leaderElection.leaseDuration=20s", "--set", "metrics.enabled=false",
		"--set", "log.level=debug,kubeAPIQPS=-1,extraArgs={--pprof-bind-address=:6060}")
	container := get[appsv1.Deployment](t, objects, "Deployment caretaker").Spec.Template.Spec.Containers[0]

	if container.Image != "registry.example.org/caretaker:v9" || container.ImagePullPolicy != corev1.PullAlways {
		t.Errorf("image %s, %s", container.Image, container.ImagePullPolicy)
	}

	for _, want := range []string{
		"--operator-image=registry.example.org/caretaker:v9", "--operator-image-pull-policy=Always",
		"--default-postgres-image=registry.example.org/postgres:17.5", "--watch-namespaces=a,b",
		"--leader-election-lease-duration=20s", "--metrics-bind-address=0", "--log-level=debug", "--kube-api-qps=-1",
		"--pprof-bind-address=:6060",
	} {
		if !slices.Contains(container.Args, want) {
			t.Errorf("no %s in %v", want, container.Args)
		}
	}
}

func TestNamespacedRights(t *testing.T) {
	everywhere := get[rbacv1.ClusterRole](t, render(t), "ClusterRole caretaker-system-caretaker").Rules
	objects := render(t, "--set", "watchNamespaces={team-a,team-b}")
	fewer := get[rbacv1.ClusterRole](t, objects, "ClusterRole caretaker-system-caretaker").Rules

	for _, rule := range fewer {
		isClass := slices.Equal(rule.Resources, []string{"storageclasses"}) && slices.Equal(rule.Verbs, []string{"get"}) ||
			slices.Equal(rule.Resources, []string{"volumesnapshotclasses"}) && slices.Equal(rule.Verbs, []string{"list"})
		if !isClass {
			t.Errorf("a right in all namespaces: %v", rule)
		}
	}

	for _, namespace := range []string{"team-a", "team-b"} {
		role := get[rbacv1.Role](t, objects, "Role "+namespace+"/caretaker-system-caretaker")
		if diff := cmp.Diff(everywhere[2:], role.Rules); diff != "" {
			t.Errorf("%s: rights differ from those with all namespaces (-all +one):\n%s", namespace, diff)
		}

		binding := get[rbacv1.RoleBinding](t, objects, "RoleBinding "+namespace+"/caretaker-system-caretaker")
		want := []rbacv1.Subject{{Kind: "ServiceAccount", Name: "caretaker", Namespace: "caretaker-system"}}

		if diff := cmp.Diff(want, binding.Subjects); diff != "" {
			t.Errorf("%s: subjects (-want +got):\n%s", namespace, diff)
		}
	}
}

// TestOperatorHoldsWhatItGrants: the API server refuses a Role with rights that its maker lacks.
func TestOperatorHoldsWhatItGrants(t *testing.T) {
	held := get[rbacv1.ClusterRole](t, render(t), "ClusterRole caretaker-system-caretaker").Rules
	granted := build.Role(build.Input{Cluster: &v1.Cluster{}, Members: []string{"pg-0"}}).Rules

	for _, rule := range granted {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					if !allows(held, group, resource, verb) {
						t.Errorf("the operator grants %s of %s but may not do it itself", verb, resource)
					}
				}
			}
		}
	}
}

func allows(rules []rbacv1.PolicyRule, group, resource, verb string) bool {
	return slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool {
		return slices.Contains(r.APIGroups, group) && slices.Contains(r.Resources, resource) && slices.Contains(r.Verbs, verb) && len(r.ResourceNames) == 0
	})
}

func TestUsersCannotWriteTermRecords(t *testing.T) {
	objects := render(t)
	view := get[rbacv1.ClusterRole](t, objects, "ClusterRole caretaker-system-caretaker-view")
	edit := get[rbacv1.ClusterRole](t, objects, "ClusterRole caretaker-system-caretaker-edit")
	group := v1.GroupVersion.Group

	if !allows(view.Rules, group, "clusters", "watch") || !allows(view.Rules, group, "clusterterms", "get") || !allows(edit.Rules, group, "clusters", "create") {
		t.Errorf("view %v\nedit %v", view.Rules, edit.Rules)
	}

	for _, verb := range []string{"create", "update", "patch", "delete", "deletecollection", "*"} {
		if allows(edit.Rules, group, "clusterterms", verb) || allows(view.Rules, group, "clusterterms", verb) {
			t.Errorf("users may %s term records", verb)
		}
	}
}

func TestRefusedValues(t *testing.T) {
	for set, message := range map[string]string{
		"replica=3":                         "replica",
		"replicas=two":                      "replicas",
		"image.pullPolicy=Sometimes":        "pullPolicy",
		"log.level=verbose":                 "level",
		"leaderElection.leaseDuration=15":   "leaseDuration",
		"watchNamespaces={Upper}":           "watchNamespaces",
		"kubeAPIQPS=0":                      "kubeAPIQPS",
		"defaultPostgresImage=postgres":     "defaultPostgresImage",
		"extraArgs={pprof}":                 "extraArgs",
		"metrics.serviceMonitor.enable=yes": "enable",
	} {
		t.Run(set, func(t *testing.T) {
			_, err := runHelm(t, "template", "caretaker", "caretaker", "--set", set)
			if err == nil || !strings.Contains(err.Error(), message) {
				t.Errorf("error is %v, want one about %s", err, message)
			}
		})
	}
}

func TestLint(t *testing.T) {
	if _, err := runHelm(t, "lint", "--strict", "caretaker"); err != nil {
		t.Error(err)
	}
}

func TestNamesFollowTheRelease(t *testing.T) {
	out, err := runHelm(t, "template", "blue", "caretaker", "--namespace", "databases", "--set", "crds.install=false")
	if err != nil {
		t.Fatal(err)
	}

	for _, want := range []string{"name: blue-caretaker\n", "name: databases-blue-caretaker\n", "--leader-election-id=blue-caretaker", "http://blue-caretaker:8081/readyz"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q", want)
		}
	}
}
