package decide

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	v1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/webapp/build"
)

// lookAgain is how often to look for what is not watched, such as the Gateway API's kinds.
const lookAgain = time.Minute

// View is everything that a decision stands on.
type View struct {
	Now    time.Time
	WebApp *v1.WebApp
	// Owned are the objects of the WebApp.
	Owned owned.Objects
	// Pods of the WebApp.
	Pods []corev1.Pod
	// Config is where the AppConfig has put its values; nil if it is missing or has not done so yet.
	Config *build.Config
	// Database is the connection; nil if it is missing.
	Database *build.Database
	// DatabaseProblem says what is wrong with the Secret that is there.
	DatabaseProblem string
	// GatewayAPI says whether the kind HTTPRoute is installed.
	GatewayAPI bool
}

// Plan is what to do and what to tell.
type Plan struct {
	Changes []owned.Change
	Outcome conditions.Outcome
	// Status without its conditions and phase.
	Status v1.WebAppStatus
	// Features are the further conditions.
	Features []Feature
	// After is when to look again at the latest; 0 for not before something changes.
	After time.Duration
}

// Feature is a condition about one part. One without a reason is removed.
type Feature struct {
	Type, Reason, Message string
	Status                metav1.ConditionStatus
}

// Decide what to do with a WebApp.
func Decide(view View) Plan {
	webapp := view.WebApp
	plan := Plan{Status: status(view)}

	if webapp.DeletionTimestamp != nil {
		plan.Outcome = waiting(v1.ReasonDeleting, "Deleting: Kubernetes collects what belongs to it")

		return plan
	}

	missing := dependencies(view)
	plan.Features = []Feature{config(view), database(view), routed(view)}
	plan.Changes = owned.Changes(wanted(view, missing != nil), view.Owned, func(key owned.Key) bool {
		return missing != nil && (key.Kind == "Deployment" || key.Kind == "HorizontalPodAutoscaler")
	})

	plan.Changes = handOver(view, plan.Changes)

	if webapp.Spec.Route != nil && !view.GatewayAPI {
		plan.After = lookAgain
	}

	plan.Outcome = running(view, plan.Changes)
	if missing != nil {
		plan.Outcome = *missing
	}

	return plan
}

// wanted objects. While a dependency is missing, nothing that makes or changes pods is among them.
//
//nolint:revive // the flag is the fact that the decision stands on
func wanted(view View, waits bool) []owned.Object {
	in := build.Input{WebApp: view.WebApp, Config: view.Config, Database: view.Database}

	all := build.All(in)
	if view.GatewayAPI {
		all = build.Routed(in)
	}

	var objects []owned.Object

	for _, object := range all {
		switch object.GetObjectKind().GroupVersionKind().Kind {
		case "Deployment", "HorizontalPodAutoscaler":
			if waits {
				continue
			}
		}

		objects = append(objects, object)
	}

	return objects
}

// handOver the replicas to an autoscaler that is about to be made: they stay as they are until it changes them. Once it is
// there, they have been handed over.
func handOver(view View, changes []owned.Change) []owned.Change {
	live, name := deployment(view), view.WebApp.Name
	if view.WebApp.Spec.Autoscaling == nil || live == nil || view.Owned[owned.Key{Kind: "HorizontalPodAutoscaler", Name: name}] != nil {
		return changes
	}

	at := slices.IndexFunc(changes, func(change owned.Change) bool {
		apply, ok := change.(owned.Apply)

		return ok && apply.Object.GetObjectKind().GroupVersionKind().Kind == "Deployment"
	})
	if at < 0 {
		return changes
	}

	return slices.Insert(changes, at, owned.Change(owned.Leave{
		Fields: &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apps/v1", "kind": "Deployment",
			"metadata": map[string]any{"name": name, "namespace": live.Namespace, "resourceVersion": live.ResourceVersion},
			"spec":     map[string]any{"replicas": int64(replicas(live))},
		}},
		To: naming.FieldOwnerReplicas, What: fmt.Sprintf("the %d replicas of Deployment %s", replicas(live), name),
	}))
}

// dependencies that the pods wait for; nil if all are there.
func dependencies(view View) *conditions.Outcome {
	spec := view.WebApp.Spec

	for _, f := range []struct {
		wanted  bool
		feature Feature
	}{
		{spec.ConfigRef != nil && view.Config == nil, config(view)},
		{spec.Database != nil && view.Database == nil, database(view)},
	} {
		if f.wanted {
			outcome := waiting(f.feature.Reason, "Waiting for "+f.feature.Message)

			if live := deployment(view); live != nil && live.Status.ReadyReplicas > 0 {
				outcome.Message += fmt.Sprintf("; the %d pods that serve go on as they are", live.Status.ReadyReplicas)
			}

			return &outcome
		}
	}

	return nil
}

func config(view View) Feature {
	ref := view.WebApp.Spec.ConfigRef

	switch {
	case ref == nil:
		return Feature{Type: v1.ConditionConfigured}
	case view.Config == nil:
		return Feature{
			Type: v1.ConditionConfigured, Status: metav1.ConditionFalse, Reason: v1.ReasonWaitingForConfig,
			Message: fmt.Sprintf("the AppConfig %s: it does not exist or has made no configuration yet; make it, or correct spec.configRef", ref.Name),
		}
	default:
		return Feature{
			Type: v1.ConditionConfigured, Status: metav1.ConditionTrue, Reason: v1.ReasonAvailable,
			Message: "from the ConfigMap " + view.Config.ConfigMap,
		}
	}
}

func database(view View) Feature {
	connection := view.WebApp.Spec.Database

	switch {
	case connection == nil:
		return Feature{Type: v1.ConditionDatabase}
	case view.Database == nil && view.DatabaseProblem != "":
		return Feature{
			Type: v1.ConditionDatabase, Status: metav1.ConditionFalse, Reason: v1.ReasonWaitingForDatabase,
			Message: fmt.Sprintf("the %s %s: %s", connection.Ref.Kind, connection.Ref.Name, view.DatabaseProblem),
		}
	case view.Database == nil:
		return Feature{
			Type: v1.ConditionDatabase, Status: metav1.ConditionFalse, Reason: v1.ReasonWaitingForDatabase,
			Message: fmt.Sprintf("the %s %s: its credentials are not there yet; make it, or correct spec.database.ref",
				connection.Ref.Kind, connection.Ref.Name),
		}
	default:
		return Feature{
			Type: v1.ConditionDatabase, Status: metav1.ConditionTrue, Reason: v1.ReasonAvailable,
			Message: "credentials from the Secret " + view.Database.Secret,
		}
	}
}

// running is the outcome that the Deployment and its pods show.
func running(view View, changes []owned.Change) conditions.Outcome {
	live := deployment(view)
	if live == nil {
		return waiting(v1.ReasonDeploying, "Creating the pods")
	}

	wanted, s := replicas(live), live.Status
	ready := fmt.Sprintf(" (%d of %d replicas ready)", s.ReadyReplicas, wanted)

	changing := false

	for _, change := range changes {
		if apply, ok := change.(owned.Apply); ok && apply.Object.GetName() == live.Name {
			changing = changing || apply.Object.GetObjectKind().GroupVersionKind().Kind == "Deployment"
		}
	}

	switch {
	case changing || s.ObservedGeneration < live.Generation:
		return waiting(v1.ReasonDeploying, "Deploying a change"+ready)
	case s.UpdatedReplicas == wanted && s.AvailableReplicas == wanted && s.Replicas == wanted:
		return conditions.Outcome{Kind: conditions.Done, Reason: v1.ReasonReady, Message: fmt.Sprintf("%d of %d replicas ready", s.ReadyReplicas, wanted)}
	}

	if trouble, ok := diagnose(view, live); ok {
		trouble.Message += ready

		return trouble
	}

	return waiting(v1.ReasonDeploying, "Waiting for pods to become ready"+ready)
}

func waiting(reason, message string) conditions.Outcome {
	return conditions.Outcome{Kind: conditions.Waiting, Reason: reason, Message: message}
}

func deployment(view View) *appsv1.Deployment {
	live, _ := view.Owned[owned.Key{Kind: "Deployment", Name: view.WebApp.Name}].(*appsv1.Deployment)

	return live
}

// replicas that the Deployment is asked for, by us or by the autoscaler.
func replicas(live *appsv1.Deployment) int32 {
	if live.Spec.Replicas == nil {
		return 1
	}

	return *live.Spec.Replicas
}

// status but for conditions and phase.
func status(view View) v1.WebAppStatus {
	webapp := view.WebApp
	s := v1.WebAppStatus{
		ObservedGeneration: webapp.Generation,
		URL:                url(webapp),
		Selector:           labels.SelectorFromSet(build.SelectorLabels(webapp)).String(),
		FirstReadyTime:     webapp.Status.FirstReadyTime,
	}

	if live := deployment(view); live != nil {
		s.Replicas, s.ReadyReplicas, s.UpdatedReplicas = live.Status.Replicas, live.Status.ReadyReplicas, live.Status.UpdatedReplicas
	}

	return s
}

func url(webapp *v1.WebApp) string {
	spec := webapp.Spec

	switch {
	case spec.Ingress != nil && spec.Ingress.TLSSecretName != "":
		return "https://" + spec.Ingress.Host + tail(spec.Ingress.Path)
	case spec.Ingress != nil:
		return "http://" + spec.Ingress.Host + tail(spec.Ingress.Path)
	case spec.Route != nil && spec.Route.Host != "":
		return "http://" + spec.Route.Host + tail(spec.Route.Path)
	case spec.Port == 80:
		return fmt.Sprintf("http://%s.%s.svc", webapp.Name, webapp.Namespace)
	default:
		return fmt.Sprintf("http://%s.%s.svc:%s", webapp.Name, webapp.Namespace, strconv.Itoa(int(spec.Port)))
	}
}

// tail is a path without the root, which goes without saying.
func tail(path string) string {
	if path == "/" {
		return ""
	}

	return path
}

// Phase is the outcome in one word. Before there is a Deployment, nothing is being deployed.
func Phase(view View, outcome conditions.Outcome) v1.Phase {
	switch {
	case outcome.Kind == conditions.Done:
		return v1.PhaseRunning
	case outcome.Kind == conditions.Stalled:
		return v1.PhaseFailed
	case deployment(view) == nil:
		return v1.PhasePending
	default:
		return v1.PhaseDeploying
	}
}
