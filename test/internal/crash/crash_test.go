package crash

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
}

func TestProcessDiesAfterItsLastWrite(t *testing.T) {
	t.Parallel()

	ctx := t.Context()
	under := fake.NewClientBuilder().Build()
	process := NewProcess(under, 2)
	c := process.Client()

	life, cancel := process.Context(ctx)
	defer cancel()

	if err := c.Create(ctx, configMap("a")); err != nil {
		t.Fatalf("first write: %v", err)
	}

	if err := c.Create(ctx, configMap("a")); err == nil || process.IsDead() {
		t.Fatalf("a refused write counted: %v", err)
	}

	if err := c.Create(ctx, configMap("b")); !errors.Is(err, ErrDead) {
		t.Errorf("the last write's answer arrived: %v", err)
	}

	if !errors.Is(life.Err(), context.Canceled) {
		t.Errorf("the process's context lives on: %v", life.Err())
	}

	if err := c.Get(ctx, client.ObjectKeyFromObject(configMap("a")), configMap("a")); !errors.Is(err, ErrDead) {
		t.Errorf("the dead read: %v", err)
	}

	if err := c.Create(ctx, configMap("c")); !errors.Is(err, ErrDead) {
		t.Errorf("the dead wrote: %v", err)
	}

	var stored corev1.ConfigMapList
	if err := under.List(ctx, &stored); err != nil || len(stored.Items) != 2 {
		t.Errorf("%d objects stored, not the two written: %v", len(stored.Items), err)
	}

	if diff := cmp.Diff([]string{"create ConfigMap a", "create ConfigMap b"}, process.Writes()); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
}

// creator makes ConfigMaps, one after the other, as long as it lives.
type creator struct {
	client client.WithWatch
	names  []string
	// forgets: what comes after an existing object is not made, as by a controller that keeps its progress in memory.
	forgets bool
}

func (w *creator) Client() client.WithWatch { return w.client }

func (w *creator) Run(t *testing.T, process *Process) {
	t.Helper()

	for _, name := range w.names {
		object := configMap(name)

		err := process.Client().Get(t.Context(), client.ObjectKeyFromObject(object), object)
		if err == nil && w.forgets {
			return
		}

		if err != nil && process.Client().Create(t.Context(), configMap(name)) != nil {
			return
		}
	}
}

func (w *creator) State(t *testing.T) map[string]string {
	t.Helper()

	var stored corev1.ConfigMapList
	if err := w.client.List(t.Context(), &stored); err != nil {
		t.Fatal(err)
	}

	state := map[string]string{}
	for _, object := range stored.Items {
		state[object.Name] = ""
	}

	return state
}

func TestAfterEveryWritePassesWhatGoesOn(t *testing.T) {
	t.Parallel()

	AfterEveryWrite(t, func(*testing.T) World {
		return &creator{client: fake.NewClientBuilder().Build(), names: []string{"a", "b", "c"}}
	})
}

// TestForgetfulStateDiffers shows what AfterEveryWrite would complain of.
func TestForgetfulStateDiffers(t *testing.T) {
	t.Parallel()

	w := &creator{client: fake.NewClientBuilder().Build(), names: []string{"a", "b", "c"}, forgets: true}
	w.Run(t, NewProcess(w.client, 2))
	w.Run(t, NewProcess(w.client, 0))

	if got := slices.Sorted(maps.Keys(w.State(t))); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("the forgetful controller made %v", got)
	}
}

func TestNormalise(t *testing.T) {
	t.Parallel()

	world := func(uid, namespace, clusterIP, secret, at string) []*unstructured.Unstructured {
		return []*unstructured.Unstructured{
			{Object: map[string]any{
				"kind": "Service", "metadata": map[string]any{"name": "db", "namespace": namespace, "uid": uid, "resourceVersion": at},
				"spec": map[string]any{"clusterIP": clusterIP, "externalName": "db." + namespace + ".svc"},
			}},
			{Object: map[string]any{
				"kind": "Secret", "metadata": map[string]any{"name": "db", "annotations": map[string]any{"caretaker.dev/x-hash": at}},
				"data": map[string]any{"password": secret}, "owner": uid,
			}},
		}
	}

	one, err := Normalise(world("7a1f6c9e-0000-4000-8000-000000000001", "ns-1", "10.0.0.1", "x", "1"), map[string]string{"ns-1": "<ns>"})
	if err != nil {
		t.Fatal(err)
	}

	two, err := Normalise(world("7a1f6c9e-0000-4000-8000-000000000002", "ns-1", "10.0.0.2", "y", "2"), map[string]string{"ns-1": "<ns>"})
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(one, two); diff != "" {
		t.Errorf("two runs of the same differ:\n%s", diff)
	}

	other := world("7a1f6c9e-0000-4000-8000-000000000001", "ns-1", "10.0.0.1", "x", "1")
	if err := unstructured.SetNestedField(other[0].Object, "other", "spec", "type"); err != nil {
		t.Fatal(err)
	}

	three, err := Normalise(other, map[string]string{"ns-1": "<ns>"})
	if err != nil {
		t.Fatal(err)
	}

	if cmp.Equal(one, three) {
		t.Error("a real difference is not seen")
	}
}
