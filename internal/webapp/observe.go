package webapp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	configv1 "github.com/caretaker-dev/caretaker/api/config/v1"
	"github.com/caretaker-dev/caretaker/internal/application"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/webapp/build"
	"github.com/caretaker-dev/caretaker/internal/webapp/decide"
)

// observe takes one snapshot. It writes nothing. What cannot be read makes it fail: unknown is not missing.
func (r *Reconciler) observe(ctx context.Context, webapp *v1.WebApp) (decide.View, error) {
	view := decide.View{Now: r.options.Clock.Now(), WebApp: webapp.DeepCopy()}
	if webapp.DeletionTimestamp != nil {
		return view, nil
	}

	for _, step := range []func(context.Context, *decide.View) error{
		r.observeOwned, r.observePods, r.observeRoute, r.observeConfig, r.observeDatabase,
	} {
		if err := step(ctx, &view); err != nil {
			return decide.View{}, err
		}
	}

	return view, nil
}

func (r *Reconciler) observeOwned(ctx context.Context, view *decide.View) error {
	objects, err := application.Owned(ctx, r.client, build.Owner(view.WebApp), map[string]client.ObjectList{
		"Deployment":              &appsv1.DeploymentList{},
		"Service":                 &corev1.ServiceList{},
		"PodDisruptionBudget":     &policyv1.PodDisruptionBudgetList{},
		"HorizontalPodAutoscaler": &autoscalingv2.HorizontalPodAutoscalerList{},
		"Ingress":                 &networkingv1.IngressList{},
		"NetworkPolicy":           &networkingv1.NetworkPolicyList{},
	})
	view.Owned = objects

	return err
}

func (r *Reconciler) observePods(ctx context.Context, view *decide.View) error {
	list := &corev1.PodList{}

	err := r.client.List(ctx, list, client.InNamespace(view.WebApp.Namespace), client.MatchingLabels(build.Owner(view.WebApp).SelectorLabels()))
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}

	view.Pods = list.Items

	return nil
}

// observeRoute looks for the HTTPRoute past the cache, and only for WebApps that ask for one or did: the Gateway API may
// not be installed.
func (r *Reconciler) observeRoute(ctx context.Context, view *decide.View) error {
	if view.WebApp.Spec.Route == nil && meta.FindStatusCondition(view.WebApp.Status.Conditions, v1.ConditionRouted) == nil {
		return nil
	}

	gvk := build.HTTPRouteGVK()

	if _, err := r.mapper.RESTMapping(gvk.GroupKind(), gvk.Version); err != nil {
		if meta.IsNoMatchError(err) {
			return nil
		}

		return fmt.Errorf("look for the kind HTTPRoute: %w", err)
	}

	if err := r.routes.Start(); err != nil {
		return err
	}

	view.GatewayAPI = true

	route := &unstructured.Unstructured{}
	route.SetGroupVersionKind(gvk)

	found, err := application.Get(ctx, r.live, view.WebApp.Namespace, view.WebApp.Name, route)
	if found && build.Owner(view.WebApp).IsOurs(route) {
		view.Owned[owned.Key{Kind: gvk.Kind, Name: route.GetName()}] = route
	}

	return err
}

// observeConfig: the AppConfig says where its values are, once it has made them.
func (r *Reconciler) observeConfig(ctx context.Context, view *decide.View) error {
	ref := view.WebApp.Spec.ConfigRef
	if ref == nil {
		return nil
	}

	config := &configv1.AppConfig{}

	found, err := application.Get(ctx, r.client, view.WebApp.Namespace, ref.Name, config)
	if found && config.Status.ConfigMapName != "" && config.DeletionTimestamp == nil {
		view.Config = &build.Config{ConfigMap: config.Status.ConfigMapName, Secret: config.Status.ConfigMapName}
	}

	return err
}

// observeDatabase reads the connection Secret. It is one of ours, so that the cache has it.
func (r *Reconciler) observeDatabase(ctx context.Context, view *decide.View) error {
	connection := view.WebApp.Spec.Database
	if connection == nil {
		return nil
	}

	secret := &corev1.Secret{}

	found, err := application.Get(ctx, r.client, view.WebApp.Namespace, build.ConnectionSecret(connection.Ref), secret)
	if err != nil || !found || secret.DeletionTimestamp != nil {
		return err
	}

	var lacks []string

	for _, key := range build.ConnectionKeys() {
		if len(secret.Data[key]) == 0 {
			lacks = append(lacks, key)
		}
	}

	if len(lacks) > 0 {
		view.DatabaseProblem = fmt.Sprintf("the Secret %s lacks %s", secret.Name, strings.Join(lacks, ", "))

		return nil
	}

	view.Database = &build.Database{Secret: secret.Name, Hash: hash(secret.Data)}

	return nil
}

// hash of what pods get to see.
func hash(data map[string][]byte) string {
	sum := sha256.New()

	for _, key := range slices.Sorted(maps.Keys(data)) {
		_, _ = fmt.Fprintf(sum, "%d:%s%d:", len(key), key, len(data[key]))
		sum.Write(data[key])
	}

	return hex.EncodeToString(sum.Sum(nil)[:8])
}
