package decide

import (
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	v1 "github.com/caretaker-dev/caretaker/api/platform/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/ecommerce/preset"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// Owner of a platform's AppStack.
func Owner(platform *v1.EcommercePlatform) owned.Owner {
	return owned.Owner{
		Object: platform, GVK: v1.GroupVersion.WithKind("EcommercePlatform"), Label: naming.LabelEcommercePlatform,
		Application: platform.Name, Labels: map[string]string{naming.LabelPlatform: platform.Name},
	}
}

// stack that a platform means, next to the one that is there, which may be missing.
func stack(platform *v1.EcommercePlatform, live *v1.AppStack) *v1.AppStack {
	spec, set := platform.Spec, preset.Of(platform.Spec.Environment)

	return &v1.AppStack{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1.GroupVersion.String(), Kind: "AppStack"},
		ObjectMeta: Owner(platform).Meta(platform.Name),
		Spec: v1.AppStackSpec{
			Environment:       spec.Environment,
			Database:          database(spec.Database, set, live),
			Cache:             spec.Cache.DeepCopy(),
			Backend:           workload(spec.Backend, set),
			Frontend:          workload(spec.Frontend, set),
			Config:            maps.Clone(spec.Config),
			Ingress:           spec.Ingress.DeepCopy(),
			Monitoring:        spec.Monitoring.DeepCopy(),
			InheritedMetadata: &v1.EmbeddedMetadata{Labels: map[string]string{naming.LabelPlatform: platform.Name}},
		},
	}
}

func database(spec v1.DatabaseSpec, set preset.Preset, live *v1.AppStack) *v1.DatabaseSpec {
	wanted := spec.DeepCopy()
	if wanted.Type == "" {
		wanted.Type = v1.PostgreSQL
	}

	if wanted.Replicas == nil {
		wanted.Replicas = new(set.Instances(wanted.Type))
	}

	if wanted.Storage == "" {
		wanted.Storage = larger(set.Storage, storageOf(live))
	}

	if wanted.Backup == nil && set.Backup {
		wanted.Backup = &databasev1.BackupSpec{Enabled: true}
	}

	if backup := wanted.Backup; backup != nil && backup.Enabled {
		if backup.Schedule == "" {
			backup.Schedule = set.Schedule
		}

		if backup.Retention == "" {
			backup.Retention = set.Retention
		}
	}

	return wanted
}

// workload is nil for one without an image.
func workload(spec *v1.ShopWorkloadSpec, set preset.Preset) *v1.WorkloadSpec {
	if spec == nil || spec.Image == "" {
		return nil
	}

	wanted := spec.DeepCopy()
	if wanted.Replicas == nil {
		wanted.Replicas = new(set.Replicas)
	}

	return &v1.WorkloadSpec{
		Replicas: wanted.Replicas, Image: wanted.Image, Port: wanted.Port, Env: wanted.Env, Resources: wanted.Resources, Probes: wanted.Probes,
	}
}

func storageOf(live *v1.AppStack) string {
	if live == nil || live.Spec.Database == nil {
		return ""
	}

	return live.Spec.Database.Storage
}

// larger of two sizes; one that is none is the smaller.
func larger(a, b string) string {
	first, err := resource.ParseQuantity(a)
	if err != nil {
		return b
	}

	if second, err := resource.ParseQuantity(b); err == nil && second.Cmp(first) > 0 {
		return b
	}

	return a
}

// shrinks says what is wrong with a size that is smaller than what the volumes have; empty if nothing is. The API server
// refuses a smaller size than the one before, but does not know the presets.
func shrinks(platform *v1.EcommercePlatform, live *v1.AppStack) string {
	wanted, have := platform.Spec.Database.Storage, storageOf(live)
	if wanted == "" || have == "" || larger(wanted, have) == wanted {
		return ""
	}

	return fmt.Sprintf("spec.database.storage: the volumes have %s, and cannot shrink to %s; set %s or more, or move the data into a new platform",
		have, wanted, have)
}
