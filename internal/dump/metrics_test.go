package dump

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	v1 "github.com/caretaker-dev/caretaker/api/backup/v1"
)

func TestMetrics(t *testing.T) {
	t.Parallel()

	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}

	ended := metav1.NewTime(time.Unix(1000, 0))
	dumped := &v1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "nightly"}}
	dumped.Status.LastDump = &v1.DumpStatus{ID: "x", CompletedAt: &ended, StoredBytes: 42}
	fresh := &v1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "fresh"}}

	registry := prometheus.NewRegistry()
	if err := registry.Register(collector{fake.NewClientBuilder().WithScheme(scheme).WithObjects(dumped, fresh).Build()}); err != nil {
		t.Fatal(err)
	}

	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}

	got := map[string]float64{}

	for _, family := range families {
		for _, metric := range family.GetMetric() {
			got[family.GetName()+" "+metric.GetLabel()[0].GetValue()] = metric.GetGauge().GetValue()
		}
	}

	for name, want := range map[string]float64{
		"caretaker_dump_last_success_time_seconds nightly": 1000, "caretaker_dump_last_success_time_seconds fresh": 0,
		"caretaker_dump_last_failure_time_seconds nightly": 0, "caretaker_dump_size_bytes nightly": 42,
	} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s is %v (%v), want %v", name, value, ok, want)
		}
	}
}
