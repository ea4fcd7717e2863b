package build

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

const (
	volumeConfig   = "caretaker-config"
	volumeDatabase = "caretaker-database"
)

// connectionEnv are the suffixes of the environment, and the keys of the connection Secret that they show.
func connectionEnv() [][2]string {
	return [][2]string{
		{"_URL", "uri"}, {"_HOST", "host"}, {"_PORT", "port"}, {"_NAME", "dbname"}, {"_USER", "username"}, {"_PASSWORD", "password"},
	}
}

// env is the connection, and then the user's own, which wins.
func env(in Input) []corev1.EnvVar {
	var vars []corev1.EnvVar

	if in.Database != nil {
		for _, e := range connectionEnv() {
			name := in.WebApp.Spec.Database.EnvPrefix + e[0]
			if slices.ContainsFunc(in.WebApp.Spec.Env, func(v corev1.EnvVar) bool { return v.Name == name }) {
				continue
			}

			vars = append(vars, corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: in.Database.Secret}, Key: e[1],
			}}})
		}
	}

	return append(vars, in.WebApp.Spec.Env...)
}

// envFrom is the configuration, and then the user's own, which wins. The Secret is optional: that a first value becomes
// secret must not change the pods' template, since the change of the configuration restarts them already.
func envFrom(in Input) []corev1.EnvFromSource {
	var sources []corev1.EnvFromSource

	if in.Config != nil {
		sources = append(sources,
			corev1.EnvFromSource{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: in.Config.ConfigMap}}},
			corev1.EnvFromSource{SecretRef: &corev1.SecretEnvSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: in.Config.Secret}, Optional: new(true),
			}})
	}

	return append(sources, in.WebApp.Spec.EnvFrom...)
}

func volumes(in Input) []corev1.Volume {
	var all []corev1.Volume

	if in.Config != nil && in.WebApp.Spec.ConfigRef.MountPath != "" {
		all = append(all, corev1.Volume{Name: volumeConfig, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources: []corev1.VolumeProjection{
				{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: in.Config.ConfigMap}}},
				{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: in.Config.Secret}, Optional: new(true)}},
			},
		}}})
	}

	if in.Database != nil {
		all = append(all, corev1.Volume{Name: volumeDatabase, VolumeSource: corev1.VolumeSource{
			Secret: &corev1.SecretVolumeSource{SecretName: in.Database.Secret},
		}})
	}

	return all
}

func mounts(in Input) []corev1.VolumeMount {
	var all []corev1.VolumeMount

	if in.Config != nil && in.WebApp.Spec.ConfigRef.MountPath != "" {
		all = append(all, corev1.VolumeMount{Name: volumeConfig, MountPath: in.WebApp.Spec.ConfigRef.MountPath, ReadOnly: true})
	}

	if in.Database != nil {
		all = append(all, corev1.VolumeMount{Name: volumeDatabase, MountPath: in.WebApp.Spec.Database.MountPath, ReadOnly: true})
	}

	return all
}
