package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/caretaker-dev/caretaker/internal/naming"
)

// change is what is done to an object by hand.
type change string

const (
	edit   change = "edited"
	remove change = "deleted"
)

// patience is how long a change is waited for, and what counts for one that is not put right.
const patience = 30 * time.Second

// errLeftAlone says that the change would do harm, that there is nothing to edit, or that the API server refuses it.
var errLeftAlone = errors.New("left alone")

// harmless says whether objects of the kind are deleted. Not pods, volumes and what has the data behind it; not Secrets, whose passwords would be others; not
// ServiceAccounts, with which the tokens of running pods go.
func harmless(kind string) bool {
	return slices.Contains([]string{
		"ConfigMap", "CronJob", "Deployment", "HorizontalPodAutoscaler", "Ingress", "NetworkPolicy", "PodDisruptionBudget", "Role", "RoleBinding", "Service",
	}, kind)
}

// fields to edit by kind, the first that the operator owns. * is the first key there. A field that is not among them would restart pods; of the
// other kinds, and where the operator owns none of these, a label is edited.
var fields = map[string][]string{ //nolint:gochecknoglobals // A table.
	"ConfigMap":               {"data.*"},
	"CronJob":                 {"spec.schedule"},
	"Deployment":              {"spec.revisionHistoryLimit", "spec.progressDeadlineSeconds", "spec.minReadySeconds", "spec.strategy.rollingUpdate.maxSurge"},
	"HorizontalPodAutoscaler": {"spec.maxReplicas"},
	"Ingress":                 {"spec.rules"},
	"NetworkPolicy":           {"spec.podSelector.matchLabels.*"},
	"PodDisruptionBudget":     {"spec.maxUnavailable", "spec.minAvailable"},
	"Role":                    {"rules"},
	"RoleBinding":             {"subjects"},
	"Service":                 {"spec.selector.*"},
	"ServiceAccount":          {"automountServiceAccountToken"},
}

// measure how long a change stays, from the answer to it on.
func (w *world) measure(ctx context.Context, object *owned, how change) (time.Duration, error) {
	live := object.live.DeepCopy()
	if err := w.kube.Client.Get(ctx, client.ObjectKeyFromObject(live), live); err != nil {
		return 0, fmt.Errorf("get: %w", err)
	}

	path, value := toEdit(live)
	if path == nil || (how == remove && !harmless(live.GetKind())) {
		return 0, errLeftAlone
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	events, err := w.watch(ctx, live)
	if err != nil {
		return 0, err
	}
	defer events.Stop()

	if err := w.do(ctx, how, live.DeepCopy(), path, value); err != nil {
		return 0, err
	}

	began := time.Now()
	was, _, _ := unstructured.NestedFieldNoCopy(live.Object, path...)
	took := until(events, changed{how: how, uid: live.GetUID(), path: path, was: was})

	return min(took.Sub(began), patience), w.settled(ctx)
}

func (w *world) do(ctx context.Context, how change, object *unstructured.Unstructured, path []string, value any) error {
	if how == remove {
		if err := w.kube.Client.Delete(ctx, object); err != nil {
			return fmt.Errorf("delete: %w", err)
		}

		return nil
	}

	patch := map[string]any{}
	if err := unstructured.SetNestedField(patch, value, path...); err != nil {
		return fmt.Errorf("make the edit: %w", err)
	}

	text, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("make the edit: %w", err)
	}

	if err := w.kube.Client.Patch(ctx, object, client.RawPatch(types.MergePatchType, text), client.FieldOwner("somebody")); err != nil {
		// Such as a ConfigMap that is immutable.
		if apierrors.IsInvalid(err) {
			return errLeftAlone
		}

		return fmt.Errorf("edit %s: %w", strings.Join(path, "."), err)
	}

	return nil
}

// watch one object from the version that it was read in.
func (w *world) watch(ctx context.Context, object *unstructured.Unstructured) (watch.Interface, error) {
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion(object.GetAPIVersion())
	list.SetKind(object.GetKind() + "List")

	events, err := w.kube.Client.Watch(ctx, list, client.InNamespace(object.GetNamespace()), client.MatchingFields{"metadata.name": object.GetName()},
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: object.GetResourceVersion()}})
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}

	return events, nil
}

// changed is what was done to an object.
type changed struct {
	how  change
	uid  types.UID
	path []string
	was  any
}

// right says whether an object is as it was: the field, and if it was deleted, that it is another object.
func (c changed) right(object *unstructured.Unstructured) bool {
	is, _, _ := unstructured.NestedFieldNoCopy(object.Object, c.path...)

	return object.GetDeletionTimestamp() == nil && (c.how == edit || object.GetUID() != c.uid) && equality.Semantic.DeepEqual(is, c.was)
}

// until is the moment at which the object was seen right after it was seen wrong, or the end of patience.
func until(events watch.Interface, c changed) time.Time {
	deadline := time.After(patience)
	wrong := false

	for {
		select {
		case event, ok := <-events.ResultChan():
			object, isObject := event.Object.(*unstructured.Unstructured)
			if !ok || !isObject {
				return time.Now().Add(patience)
			}

			right := event.Type != watch.Deleted && c.right(object)
			if right && wrong {
				return time.Now()
			}

			wrong = wrong || !right
		case <-deadline:
			return time.Now()
		}
	}
}

// toEdit is a field of the object that the operator owns, and another value for it.
func toEdit(object *unstructured.Unstructured) ([]string, any) {
	candidates := append(slices.Clone(fields[object.GetKind()]), "metadata.labels.*")

	for _, candidate := range candidates {
		path := resolve(object, strings.Split(candidate, "."))
		if path == nil || !owns(object, path) {
			continue
		}

		is, _, _ := unstructured.NestedFieldNoCopy(object.Object, path...)
		if value := other(path, is); value != nil {
			return path, value
		}
	}

	return nil, nil
}

// resolve puts in the key for a *: the first in the alphabet that the operator owns.
func resolve(object *unstructured.Unstructured, path []string) []string {
	last := len(path) - 1
	if path[last] != "*" {
		if _, found, err := unstructured.NestedFieldNoCopy(object.Object, path...); !found || err != nil {
			return nil
		}

		return path
	}

	under, _, _ := unstructured.NestedMap(object.Object, path[:last]...)

	for _, key := range slices.SortedFunc(maps.Keys(under), cmp.Compare) {
		if at := append(slices.Clone(path[:last]), key); owns(object, at) {
			return at
		}
	}

	return nil
}

// owns says whether the operator applies the field, by itself or as a part of something that is owned as a whole.
func owns(object *unstructured.Unstructured, path []string) bool {
	return slices.ContainsFunc(object.GetManagedFields(), func(entry metav1.ManagedFieldsEntry) bool {
		if !appliedByUs(entry) {
			return false
		}

		var set map[string]any
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &set); err != nil {
			return false
		}

		for _, name := range path {
			under, ok := set["f:"+name].(map[string]any)
			if !ok {
				return false
			}

			if len(under) == 0 {
				return true
			}

			set = under
		}

		return true
	})
}

func appliedByUs(entry metav1.ManagedFieldsEntry) bool {
	return entry.Manager == naming.FieldOwner && entry.Operation == metav1.ManagedFieldsOperationApply && entry.Subresource == "" && entry.FieldsV1 != nil
}

// other is a value in the place of one, that the API server takes; nil if there is none.
func other(path []string, is any) any {
	switch is := is.(type) {
	case string:
		if path[len(path)-1] == "schedule" {
			return "0 0 1 1 *"
		}

		return "somebody-else"
	case int64:
		return is + 1
	case bool:
		return !is
	case []any:
		if path[len(path)-1] == "rules" && len(path) > 1 {
			return []any{map[string]any{"host": "somebody-else.example.org"}}
		}

		return []any{}
	default:
		return nil
	}
}
