package build

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/caretaker-dev/caretaker/internal/naming"
)

// CacheNetworkPolicy lets nobody but the backend reach the cache; nil outside production.
func CacheNetworkPolicy(in Input) *networkingv1.NetworkPolicy {
	if !isStrict(in.Stack) {
		return nil
	}

	return policy(in, Cache, cacheSelector(in.Stack), []networkingv1.NetworkPolicyIngressRule{{
		Ports: ports(CachePort),
		From: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{
			MatchLabels: map[string]string{naming.LabelStack: in.Stack.Name, naming.LabelComponent: Backend},
		}}},
	}})
}

func policy(in Input, component string, selector map[string]string, ingress []networkingv1.NetworkPolicyIngressRule) *networkingv1.NetworkPolicy {
	meta := Owner(in.Stack).Meta(Name(in.Stack, component))
	maps.Copy(meta.Labels, Inherited(in.Stack, component))

	return &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
		ObjectMeta: meta,
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: selector},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress:     ingress,
		},
	}
}

func ports(numbers ...int32) []networkingv1.NetworkPolicyPort {
	protocol := corev1.ProtocolTCP
	all := make([]networkingv1.NetworkPolicyPort, 0, len(numbers))

	for _, number := range numbers {
		port := intstr.FromInt32(number)
		all = append(all, networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: &port})
	}

	return all
}
