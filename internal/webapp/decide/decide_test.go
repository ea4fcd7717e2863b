package decide_test

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/webapp/build"
	"github.com/caretaker-dev/caretaker/internal/webapp/decide"
)

// fresh is a WebApp that nothing was done for yet.
func fresh(change ...func(*decide.View)) decide.View {
	view := decide.View{
		Now: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC),
		WebApp: &v1.WebApp{
			ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: "apps", UID: "uid", Generation: 1},
			Spec:       v1.WebAppSpec{Replicas: 2, Image: "nginx:1.21", Port: 80},
		},
		Owned: owned.Objects{},
	}
	for _, c := range change {
		c(&view)
	}

	return view
}

// made adds everything that Decide asks for.
func made(view *decide.View) {
	for _, change := range decide.Decide(*view).Changes {
		if apply, ok := change.(owned.Apply); ok {
			kind := apply.Object.GetObjectKind().GroupVersionKind().Kind
			view.Owned[owned.Key{Kind: kind, Name: apply.Object.GetName()}] = apply.Object
		}
	}
}

func deployed(status appsv1.DeploymentStatus) func(*decide.View) {
	return func(view *decide.View) {
		made(view)

		deployment, _ := view.Owned[owned.Key{Kind: "Deployment", Name: "shop"}].(*appsv1.Deployment)
		deployment.Status = status
	}
}

func pod(state corev1.ContainerState, change ...func(*corev1.Pod)) func(*decide.View) {
	return func(view *decide.View) {
		p := corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "shop-1", Namespace: "apps"},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: build.Container, Image: "nginx:1.21"}}},
			Status:     corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: build.Container, State: state}}},
		}
		for _, c := range change {
			c(&p)
		}

		view.Pods = append(view.Pods, p)
	}
}

func waits(reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

func withDatabase(view *decide.View) {
	view.WebApp.Spec.Database = &v1.DatabaseConnection{Ref: v1.DatabaseReference{Kind: "PostgreSQL", Name: "db"}, EnvPrefix: "DATABASE", MountPath: "/db"}
}

func withConfig(view *decide.View) {
	view.WebApp.Spec.ConfigRef = &v1.ConfigReference{Name: "shop"}
}

func TestOutcome(t *testing.T) {
	t.Parallel()

	half := appsv1.DeploymentStatus{Replicas: 3, ReadyReplicas: 2, AvailableReplicas: 2, UpdatedReplicas: 1}
	failing := half
	failing.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded"}}
	refused := half
	refused.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: `violates PodSecurity "restricted:latest"`}}
	unschedulable := pod(corev1.ContainerState{}, func(p *corev1.Pod) {
		p.Status = corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/3 nodes are available: 3 Insufficient cpu."}}}
	})

	for name, tc := range map[string]struct {
		view    decide.View
		kind    conditions.Kind
		phase   v1.Phase
		reason  string
		message string
	}{
		"new":                  {fresh(), conditions.Waiting, v1.PhasePending, v1.ReasonDeploying, "Creating the pods"},
		"waits for a database": {fresh(withDatabase), conditions.Waiting, v1.PhasePending, v1.ReasonWaitingForDatabase, "Waiting for the PostgreSQL db: its credentials are not there yet; make it, or correct spec.database.ref"},
		"waits for its config": {fresh(withConfig), conditions.Waiting, v1.PhasePending, v1.ReasonWaitingForConfig, "Waiting for the AppConfig shop"},
		"serves":               {fresh(deployed(appsv1.DeploymentStatus{Replicas: 2, ReadyReplicas: 2, AvailableReplicas: 2, UpdatedReplicas: 2})), conditions.Done, v1.PhaseRunning, v1.ReasonReady, "2 of 2 replicas ready"},
		"starts":               {fresh(deployed(half)), conditions.Waiting, v1.PhaseDeploying, v1.ReasonDeploying, "Waiting for pods to become ready (2 of 2 replicas ready)"},
		"an image is missing":  {fresh(deployed(half), pod(waits("ImagePullBackOff", `Back-off pulling image "nginx:1.21"`))), conditions.Stalled, v1.PhaseFailed, v1.ReasonImagePullFailed, "correct spec.image, or name credentials in spec.imagePullSecrets"},
		"it runs as root":      {fresh(deployed(half), pod(waits("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"))), conditions.Stalled, v1.PhaseFailed, v1.ReasonContainerRefused, "set spec.securityContext.runAsUser"},
		"a Secret is missing":  {fresh(deployed(half), pod(waits("CreateContainerConfigError", `secret "extra" not found`))), conditions.Stalled, v1.PhaseFailed, v1.ReasonContainerRefused, "make what is missing"},
		"it crashes":           {fresh(deployed(half), pod(waits("CrashLoopBackOff", ""), func(p *corev1.Pod) { p.Status.ContainerStatuses[0].RestartCount = 4 })), conditions.Stalled, v1.PhaseFailed, v1.ReasonCrashLoop, "4 restarts; look at: kubectl logs --previous -n apps shop-1"},
		"it wants more memory": {fresh(deployed(half), pod(waits("CrashLoopBackOff", ""), func(p *corev1.Pod) {
			p.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{Reason: "OOMKilled", ExitCode: 137}
		})), conditions.Stalled, v1.PhaseFailed, v1.ReasonCrashLoop, "raise spec.resources.limits.memory"},
		"no node has room":      {fresh(deployed(half), unschedulable), conditions.Waiting, v1.PhaseDeploying, v1.ReasonUnschedulable, "3 Insufficient cpu; add nodes, or lower spec.resources.requests"},
		"nor for a long time":   {fresh(deployed(failing), unschedulable), conditions.Stalled, v1.PhaseFailed, v1.ReasonUnschedulable, "3 Insufficient cpu"},
		"it does not listen":    {fresh(deployed(half), pod(corev1.ContainerState{Running: &corev1.ContainerStateRunning{}})), conditions.Waiting, v1.PhaseDeploying, v1.ReasonNotReady, "must listen on spec.port"},
		"pods are not let in":   {fresh(deployed(refused)), conditions.Stalled, v1.PhaseFailed, v1.ReasonPodsRefused, `violates PodSecurity "restricted:latest"; adapt spec.securityContext`},
		"an old pod is leaving": {fresh(deployed(half), pod(waits("CrashLoopBackOff", ""), func(p *corev1.Pod) { now := metav1.Now(); p.DeletionTimestamp = &now })), conditions.Waiting, v1.PhaseDeploying, v1.ReasonDeploying, "Waiting for pods"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got := decide.Decide(tc.view).Outcome
			if got.Kind != tc.kind || got.Reason != tc.reason || !strings.Contains(got.Message, tc.message) {
				t.Errorf("outcome is %+v\nwant %v %s: %s", got, tc.kind, tc.reason, tc.message)
			}

			if phase := decide.Phase(tc.view, got); phase != tc.phase {
				t.Errorf("phase is %s, want %s", phase, tc.phase)
			}
		})
	}
}

func changes(view decide.View) string {
	var all []string
	for _, change := range decide.Decide(view).Changes {
		all = append(all, change.String())
	}

	return strings.Join(all, ", ")
}

func TestChanges(t *testing.T) {
	t.Parallel()

	ready := deployed(appsv1.DeploymentStatus{Replicas: 2, ReadyReplicas: 2, AvailableReplicas: 2, UpdatedReplicas: 2})

	for name, tc := range map[string]struct {
		view decide.View
		want string
	}{
		"new":                                   {fresh(), "create Service shop, create NetworkPolicy shop, create Deployment shop, create PodDisruptionBudget shop"},
		"done":                                  {fresh(ready), ""},
		"without its database it makes no pods": {fresh(withDatabase), "create Service shop, create NetworkPolicy shop, create PodDisruptionBudget shop"},
		"a database that disappears takes nothing down": {fresh(ready, withDatabase), ""},
		"scaled":        {fresh(ready, func(v *decide.View) { v.WebApp.Spec.Replicas = 3 }), "update Deployment shop"},
		"scaled to one": {fresh(ready, func(v *decide.View) { v.WebApp.Spec.Replicas = 1 }), "update Deployment shop, delete PodDisruptionBudget shop"},
		"changed by hand": {fresh(ready, func(v *decide.View) {
			v.Owned[owned.Key{Kind: "Service", Name: "shop"}].(*corev1.Service).Spec.Selector = nil
		}), "put right Service shop"},
		"deleted by hand": {fresh(ready, func(v *decide.View) { delete(v.Owned, owned.Key{Kind: "Service", Name: "shop"}) }), "create Service shop"},
		"an autoscaler's replicas are its own": {fresh(func(v *decide.View) {
			v.WebApp.Spec.Autoscaling = &v1.Autoscaling{MinReplicas: new(int32(1)), MaxReplicas: 9}
		}, ready, func(v *decide.View) {
			v.Owned[owned.Key{Kind: "Deployment", Name: "shop"}].(*appsv1.Deployment).Spec.Replicas = new(int32(7))
		}), ""},
		"an autoscaler takes the replicas over as they are": {fresh(ready, func(v *decide.View) {
			v.WebApp.Spec.Autoscaling = &v1.Autoscaling{MinReplicas: new(int32(1)), MaxReplicas: 9}
		}), "leave the 2 replicas of Deployment shop as they are, update Deployment shop, create HorizontalPodAutoscaler shop, delete PodDisruptionBudget shop"},
		"another's restart is left alone": {fresh(ready, func(v *decide.View) {
			v.Owned[owned.Key{Kind: "Deployment", Name: "shop"}].(*appsv1.Deployment).Spec.Template.Annotations["caretaker.dev/config-shop"] = "2-x"
		}), ""},
		"no Gateway API, no route": {fresh(ready, func(v *decide.View) { v.WebApp.Spec.Route = &v1.Route{Gateway: v1.GatewayReference{Name: "g"}} }), ""},
		"a route": {fresh(ready, func(v *decide.View) {
			v.WebApp.Spec.Route = &v1.Route{Gateway: v1.GatewayReference{Name: "g"}}
			v.GatewayAPI = true
		}), "create HTTPRoute shop"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if got := changes(tc.view); got != tc.want {
				t.Errorf("changes are %q\nwant %q", got, tc.want)
			}
		})
	}
}

func TestRouted(t *testing.T) {
	t.Parallel()

	view := fresh(func(v *decide.View) {
		v.WebApp.Spec.Route = &v1.Route{Host: "shop.example.org", Gateway: v1.GatewayReference{Name: "g"}}
	})

	plan := decide.Decide(view)
	if plan.Status.URL != "http://shop.example.org" || plan.After == 0 {
		t.Errorf("URL is %q, looks again after %s", plan.Status.URL, plan.After)
	}

	for _, feature := range plan.Features {
		if feature.Type == v1.ConditionRouted && (feature.Status != metav1.ConditionFalse || feature.Reason != v1.ReasonGatewayAPINotFound || !strings.Contains(feature.Message, "spec.ingress")) {
			t.Errorf("without a Gateway API: %+v", feature)
		}
	}
}
