package podspec

import corev1 "k8s.io/api/core/v1"

// SecretMode lets the pod's user read what belongs to its group; PostgreSQL refuses keys that others than their owner can read,
// which is why PID 1 makes copies of its own.
const SecretMode int32 = 0o440

// ContainerSecurity is what the restricted Pod Security Standard demands, and a root filesystem that nobody can write.
func ContainerSecurity() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false),
		ReadOnlyRootFilesystem:   new(true),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
}

// SecretVolume has all keys of a Secret, or those that are named.
func SecretVolume(name, secret string, keys ...string) corev1.Volume {
	source := &corev1.SecretVolumeSource{SecretName: secret, DefaultMode: new(SecretMode)}

	for _, key := range keys {
		source.Items = append(source.Items, corev1.KeyToPath{Key: key, Path: key})
	}

	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Secret: source}}
}
