package uses

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Config says whether pods use the ConfigMap or the Secret of a name: in the environment of any container, as a volume,
// or in a projected volume.
func Config(spec corev1.PodSpec, name string) bool {
	return slices.ContainsFunc(spec.Containers, func(c corev1.Container) bool { return inEnvironment(c.Env, c.EnvFrom, name) }) ||
		slices.ContainsFunc(spec.InitContainers, func(c corev1.Container) bool { return inEnvironment(c.Env, c.EnvFrom, name) }) ||
		slices.ContainsFunc(spec.Volumes, func(v corev1.Volume) bool { return inVolume(v, name) })
}

func inEnvironment(env []corev1.EnvVar, from []corev1.EnvFromSource, name string) bool {
	return slices.ContainsFunc(env, func(e corev1.EnvVar) bool {
		return e.ValueFrom != nil &&
			(e.ValueFrom.ConfigMapKeyRef != nil && e.ValueFrom.ConfigMapKeyRef.Name == name ||
				e.ValueFrom.SecretKeyRef != nil && e.ValueFrom.SecretKeyRef.Name == name)
	}) || slices.ContainsFunc(from, func(e corev1.EnvFromSource) bool {
		return e.ConfigMapRef != nil && e.ConfigMapRef.Name == name || e.SecretRef != nil && e.SecretRef.Name == name
	})
}

func inVolume(volume corev1.Volume, name string) bool {
	switch {
	case volume.ConfigMap != nil:
		return volume.ConfigMap.Name == name
	case volume.Secret != nil:
		return volume.Secret.SecretName == name
	case volume.Projected != nil:
		return slices.ContainsFunc(volume.Projected.Sources, func(s corev1.VolumeProjection) bool {
			return s.ConfigMap != nil && s.ConfigMap.Name == name || s.Secret != nil && s.Secret.Name == name
		})
	default:
		return false
	}
}
