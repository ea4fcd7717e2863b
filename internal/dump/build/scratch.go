package build

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/podspec"
)

const (
	// scratchVolume holds the data of the throw-away server, and its socket.
	scratchVolume = "scratch"
	// scratchSize that it may take if nothing is said.
	scratchSize = "10Gi"
	// scratchMargin: an eighth more than the server may take, so that it is stopped with a word before the kubelet evicts the pod.
	scratchMargin = 8

	// tokenDir is where a ServiceAccount's token would be.
	tokenDir = "/var/run/secrets/kubernetes.io/serviceaccount" //nolint:gosec // a path
)

// addScratch adds the container of the throw-away server. What a dump holds may run code there, as the superuser: it sees no Secret, and no
// token. It ends with the dump's container.
func addScratch(pod *corev1.PodSpec, in Input) {
	spec := in.Backup.Spec

	size, err := resource.ParseQuantity(spec.Verification.Size)
	if err != nil {
		size = resource.MustParse(scratchSize) // nothing is said; all else was refused
	}

	limit := resource.NewQuantity(size.Value()+size.Value()/scratchMargin, resource.BinarySI)
	mount := corev1.VolumeMount{Name: scratchVolume, MountPath: archiveapi.DumpScratchDir}
	container := corev1.Container{
		Name: ScratchContainer, Image: in.Image,
		RestartPolicy: new(corev1.ContainerRestartPolicyAlways),
		Command: []string{
			program, "dump-scratch", "--engine=" + string(spec.Source.Type), "--dir=" + archiveapi.DumpScratchDir, "--max-bytes=" + strconv.FormatInt(size.Value(), 10),
		},
		Resources:       spec.Verification.Resources,
		SecurityContext: podspec.ContainerSecurity(),
		VolumeMounts:    []corev1.VolumeMount{{Name: "bin", MountPath: instanceapi.BinDir, ReadOnly: true}, mount},
	}

	if spec.ServiceAccountName != "" {
		const nothing = "nothing"

		pod.Volumes = append(pod.Volumes, corev1.Volume{Name: nothing, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
		container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: nothing, MountPath: tokenDir, ReadOnly: true})
	}

	pod.Volumes = append(pod.Volumes, corev1.Volume{Name: scratchVolume, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: limit}}})
	pod.InitContainers = append(pod.InitContainers, container)
	pod.Containers[0].VolumeMounts = append(pod.Containers[0].VolumeMounts, mount)
}

// withoutScratch is for a pod that restores into a real server.
func withoutScratch(pod *corev1.PodSpec) {
	pod.InitContainers = slices.DeleteFunc(pod.InitContainers, func(c corev1.Container) bool { return c.Name == ScratchContainer })
	pod.Volumes = slices.DeleteFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == scratchVolume })
	pod.Containers[0].VolumeMounts = slices.DeleteFunc(pod.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == scratchVolume })
}
