package diff_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/caretaker-dev/caretaker/internal/apply/diff"
)

func service(mutations ...func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{
			Name: "db-rw", Namespace: "apps", Labels: map[string]string{"a": "1"},
			OwnerReferences: []metav1.OwnerReference{{UID: "ours"}},
		},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"role": "primary"},
			Ports:    []corev1.ServicePort{{Name: "postgresql", Port: 5432, TargetPort: intstr.FromInt32(5432)}},
		},
	}
	for _, mutate := range mutations {
		mutate(s)
	}

	return s
}

// live is what the API server and others make of a service.
func live(s *corev1.Service) {
	s.TypeMeta = metav1.TypeMeta{}
	s.UID, s.ResourceVersion, s.Labels["added"] = "1", "17", "by somebody"
	s.Spec.ClusterIP, s.Spec.Type = "10.0.0.1", corev1.ServiceTypeClusterIP
	s.Spec.Ports[0].Protocol = corev1.ProtocolTCP
	s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "1.2.3.4"}}
}

func TestDiffers(t *testing.T) {
	t.Parallel()

	for _, tc := range []struct {
		name   string
		change func(*corev1.Service)
		want   bool
	}{
		{"defaults and additions", func(*corev1.Service) {}, false},
		{"one more owner", func(s *corev1.Service) {
			s.OwnerReferences = append(s.OwnerReferences, metav1.OwnerReference{UID: "theirs"})
		}, false},
		{"no owner", func(s *corev1.Service) { s.OwnerReferences = nil }, true},
		{"a changed selector", func(s *corev1.Service) { s.Spec.Selector["role"] = "replica" }, true},
		{"a removed label", func(s *corev1.Service) { delete(s.Labels, "a") }, true},
		{"a changed port", func(s *corev1.Service) { s.Spec.Ports[0].Port = 5433 }, true},
		{"one more port", func(s *corev1.Service) { s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Port: 1}) }, true},
		{"no ports", func(s *corev1.Service) { s.Spec.Ports = nil }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			got, err := diff.Differs(service(), service(live, tc.change))
			if err != nil || got != tc.want {
				t.Errorf("differs: %v, want %v (error %v)", got, tc.want, err)
			}
		})
	}
}

// A label that is no longer wanted is not missing anywhere: only the hash tells that it has to go.
func TestAStampTellsRemovals(t *testing.T) {
	t.Parallel()

	with, without := service(), service(func(s *corev1.Service) { delete(s.Labels, "a") })
	if err := diff.Stamp(with); err != nil {
		t.Fatal(err)
	}

	if err := diff.Stamp(without); err != nil {
		t.Fatal(err)
	}

	if got, err := diff.Differs(without, with); err != nil || !got {
		t.Errorf("a removed label is not seen (error %v)", err)
	}

	again := service()
	if err := diff.Stamp(again); err != nil {
		t.Fatal(err)
	}

	if again.Annotations[diff.Annotation] != with.Annotations[diff.Annotation] {
		t.Error("the same object has two hashes")
	}
}

func TestQuantitiesAreComparedByValue(t *testing.T) {
	t.Parallel()

	claim := func(size string) *corev1.PersistentVolumeClaim {
		return &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{Resources: corev1.VolumeResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)},
		}}}
	}

	for _, tc := range []struct {
		wanted, live string
		want         bool
	}{{"1024Mi", "1Gi", false}, {"2Gi", "1Gi", true}} {
		if got, err := diff.Differs(claim(tc.wanted), claim(tc.live)); err != nil || got != tc.want {
			t.Errorf("%s over %s: differs %v, want %v (error %v)", tc.wanted, tc.live, got, tc.want, err)
		}
	}
}

// TestTextIsNoQuantity: 1000 and 1k are two values of a setting, and a hash that looks like a number with two billion digits
// is a hash.
func TestTextIsNoQuantity(t *testing.T) {
	t.Parallel()

	settings := func(value string) *corev1.ConfigMap {
		return &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{diff.Annotation: value}},
			Data:       map[string]string{"limits": value, "sizeLimit": value},
		}
	}

	for _, tc := range []struct{ wanted, live string }{{"1k", "1000"}, {"5.3e-1440000196", "1.2e-1440000196"}, {"12e1440000196123", "7e1440000196123"}} {
		if got, err := diff.Differs(settings(tc.wanted), settings(tc.live)); err != nil || !got {
			t.Errorf("%s over %s: differs %v, want true (error %v)", tc.wanted, tc.live, got, err)
		}
	}
}

func TestWhatIsSentHasNeitherStatusNorNulls(t *testing.T) {
	t.Parallel()

	u, err := diff.Unstructured(service(live))
	if err != nil {
		t.Fatal(err)
	}

	if _, ok := u.Object["status"]; ok {
		t.Error("the status is sent")
	}

	if meta, _ := u.Object["metadata"].(map[string]any); meta["creationTimestamp"] != nil {
		t.Errorf("metadata is %v", meta)
	}
}
