package decide

import (
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	v1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
)

// routed says whether requests from outside arrive. It does not make the WebApp unready: the pods serve, and who answers
// for the gateway is somebody else.
func routed(view View) Feature {
	spec := view.WebApp.Spec

	switch {
	case spec.Route != nil && !view.GatewayAPI:
		return unrouted(v1.ReasonGatewayAPINotFound, "the Gateway API is not installed in this cluster: install its CRDs and a gateway controller, or use spec.ingress in place of spec.route")
	case spec.Route != nil:
		return routedByGateway(view)
	case spec.Ingress != nil:
		return routedByIngress(view)
	default:
		return Feature{Type: v1.ConditionRouted}
	}
}

// routedByGateway reads what the gateway's controller says of the route.
func routedByGateway(view View) Feature {
	gateway := view.WebApp.Spec.Route.Gateway.Name

	route, _ := view.Owned[owned.Key{Kind: "HTTPRoute", Name: view.WebApp.Name}].(*unstructured.Unstructured)
	if route == nil {
		return unrouted(v1.ReasonNotAcceptedYet, "the HTTPRoute is being made")
	}

	parents, _, _ := unstructured.NestedSlice(route.Object, "status", "parents")

	for _, parent := range parents {
		content, _ := parent.(map[string]any)
		all, _, _ := unstructured.NestedSlice(content, "conditions")

		for _, item := range all {
			condition, _ := item.(map[string]any)

			if condition["type"] == "Accepted" && condition["status"] == "False" {
				return unrouted(v1.ReasonRefused, fmt.Sprintf("the Gateway %s refuses the route: %v; correct spec.route, or let its listener allow this namespace", gateway, condition["message"]))
			}

			if condition["type"] == "ResolvedRefs" && condition["status"] == "False" {
				return unrouted(v1.ReasonRefused, fmt.Sprintf("the Gateway %s does not find the Service: %v", gateway, condition["message"]))
			}
		}
	}

	if len(parents) == 0 {
		return unrouted(v1.ReasonNotAcceptedYet, fmt.Sprintf("no controller has taken the route for the Gateway %s yet; if it stays so, correct spec.route.gateway", gateway))
	}

	return Feature{Type: v1.ConditionRouted, Status: metav1.ConditionTrue, Reason: v1.ReasonRouted, Message: "the Gateway " + gateway + " takes requests"}
}

// routedByIngress: controllers that have taken an Ingress write their addresses into it.
func routedByIngress(view View) Feature {
	ingress, _ := view.Owned[owned.Key{Kind: "Ingress", Name: view.WebApp.Name}].(*networkingv1.Ingress)
	if ingress == nil || len(ingress.Status.LoadBalancer.Ingress) == 0 {
		return unrouted(v1.ReasonNotAcceptedYet, "no ingress controller has given the Ingress an address yet; if it stays so, correct spec.ingress.className")
	}

	return Feature{Type: v1.ConditionRouted, Status: metav1.ConditionTrue, Reason: v1.ReasonRouted, Message: "an ingress controller takes requests"}
}

func unrouted(reason, message string) Feature {
	return Feature{Type: v1.ConditionRouted, Status: metav1.ConditionFalse, Reason: reason, Message: message}
}
