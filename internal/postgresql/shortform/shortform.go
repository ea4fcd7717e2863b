package shortform

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/diff"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// Reasons that are not the Cluster's own.
const (
	ReasonImageNotConfigured = "ImageNotConfigured"
	ReasonMajorVersionChange = v1.ReasonMajorVersionChange
	ReasonInvalidImage       = v1.ReasonInvalidImage
	ReasonClusterNotOwned    = "ClusterNotOwned"
	ReasonCreatingCluster    = "CreatingCluster"
	ReasonWaitingForCluster  = "WaitingForCluster"
	ReasonDeleting           = v1.ReasonDeleting
)

// Defaults are the operator's configuration.
type Defaults struct {
	// Version for those that name none.
	Version string
	// Images by major version.
	Images map[string]string
	// StorageClass for those that name none; the Kubernetes cluster's own default if empty.
	StorageClass string
}

// Wish is what a short form says of its Cluster.
type Wish struct {
	// Owner of the Cluster; it gives it its name.
	Owner owned.Owner
	// Version is the major version; the default if empty, or what the Cluster has.
	Version string
	// Image if it is not to follow from the version.
	Image string
	// Instances of the Cluster.
	Instances int32
	// Storage of each.
	Storage string
	// StorageClass of the volumes.
	StorageClass *string
	// Resources of each instance.
	Resources corev1.ResourceRequirements
	// DeletionPolicy of the volumes.
	DeletionPolicy v1.DeletionPolicy
	// Backup configuration; nil for none.
	Backup *v1.BackupConfiguration
}

// Plan is what is to be done, and how things stand.
type Plan struct {
	// Changes to make.
	Changes []owned.Change
	// Outcome to tell if they can be made.
	Outcome conditions.Outcome
	// Cluster as it is, if it is the owner's; nil if not.
	Cluster *v1.Cluster
}

// Decide compares a wish with the Cluster of the owner's name, which may be missing. What cannot be is refused before
// anything changes:
//
//	the name         a Cluster that was not made for the owner is left alone
//	the version      the data's major stays; it is checked before anything else, since no image helps there
//	the image        one must be configured for the version
//
// The image of a Cluster that exists stays as it is: a change of the operator's configuration restarts no database.
func (w Wish) Decide(defaults Defaults, live *v1.Cluster) Plan {
	if live != nil && !w.Owner.IsOurs(live) {
		return stalled(nil, ReasonClusterNotOwned, fmt.Sprintf(
			"a Cluster %s exists that was not made for this %s; it is left alone. Choose another metadata.name here",
			live.Name, w.Owner.GVK.Kind))
	}

	if live != nil && live.DeletionTimestamp != nil {
		return Plan{Outcome: conditions.Outcome{
			Kind: conditions.Waiting, Reason: ReasonDeleting, Message: "Waiting for the Cluster of this name before to be gone",
		}}
	}

	image, problem := w.image(defaults, live)
	if problem != nil {
		return stalled(live, problem.Reason, problem.Message)
	}

	plan := Plan{Cluster: live}

	objects := owned.Objects{}
	if live != nil {
		objects[owned.Key{Kind: "Cluster", Name: live.Name}] = live
	}

	plan.Changes = owned.Changes([]owned.Object{w.cluster(defaults, image)}, objects, nil)
	plan.Outcome = standing(live, len(plan.Changes) > 0)

	return plan
}

func stalled(live *v1.Cluster, reason, message string) Plan {
	return Plan{Cluster: live, Outcome: conditions.Outcome{Kind: conditions.Stalled, Reason: reason, Message: message}}
}

func (w Wish) image(defaults Defaults, live *v1.Cluster) (string, *conditions.Outcome) {
	version := w.Version

	if live != nil {
		has := majorOf(live)
		if version == "" && w.Image == "" || has != 0 && version == strconv.Itoa(has) && w.Image == "" {
			return live.Spec.ImageName, nil
		}

		if has != 0 && version != "" && version != strconv.Itoa(has) {
			return "", &conditions.Outcome{Reason: ReasonMajorVersionChange, Message: fmt.Sprintf(
				"spec.version: the data is of PostgreSQL %d, which %s cannot read; set it back to \"%d\". "+
					"To move to %s, create a new %s and copy the data with pg_dump and pg_restore", has, version, has, version, w.Owner.GVK.Kind)}
		}
	}

	if w.Image != "" {
		return w.ownImage(version)
	}

	if version == "" {
		version = defaults.Version
	}

	image := defaults.Images[version]
	if image == "" {
		return "", &conditions.Outcome{Reason: ReasonImageNotConfigured, Message: fmt.Sprintf(
			"spec.version: the operator has no image for PostgreSQL %q; use one of %s, or add it to the chart's value database.images",
			version, configured(defaults.Images))}
	}

	return image, nil
}

// ownImage is the image that the user names, which must be of the version that he names.
func (w Wish) ownImage(version string) (string, *conditions.Outcome) {
	major, known := postgres.ParseMajorFromImage(w.Image)
	if known && version != "" && strconv.Itoa(major) != version {
		return "", &conditions.Outcome{Reason: ReasonInvalidImage, Message: fmt.Sprintf(
			"spec.image: %s is PostgreSQL %d, but spec.version is \"%s\"; make them the same, or leave one of them out", w.Image, major, version)}
	}

	return w.Image, nil
}

func configured(images map[string]string) string {
	if len(images) == 0 {
		return "none"
	}

	return strings.Join(slices.Sorted(maps.Keys(images)), ", ")
}

// majorOf is the major of a Cluster's data, or that its image says; 0 if neither is known.
func majorOf(cluster *v1.Cluster) int {
	if cluster.Status.Major != 0 {
		return int(cluster.Status.Major)
	}

	major, _ := postgres.ParseMajorFromImage(cluster.Spec.ImageName)

	return major
}

// cluster is the Cluster as it is applied: the fields that the short form owns, and no other, not even empty ones.
func (w Wish) cluster(defaults Defaults, image string) owned.Object {
	class := w.StorageClass
	if class == nil && defaults.StorageClass != "" {
		class = &defaults.StorageClass
	}

	cluster := &v1.Cluster{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1.GroupVersion.String(), Kind: "Cluster"},
		ObjectMeta: w.Owner.Meta(w.Owner.Object.GetName()),
		Spec: v1.ClusterSpec{
			Instances: w.Instances,
			ImageName: image,
			Storage:   v1.StorageConfiguration{Size: w.Storage, StorageClass: class},
			Resources: w.Resources,
			Backup:    w.Backup,

			DeletionPolicy: w.DeletionPolicy,
		},
	}

	if len(w.Owner.Labels) > 0 || len(w.Owner.Annotations) > 0 {
		cluster.Spec.InheritedMetadata = &v1.EmbeddedMetadata{
			Labels: maps.Clone(w.Owner.Labels), Annotations: maps.Clone(w.Owner.Annotations),
		}
	}

	content, err := diff.Unstructured(cluster)
	if err != nil {
		panic(err) // a Cluster is made of plain API types
	}

	for _, empty := range []string{"affinity", "postgresql", "resources"} {
		if field, _, _ := unstructured.NestedMap(content.Object, "spec", empty); len(field) == 0 {
			unstructured.RemoveNestedField(content.Object, "spec", empty)
		}
	}

	return content
}

// standing is how a Cluster stands, in its own words.
//
//nolint:revive // the flag is a fact about the pass, not a mode
func standing(live *v1.Cluster, changing bool) conditions.Outcome {
	if live == nil {
		return conditions.Outcome{Kind: conditions.Waiting, Reason: ReasonCreatingCluster, Message: "Waiting: creating the Cluster"}
	}

	if changing || live.Status.ObservedGeneration != live.Generation {
		return conditions.Outcome{Kind: conditions.Waiting, Reason: ReasonWaitingForCluster, Message: "Waiting for the Cluster to take up what it is asked for"}
	}

	ready := meta.FindStatusCondition(live.Status.Conditions, v1.ConditionReady)
	stall := meta.FindStatusCondition(live.Status.Conditions, v1.ConditionStalled)
	busy := meta.FindStatusCondition(live.Status.Conditions, v1.ConditionReconciling)

	switch {
	case stall != nil && stall.Status == metav1.ConditionTrue:
		return conditions.Outcome{Kind: conditions.Stalled, Reason: stall.Reason, Message: "Cluster " + live.Name + ": " + stall.Message}
	case ready == nil:
		return conditions.Outcome{Kind: conditions.Waiting, Reason: ReasonWaitingForCluster, Message: "Waiting for the Cluster"}
	case ready.Status == metav1.ConditionTrue:
		return conditions.Outcome{Kind: conditions.Done, Reason: ready.Reason, Message: ready.Message}
	case busy != nil && busy.Status == metav1.ConditionTrue:
		return conditions.Outcome{Kind: conditions.Waiting, Reason: busy.Reason, Message: busy.Message}
	default:
		// Hibernated or paused, as the user wants it.
		return conditions.Outcome{Kind: conditions.Resting, Reason: ready.Reason, Message: ready.Message}
	}
}

// InheritedLabels are those of a user's labels that go to everything that is made for the object: the ones without a
// domain, such as platform=shop. Labels with a domain belong to a tool, and it may take what carries them for its own.
func InheritedLabels(labels map[string]string) map[string]string {
	inherited := map[string]string{}

	for key, value := range labels {
		if !strings.Contains(key, "/") {
			inherited[key] = value
		}
	}

	return inherited
}
