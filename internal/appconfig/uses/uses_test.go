package uses_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/caretaker-dev/caretaker/internal/appconfig/uses"
)

func TestConfig(t *testing.T) {
	t.Parallel()

	ref := corev1.LocalObjectReference{Name: "shop-config"}
	inEnv := func(source *corev1.EnvVarSource) corev1.PodSpec {
		return corev1.PodSpec{Containers: []corev1.Container{{}, {Env: []corev1.EnvVar{{Name: "A", Value: "b"}, {Name: "B", ValueFrom: source}}}}}
	}
	volume := func(source corev1.VolumeSource) corev1.PodSpec {
		return corev1.PodSpec{Volumes: []corev1.Volume{{VolumeSource: source}}}
	}

	for name, spec := range map[string]corev1.PodSpec{
		"a key":            inEnv(&corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: ref}}),
		"a secret's key":   inEnv(&corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: ref}}),
		"envFrom":          {Containers: []corev1.Container{{EnvFrom: []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: ref}}}}}},
		"envFrom a Secret": {InitContainers: []corev1.Container{{EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: ref}}}}}},
		"volume":           volume(corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: ref}}),
		"Secret volume":    volume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: ref.Name}}),
		"projected": volume(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{}, {ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: ref}},
		}}}),
		"projected Secret": volume(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{Secret: &corev1.SecretProjection{LocalObjectReference: ref}},
		}}}),
	} {
		if !uses.Config(spec, "shop-config") {
			t.Errorf("%s is not seen", name)
		}

		if uses.Config(spec, "shop") {
			t.Errorf("%s is seen under another name", name)
		}
	}

	if uses.Config(corev1.PodSpec{Containers: []corev1.Container{{}}}, "shop-config") {
		t.Error("a pod without any is seen")
	}
}
