package appstack

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	caretakerappsv1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	configv1 "github.com/caretaker-dev/caretaker/api/config/v1"
	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	v1 "github.com/caretaker-dev/caretaker/api/platform/v1"
	"github.com/caretaker-dev/caretaker/internal/application"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/appstack/build"
	"github.com/caretaker-dev/caretaker/internal/appstack/decide"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// observe takes one snapshot. It writes nothing. What cannot be read makes it fail: unknown is not missing.
func (r *Reconciler) observe(ctx context.Context, stack *v1.AppStack) (decide.View, error) {
	view := decide.View{
		Now: r.options.Clock.Now(), Stack: stack.DeepCopy(), CacheImage: r.options.CacheImage,
		// Used only where there is none.
		NewPassword: r.options.NewPassword(),
	}

	for _, step := range []func(context.Context, *decide.View) error{r.observeOwned, r.observePodMonitor, r.observePods} {
		if err := step(ctx, &view); err != nil {
			return decide.View{}, err
		}
	}

	return view, nil
}

func (r *Reconciler) observeOwned(ctx context.Context, view *decide.View) error {
	objects, err := application.Owned(ctx, r.client, build.Owner(view.Stack), map[string]client.ObjectList{
		"PostgreSQL":          &databasev1.PostgreSQLList{},
		"MySQL":               &databasev1.MySQLList{},
		"AppConfig":           &configv1.AppConfigList{},
		"WebApp":              &caretakerappsv1.WebAppList{},
		"StatefulSet":         &appsv1.StatefulSetList{},
		"Service":             &corev1.ServiceList{},
		"Secret":              &corev1.SecretList{},
		"PodDisruptionBudget": &policyv1.PodDisruptionBudgetList{},
		"Ingress":             &networkingv1.IngressList{},
		"NetworkPolicy":       &networkingv1.NetworkPolicyList{},
	})
	view.Owned = objects

	return err
}

// observePodMonitor looks for the PodMonitor past the cache, and only for stacks that ask for one or did: the Prometheus
// operator may not be installed.
func (r *Reconciler) observePodMonitor(ctx context.Context, view *decide.View) error {
	if !build.HasMonitoring(view.Stack) && meta.FindStatusCondition(view.Stack.Status.Conditions, v1.ConditionMonitoring) == nil {
		return nil
	}

	gvk := build.PodMonitorGVK()

	if _, err := r.mapper.RESTMapping(gvk.GroupKind(), gvk.Version); err != nil {
		if meta.IsNoMatchError(err) {
			return nil
		}

		return fmt.Errorf("look for the kind PodMonitor: %w", err)
	}

	if err := r.podMonitors.Start(); err != nil {
		return err
	}

	view.PodMonitorAPI = true

	monitor := &unstructured.Unstructured{}
	monitor.SetGroupVersionKind(gvk)

	found, err := application.Get(ctx, r.live, view.Stack.Namespace, build.Name(view.Stack, build.Monitoring), monitor)
	if found && build.Owner(view.Stack).IsOurs(monitor) {
		view.Owned[owned.Key{Kind: gvk.Kind, Name: monitor.GetName()}] = monitor
	}

	return err
}

// observePods counts the pods of each part, while the parts are being deleted. Those that have ended are of no account.
func (r *Reconciler) observePods(ctx context.Context, view *decide.View) error {
	if view.Stack.DeletionTimestamp == nil {
		return nil
	}

	view.Pods = map[string]int{}

	// A database's pods carry its own label, and only those of the user's labels that have no prefix.
	for _, labels := range []client.MatchingLabels{
		{naming.LabelStack: view.Stack.Name}, {naming.LabelCluster: build.Name(view.Stack, build.Database)},
	} {
		list := &corev1.PodList{}
		if err := r.client.List(ctx, list, client.InNamespace(view.Stack.Namespace), labels); err != nil {
			return fmt.Errorf("list pods: %w", err)
		}

		for i := range list.Items {
			pod := &list.Items[i]
			if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
				view.Pods[pod.Labels[naming.LabelComponent]]++
			}
		}
	}

	return nil
}
