package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

const (
	pollInterval = 100 * time.Millisecond
	// timeout of everything that is waited for beside what is measured.
	timeout = 10 * time.Minute
)

// group of our kinds ends so.
const group = ".caretaker.dev"

//go:embed objects.yaml
var objects []byte

// world is a namespace with one object of each kind.
type world struct {
	kube      *kube.Kube
	namespace string
	made      []*unstructured.Unstructured
}

// owned is an object that the operator applies for another.
type owned struct {
	live *unstructured.Unstructured
	// owner is the kind of that other.
	owner string
}

// String names it.
func (o *owned) String() string {
	return fmt.Sprintf("%s %s of a %s", o.live.GetKind(), o.live.GetName(), o.owner)
}

func newWorld(ctx context.Context, k *kube.Kube, only string) (*world, error) {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "bench-drift-",
		// The development shop sets no security context.
		Labels: map[string]string{"pod-security.kubernetes.io/enforce": "baseline"},
	}}
	if err := k.Client.Create(ctx, ns); err != nil {
		return nil, fmt.Errorf("create namespace: %w", err)
	}

	w := &world{kube: k, namespace: ns.Name}

	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(objects), 4096); ; {
		object := &unstructured.Unstructured{}

		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return w, nil
		}

		if err != nil {
			return nil, errors.Join(fmt.Errorf("read objects.yaml: %w", err), w.remove(ctx))
		}

		ours := strings.HasSuffix(object.GroupVersionKind().Group, group)
		if ours && only != "" && !slices.Contains(strings.Split(only, ","), object.GetKind()) {
			continue
		}

		object.SetNamespace(w.namespace)

		if err := k.Client.Create(ctx, object); err != nil {
			return nil, errors.Join(fmt.Errorf("create %s: %w", object.GetKind(), err), w.remove(ctx))
		}

		if ours {
			w.made = append(w.made, object)
		}
	}
}

// settled waits until everything that was made is ready, so that one change does not slow the next. Dumps are not waited for: they have no store.
func (w *world) settled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	var unready string

	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(ctx context.Context) (bool, error) {
		for _, object := range w.made {
			if err := w.kube.Client.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
				return false, fmt.Errorf("get %s: %w", object.GetKind(), err)
			}

			if !ready(object) && object.GroupVersionKind().Group != "backup.caretaker.dev" {
				unready = fmt.Sprintf("%s %s: %v", object.GetKind(), object.GetName(), object.Object["status"])

				return false, nil
			}
		}

		return true, nil
	})
	if err != nil {
		return fmt.Errorf("wait until everything is ready: %w (%s)", err, unready)
	}

	return nil
}

func ready(object *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")

	return slices.ContainsFunc(conditions, func(condition any) bool {
		c, ok := condition.(map[string]any)

		return ok && (c["type"] == "Ready") && c["status"] == "True"
	})
}

// applied are the objects in the namespace that the operator applies for one of our kinds, of whatever kind they are.
func (w *world) applied(ctx context.Context) ([]*owned, error) {
	lists, err := w.kube.Clientset.Discovery().ServerPreferredNamespacedResources()
	if err != nil {
		return nil, fmt.Errorf("list the API's kinds: %w", err)
	}

	var found []*owned

	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, fmt.Errorf("list the API's kinds: %w", err)
		}

		for _, resource := range list.APIResources {
			if !slices.Contains(resource.Verbs, "watch") || !slices.Contains(resource.Verbs, "patch") {
				continue
			}

			items := &unstructured.UnstructuredList{}
			items.SetGroupVersionKind(version.WithKind(resource.Kind + "List"))

			if err := w.kube.Client.List(ctx, items, client.InNamespace(w.namespace)); err != nil {
				return nil, fmt.Errorf("list %s: %w", resource.Name, err)
			}

			for i := range items.Items {
				if owner := ownerOf(&items.Items[i]); owner != "" {
					found = append(found, &owned{live: &items.Items[i], owner: owner})
				}
			}
		}
	}

	return found, nil
}

// ownerOf is the kind of ours that the object is applied for; empty if it is not.
func ownerOf(object *unstructured.Unstructured) string {
	if !slices.ContainsFunc(object.GetManagedFields(), appliedByUs) {
		return ""
	}

	for _, reference := range object.GetOwnerReferences() {
		if version, err := schema.ParseGroupVersion(reference.APIVersion); err == nil && strings.HasSuffix(version.Group, group) {
			return reference.Kind
		}
	}

	return ""
}

// othersFields asserts that the replicas of a WebApp with an autoscaler, which are not the operator's, stay as somebody has set them while the
// operator puts something else in the same Deployment right.
func (w *world) othersFields(ctx context.Context) error {
	const replicas = 3

	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "web"}}

	err := w.kube.Client.SubResource("scale").Patch(ctx, deployment, client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)),
		client.WithSubResourceBody(&autoscalingv1.Scale{}))
	if apierrors.IsNotFound(err) {
		return nil
	}

	if err != nil {
		return fmt.Errorf("scale: %w", err)
	}

	live := &unstructured.Unstructured{}
	live.SetAPIVersion("apps/v1")
	live.SetKind("Deployment")
	live.SetNamespace(w.namespace)
	live.SetName("web")

	if _, err := w.measure(ctx, &owned{live: live, owner: "WebApp"}, edit); err != nil {
		return fmt.Errorf("edit a Deployment: %w", err)
	}

	if err := w.kube.Client.Get(ctx, client.ObjectKeyFromObject(deployment), deployment); err != nil {
		return fmt.Errorf("get Deployment: %w", err)
	}

	if got := *deployment.Spec.Replicas; got != replicas {
		return fmt.Errorf("the Deployment of a WebApp with an autoscaler has %d replicas, and was given %d by somebody else", got, replicas)
	}

	fmt.Printf("the %d replicas of a WebApp with an autoscaler were left alone\n", replicas)

	return nil
}

func (w *world) remove(ctx context.Context) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}
	if err := w.kube.Client.Delete(ctx, ns); err != nil {
		return fmt.Errorf("delete namespace: %w", err)
	}

	return nil
}
