package build

import (
	"maps"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Ingress leads requests from outside to the Service; nil where none is asked for.
func Ingress(in Input) *networkingv1.Ingress {
	wanted := in.WebApp.Spec.Ingress
	if wanted == nil {
		return nil
	}

	prefix := networkingv1.PathTypePrefix
	ingress := &networkingv1.Ingress{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "Ingress"},
		ObjectMeta: Owner(in.WebApp).Meta(in.WebApp.Name),
		Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{{
			Host: wanted.Host,
			IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{
				Path: path(wanted.Path), PathType: &prefix,
				Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
					Name: in.WebApp.Name, Port: networkingv1.ServiceBackendPort{Name: portName},
				}},
			}}}},
		}}},
	}

	if len(wanted.Annotations) > 0 && ingress.Annotations == nil {
		ingress.Annotations = map[string]string{}
	}

	maps.Copy(ingress.Annotations, wanted.Annotations)

	if wanted.ClassName != "" {
		ingress.Spec.IngressClassName = &wanted.ClassName
	}

	if wanted.TLSSecretName != "" {
		ingress.Spec.TLS = []networkingv1.IngressTLS{{Hosts: []string{wanted.Host}, SecretName: wanted.TLSSecretName}}
	}

	return ingress
}

// path is the root where none is set.
func path(p string) string {
	if p == "" {
		return "/"
	}

	return p
}
