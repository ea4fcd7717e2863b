package build

import (
	"maps"

	v1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// portName is what the Service and probes call the application's port.
const portName = "http"

// Input is everything that the objects of a WebApp are made from.
type Input struct {
	// WebApp that the objects belong to.
	WebApp *v1.WebApp
	// Config is the configuration; nil if there is none.
	Config *Config
	// Database is the connection; nil if there is none.
	Database *Database
}

// Config is where an AppConfig has put its values. The Secret may come and go with the values that are secret.
type Config struct{ ConfigMap, Secret string }

// Database is a Secret with a connection.
type Database struct {
	Secret string
	// Hash of its contents: pods that were started with other credentials are replaced.
	Hash string
}

// Owner of a WebApp's objects.
func Owner(webapp *v1.WebApp) owned.Owner {
	owner := owned.Owner{
		Object: webapp, GVK: v1.GroupVersion.WithKind("WebApp"), Label: naming.LabelWebApp, Application: webapp.Name,
	}

	if inherited := webapp.Spec.InheritedMetadata; inherited != nil {
		owner.Labels, owner.Annotations = inherited.Labels, inherited.Annotations
	}

	return owner
}

// SelectorLabels select the pods. They never change: a Deployment's selector cannot.
func SelectorLabels(webapp *v1.WebApp) map[string]string {
	return map[string]string{"app": webapp.Name, naming.LabelWebApp: webapp.Name}
}

// podLabels are on the pods.
func podLabels(webapp *v1.WebApp) map[string]string {
	labels := Owner(webapp).CommonLabels()
	maps.Copy(labels, SelectorLabels(webapp))

	return labels
}

// All are the objects of a WebApp in the order to write them.
func All(in Input) []owned.Object {
	objects := []owned.Object{Service(in)}

	if policy := NetworkPolicy(in); policy != nil {
		objects = append(objects, policy)
	}

	objects = append(objects, Deployment(in))

	if budget := PodDisruptionBudget(in); budget != nil {
		objects = append(objects, budget)
	}

	if scaler := HorizontalPodAutoscaler(in); scaler != nil {
		objects = append(objects, scaler)
	}

	if ingress := Ingress(in); ingress != nil {
		objects = append(objects, ingress)
	}

	return objects
}

// Routed is All with the HTTPRoute, for where the Gateway API is installed.
func Routed(in Input) []owned.Object {
	objects := All(in)

	if route := HTTPRoute(in); route != nil {
		objects = append(objects, route)
	}

	return objects
}

// minReplicas is the fewest pods that there will be.
func minReplicas(webapp *v1.WebApp) int32 {
	scaling := webapp.Spec.Autoscaling
	if scaling == nil {
		return webapp.Spec.Replicas
	}

	if scaling.MinReplicas == nil {
		return 1
	}

	return *scaling.MinReplicas
}
