package build

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Service leads to the pods that are ready.
func Service(in Input) *corev1.Service {
	service := &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: Owner(in.WebApp).Meta(in.WebApp.Name),
		Spec: corev1.ServiceSpec{
			Selector: SelectorLabels(in.WebApp),
			Ports: []corev1.ServicePort{{
				Name: portName, Port: in.WebApp.Spec.Port, TargetPort: intstr.FromString(portName), Protocol: corev1.ProtocolTCP,
			}},
		},
	}
	service.Labels["app"] = in.WebApp.Name

	return service
}
