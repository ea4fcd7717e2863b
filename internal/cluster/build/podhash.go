package build

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	corev1 "k8s.io/api/core/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
)

// podInputs are the user's wishes that a running pod cannot follow: a change makes it outdated.
//
// They are the inputs, not the pod that comes out: a newer operator may build pods in another way, with another image of
// its own, and must not restart a single database for it. New fields carry omitempty, or every pod would be outdated by
// the operator that brings them.
type podInputs struct {
	Image              string                            `json:"image"`
	ImagePullSecrets   []v1.LocalObjectReference         `json:"imagePullSecrets,omitempty"`
	UID                *int64                            `json:"uid,omitempty"`
	GID                *int64                            `json:"gid,omitempty"`
	Affinity           *corev1.Affinity                  `json:"affinity,omitempty"`
	NodeSelector       map[string]string                 `json:"nodeSelector,omitempty"`
	Tolerations        []corev1.Toleration               `json:"tolerations,omitempty"`
	TopologySpread     []corev1.TopologySpreadConstraint `json:"topologySpread,omitempty"`
	Resources          *corev1.ResourceRequirements      `json:"resources,omitempty"`
	PriorityClassName  string                            `json:"priorityClassName,omitempty"`
	SchedulerName      string                            `json:"schedulerName,omitempty"`
	ServiceAccountName string                            `json:"serviceAccountName,omitempty"`
	Env                []corev1.EnvVar                   `json:"env,omitempty"`
	EnvFrom            []corev1.EnvFromSource            `json:"envFrom,omitempty"`
	ProjectedVolume    *corev1.ProjectedVolumeSource     `json:"projectedVolume,omitempty"`
	Archive            *archiveInputs                    `json:"archive,omitempty"`
}

// archiveInputs are the Secrets and the volume of an archive that pods mount; where it is can change without a restart.
type archiveInputs struct {
	Secrets []ExternalSecret                          `json:"secrets,omitempty"`
	Volume  *corev1.PersistentVolumeClaimVolumeSource `json:"volume,omitempty"`
}

func archiveOf(cluster *v1.Cluster) *archiveInputs {
	place, ok := OwnPlace(cluster)
	if !ok {
		return nil
	}

	inputs := &archiveInputs{Secrets: place.Secrets()}
	if place.Volume != nil {
		inputs.Volume = &place.Volume.PersistentVolumeClaim
	}

	if len(inputs.Secrets) == 0 && inputs.Volume == nil {
		return nil
	}

	return inputs
}

// PodSpecHash is the hash of what makes a pod outdated.
func PodSpecHash(in Input) string {
	spec := in.Cluster.Spec

	encoded, err := json.Marshal(podInputs{
		Image:              in.Image,
		ImagePullSecrets:   spec.ImagePullSecrets,
		UID:                spec.PostgresUID,
		GID:                spec.PostgresGID,
		Affinity:           affinity(in.Cluster),
		NodeSelector:       spec.Affinity.NodeSelector,
		Tolerations:        spec.Affinity.Tolerations,
		TopologySpread:     spec.TopologySpreadConstraints,
		Resources:          &spec.Resources,
		PriorityClassName:  spec.PriorityClassName,
		SchedulerName:      spec.SchedulerName,
		ServiceAccountName: spec.ServiceAccountName,
		Env:                spec.Env,
		EnvFrom:            spec.EnvFrom,
		ProjectedVolume:    spec.ProjectedVolumeTemplate,
		Archive:            archiveOf(in.Cluster),
	})
	if err != nil {
		// API types always encode.
		panic(err)
	}

	sum := sha256.Sum256(encoded)

	return hex.EncodeToString(sum[:8])
}
