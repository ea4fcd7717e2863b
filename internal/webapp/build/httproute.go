package build

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// HTTPRouteGVK is the Gateway API's kind for routes of HTTP requests.
func HTTPRouteGVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"}
}

// HTTPRoute leads requests that come in by a Gateway to the Service; nil where none is asked for. Defaults of the Gateway
// API are spelled out, since lists are replaced as a whole.
func HTTPRoute(in Input) *unstructured.Unstructured {
	wanted := in.WebApp.Spec.Route
	if wanted == nil {
		return nil
	}

	parent := map[string]any{"group": HTTPRouteGVK().Group, "kind": "Gateway", "name": wanted.Gateway.Name}
	if wanted.Gateway.Namespace != "" {
		parent["namespace"] = wanted.Gateway.Namespace
	}

	if wanted.Gateway.SectionName != "" {
		parent["sectionName"] = wanted.Gateway.SectionName
	}

	spec := map[string]any{
		"parentRefs": []any{parent},
		"rules": []any{map[string]any{
			"matches": []any{map[string]any{"path": map[string]any{"type": "PathPrefix", "value": path(wanted.Path)}}},
			"backendRefs": []any{map[string]any{
				"group": "", "kind": "Service", "name": in.WebApp.Name, "port": int64(in.WebApp.Spec.Port), "weight": int64(1),
			}},
		}},
	}

	if wanted.Host != "" {
		spec["hostnames"] = []any{wanted.Host}
	}

	route := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	route.SetGroupVersionKind(HTTPRouteGVK())

	meta := Owner(in.WebApp).Meta(in.WebApp.Name)
	route.SetName(meta.Name)
	route.SetNamespace(meta.Namespace)
	route.SetLabels(meta.Labels)
	route.SetAnnotations(meta.Annotations)
	route.SetOwnerReferences(meta.OwnerReferences)

	return route
}
