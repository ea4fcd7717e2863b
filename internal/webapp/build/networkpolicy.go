package build

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// NetworkPolicy lets nothing but the application's port in; nil where the user does not want one. What goes out is not
// limited.
func NetworkPolicy(in Input) *networkingv1.NetworkPolicy {
	var from []networkingv1.NetworkPolicyPeer

	if wanted := in.WebApp.Spec.NetworkPolicy; wanted != nil {
		if wanted.Enabled != nil && !*wanted.Enabled {
			return nil
		}

		from = wanted.From
	}

	tcp, port := corev1.ProtocolTCP, intstr.FromInt32(in.WebApp.Spec.Port)

	return &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
		ObjectMeta: Owner(in.WebApp).Meta(in.WebApp.Name),
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: SelectorLabels(in.WebApp)},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress: []networkingv1.NetworkPolicyIngressRule{{
				From:  from,
				Ports: []networkingv1.NetworkPolicyPort{{Protocol: &tcp, Port: &port}},
			}},
		},
	}
}
