package api

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/instanceclient"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/test/internal/apiserver"
)

// TestPodMonitor: where the kind is not installed the Cluster says so and is ready all the same; once it is, the PodMonitor
// is made, kept, and taken away.
func TestPodMonitor(t *testing.T) {
	w := started(t, func(s *postgresqlv1.ClusterSpec) {
		s.Monitoring = &postgresqlv1.MonitoringConfiguration{EnablePodMonitor: true}
	})

	w.wantPodMonitorCondition(t, metav1.ConditionFalse, postgresqlv1.ReasonPodMonitorAPINotFound)
	installKind(t, w.server, "testdata/podmonitors.yaml", build.PodMonitorGVK())
	w.settle(t)
	w.wantReady(t)
	w.wantPodMonitorCondition(t, metav1.ConditionTrue, postgresqlv1.ReasonPodMonitorMade)

	monitor := w.podMonitor(t)
	if monitor == nil {
		t.Fatal("there is no PodMonitor")
	}

	labels, _, _ := unstructured.NestedStringMap(monitor.Object, "spec", "selector", "matchLabels")
	if owner := metav1.GetControllerOf(monitor); owner == nil || owner.UID != w.cluster(t).UID || labels[naming.LabelCluster] != "db" {
		t.Errorf("it selects %v and belongs to %v", labels, owner)
	}

	// Whoever changes or deletes it by hand gets it back.
	if err := unstructured.SetNestedStringMap(monitor.Object, map[string]string{"app": "another"}, "spec", "selector", "matchLabels"); err != nil {
		t.Fatal(err)
	}

	if err := w.server.Client.Update(t.Context(), monitor); err != nil {
		t.Fatal(err)
	}

	w.settle(t)

	if labels, _, _ := unstructured.NestedStringMap(w.podMonitor(t).Object, "spec", "selector", "matchLabels"); labels[naming.LabelCluster] != "db" {
		t.Errorf("after a change by hand it selects %v", labels)
	}

	if writes := w.settle(t); len(writes) > 0 {
		t.Errorf("at rest it writes %v", writes)
	}

	if err := w.server.Client.Delete(t.Context(), w.podMonitor(t)); err != nil {
		t.Fatal(err)
	}

	if w.settle(t); w.podMonitor(t) == nil {
		t.Error("it is not made again")
	}

	w.change(t, func(c *postgresqlv1.Cluster) { c.Spec.Monitoring.EnablePodMonitor = false })

	if w.settle(t); w.podMonitor(t) != nil {
		t.Error("it stays, though it is not asked for any more")
	}

	// One more pass: the condition goes when the object has.
	w.settle(t)

	if c := meta.FindStatusCondition(w.cluster(t).Status.Conditions, postgresqlv1.ConditionPodMonitor); c != nil {
		t.Errorf("the condition stays: %+v", c)
	}
}

// TestPodMonitorIsWatched: one that is changed or deleted by hand comes back at once, and not when the Cluster is looked at again.
func TestPodMonitorIsWatched(t *testing.T) {
	w := newWorld(t)
	installKind(t, w.server, "testdata/podmonitors.yaml", build.PodMonitorGVK())

	// Nothing of one that sleeps moves: it is looked at every ten seconds.
	object := w.newCluster(func(s *postgresqlv1.ClusterSpec) {
		s.Monitoring = &postgresqlv1.MonitoringConfiguration{EnablePodMonitor: true}
	})
	object.Annotations = map[string]string{naming.AnnotationHibernate: "on"}
	w.create(t, object)

	passes := &noticed{PassiveClock: clock.RealClock{}}

	w.server.RunManager(t, w.namespace, func(manager ctrl.Manager) error {
		return cluster.SetupWithManager(manager, cluster.Options{
			DefaultImage: w.defaultImage, OperatorImage: w.operatorImage, Clock: passes,
			Instances: instanceclient.New(clock.RealClock{}), Recorder: manager.GetEventRecorder("test"),
		})
	})

	within(t, time.Minute, "the PodMonitor should be made", func() bool { return w.podMonitor(t) != nil })

	for _, drift := range []struct {
		what string
		do   func(*unstructured.Unstructured) error
	}{
		{"changed", func(m *unstructured.Unstructured) error {
			if err := unstructured.SetNestedStringMap(m.Object, map[string]string{"app": "another"}, "spec", "selector", "matchLabels"); err != nil {
				return err
			}

			return w.server.Client.Update(t.Context(), m)
		}},
		{"deleted", func(m *unstructured.Unstructured) error { return w.server.Client.Delete(t.Context(), m) }},
	} {
		within(t, time.Minute, "the Cluster should have been looked at a moment ago", func() bool {
			since := passes.since()

			return since > time.Second && since < 2*time.Second
		})

		monitor := w.podMonitor(t)
		if err := drift.do(monitor); err != nil {
			t.Fatal(err)
		}

		within(t, 7*time.Second, "one that was "+drift.what+" should be put right", func() bool {
			live := w.podMonitor(t)
			if live == nil {
				return false
			}

			labels, _, _ := unstructured.NestedStringMap(live.Object, "spec", "selector", "matchLabels")

			return labels[naming.LabelCluster] == "db"
		})
	}
}

// noticed is a clock that remembers when it was last looked at, which is in every pass.
type noticed struct {
	clock.PassiveClock

	mu   sync.Mutex
	last time.Time
}

func (n *noticed) Now() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()

	n.last = n.PassiveClock.Now()

	return n.last
}

func (n *noticed) since() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()

	return n.Since(n.last)
}

func within(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()

	for deadline := time.Now().Add(limit); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s, within %s", what, limit)
		}
	}
}

// installKind installs a kind that is somebody else's until the test is over.
func installKind(t *testing.T, server *apiserver.Server, file string, kind schema.GroupVersionKind) {
	t.Helper()

	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.Unmarshal(content, crd); err != nil {
		t.Fatal(err)
	}

	if err := server.Client.Create(t.Context(), crd); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		// The test's own context is over.
		if err := server.Client.Delete(context.WithoutCancel(t.Context()), crd); client.IgnoreNotFound(err) != nil {
			t.Errorf("remove the kind: %v", err)
		}
	})

	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind)

	for deadline := time.Now().Add(time.Minute); ; {
		err := server.Client.List(t.Context(), list)
		if err == nil {
			return
		}

		if time.Now().After(deadline) {
			t.Fatalf("the kind is not served: %v", err)
		}

		time.Sleep(100 * time.Millisecond)
	}
}

func (w *world) podMonitor(t *testing.T) *unstructured.Unstructured {
	t.Helper()

	monitor := &unstructured.Unstructured{}
	monitor.SetGroupVersionKind(build.PodMonitorGVK())

	err := w.server.Client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: naming.PodMonitor("db")}, monitor)
	if apierrors.IsNotFound(err) {
		return nil
	}

	if err != nil {
		t.Fatal(err)
	}

	return monitor
}

func (w *world) wantPodMonitorCondition(t *testing.T, status metav1.ConditionStatus, reason string) {
	t.Helper()

	got := meta.FindStatusCondition(w.cluster(t).Status.Conditions, postgresqlv1.ConditionPodMonitor)
	if got == nil || got.Status != status || got.Reason != reason {
		t.Errorf("the condition is %+v, want %s for %s", got, status, reason)
	}
}
