package appconfig

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	v1 "github.com/caretaker-dev/caretaker/api/config/v1"
	"github.com/caretaker-dev/caretaker/internal/appconfig/build"
	"github.com/caretaker-dev/caretaker/internal/appconfig/decide"
	"github.com/caretaker-dev/caretaker/internal/appconfig/uses"
	"github.com/caretaker-dev/caretaker/internal/application"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// deeds are what a pass has done.
type deeds struct {
	changes []owned.Change
	// told: every user of the configuration is at the planned revision; users are they.
	told  bool
	users []v1.WorkloadReference
}

// act makes the changes in their order, up to the first failure, and then tells the users.
func (r *Reconciler) act(ctx context.Context, config *v1.AppConfig, plan decide.Plan) (deeds, error) {
	changes, err := application.Writer{Client: r.client, Live: r.live}.Do(ctx, build.Owner(config), plan.Changes)
	done := deeds{changes: changes}

	for _, change := range changes {
		if apply, ok := change.(owned.Apply); ok && apply.Replacement == nil && apply.Object.GetName() == naming.ConfigOf(config.Spec.Application) {
			if _, isConfigMap := apply.Object.(*corev1.ConfigMap); isConfigMap {
				r.applied.Inc()
			}
		}
	}

	if err != nil || plan.Rollout == "" {
		return done, err
	}

	done.users, err = r.rollOut(ctx, config, plan.Rollout)
	done.told = err == nil

	return done, err
}

// rollOut restarts every workload of the namespace that uses the configuration and was not restarted for this revision. It
// reads from the API server: the workloads may be anybody's.
func (r *Reconciler) rollOut(ctx context.Context, config *v1.AppConfig, revision string) ([]v1.WorkloadReference, error) {
	var users []v1.WorkloadReference

	for _, list := range []client.ObjectList{&appsv1.DeploymentList{}, &appsv1.StatefulSetList{}, &appsv1.DaemonSetList{}} {
		if err := r.live.List(ctx, list, client.InNamespace(config.Namespace)); err != nil {
			return nil, fmt.Errorf("find the workloads that use the configuration: %w", err)
		}

		for _, workload := range workloads(list) {
			if !uses.Config(workload.template.Spec, naming.ConfigOf(config.Spec.Application)) || workload.object.GetDeletionTimestamp() != nil {
				continue
			}

			users = append(users, v1.WorkloadReference{Kind: workload.kind, Name: workload.object.GetName()})

			if err := r.restart(ctx, config, workload, revision); err != nil {
				return nil, err
			}
		}
	}

	slices.SortFunc(users, func(a, b v1.WorkloadReference) int { return strings.Compare(a.Kind+"/"+a.Name, b.Kind+"/"+b.Name) })

	return users, nil
}

type workload struct {
	kind     string
	object   client.Object
	template corev1.PodTemplateSpec
}

func workloads(list client.ObjectList) []workload {
	var all []workload

	switch l := list.(type) {
	case *appsv1.DeploymentList:
		for i := range l.Items {
			all = append(all, workload{"Deployment", &l.Items[i], l.Items[i].Spec.Template})
		}
	case *appsv1.StatefulSetList:
		for i := range l.Items {
			all = append(all, workload{"StatefulSet", &l.Items[i], l.Items[i].Spec.Template})
		}
	case *appsv1.DaemonSetList:
		for i := range l.Items {
			all = append(all, workload{"DaemonSet", &l.Items[i], l.Items[i].Spec.Template})
		}
	}

	return all
}

// restart a workload by an annotation on its pods; once, since the annotation names the revision.
func (r *Reconciler) restart(ctx context.Context, config *v1.AppConfig, w workload, revision string) error {
	annotation := naming.AnnotationConfig(config.Spec.Application)
	if w.template.Annotations[annotation] == revision {
		return nil
	}

	patch, err := json.Marshal(map[string]any{
		// The object that was looked at, not one that took its name since.
		"metadata": map[string]any{"uid": w.object.GetUID()},
		"spec":     map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": map[string]any{annotation: revision}}}},
	})
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}

	err = r.client.Patch(ctx, w.object, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(naming.FieldOwnerRollout))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("restart %s %s: %w", w.kind, w.object.GetName(), err)
	}

	log.FromContext(ctx).Info("Done", "action", "restart "+w.kind+" "+w.object.GetName())

	return nil
}
