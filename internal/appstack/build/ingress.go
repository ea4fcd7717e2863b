package build

import (
	"maps"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// IngressObject leads to the frontend.
func IngressObject(in Input) *networkingv1.Ingress {
	spec := in.Stack.Spec.Ingress
	meta := Owner(in.Stack).Meta(Name(in.Stack, Ingress))
	maps.Copy(meta.Labels, Inherited(in.Stack, Ingress))

	if meta.Annotations == nil {
		meta.Annotations = map[string]string{}
	}

	maps.Copy(meta.Annotations, spec.Annotations)

	prefix := networkingv1.PathTypePrefix
	ingress := &networkingv1.Ingress{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "Ingress"},
		ObjectMeta: meta,
		Spec: networkingv1.IngressSpec{
			Rules: []networkingv1.IngressRule{{
				Host: spec.Host,
				IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{
					Path: "/", PathType: &prefix,
					Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
						Name: Name(in.Stack, Frontend), Port: networkingv1.ServiceBackendPort{Number: Port(in.Stack.Spec.Frontend)},
					}},
				}}}},
			}},
		},
	}

	if spec.ClassName != "" {
		ingress.Spec.IngressClassName = new(spec.ClassName)
	}

	if spec.TLS != nil {
		secret := spec.TLS.SecretName
		if secret == "" {
			secret = in.Stack.Name + "-tls"
		}

		ingress.Spec.TLS = []networkingv1.IngressTLS{{Hosts: []string{spec.Host}, SecretName: secret}}
	}

	return ingress
}
