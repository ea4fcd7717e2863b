package build

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/podspec"
)

const volumeScratch = "scratch"

// Drill is what a throw-away instance is made of beside its Cluster.
type Drill struct {
	Name string
	// Config is the encoded instanceapi.Drill.
	Config string
	// Size and Class of the scratch volume, which goes with the pod.
	Size  resource.Quantity
	Class *string
	// Resources of the container; the Cluster's if there are none.
	Resources corev1.ResourceRequirements
	// Deadline in seconds.
	Deadline int64
}

// DrillPod restores a backup from a place, and proves it. It runs like an instance, from the same image and with the same
// rights on the store, but is none: services, budgets and the Cluster's controller do not see it.
func DrillPod(in Input, place Place, drill Drill) *corev1.Pod {
	m := metadata(in.Cluster, drill.Name, map[string]string{
		naming.LabelDrill: in.Cluster.Name, "app.kubernetes.io/managed-by": "caretaker",
		"app.kubernetes.io/name": "postgresql", "app.kubernetes.io/component": "drill",
	})
	m.OwnerReferences = []metav1.OwnerReference{ownerReference(in.Cluster)}

	no, grace := false, int64(10)
	spec := in.Cluster.Spec
	resources := drill.Resources

	if len(resources.Limits) == 0 && len(resources.Requests) == 0 {
		resources = spec.Resources
	}

	install := installContainer(in)
	install.Resources = corev1.ResourceRequirements{Limits: resources.Limits, Requests: resources.Requests}

	volumes, mounts := drillVolumes(place, drill)

	return &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: m,
		Spec: corev1.PodSpec{
			ServiceAccountName:            ServiceAccountName(in),
			AutomountServiceAccountToken:  &no,
			EnableServiceLinks:            &no,
			TerminationGracePeriodSeconds: &grace,
			ActiveDeadlineSeconds:         &drill.Deadline,
			RestartPolicy:                 corev1.RestartPolicyNever,
			ImagePullSecrets:              pullSecrets(spec.ImagePullSecrets),
			SchedulerName:                 spec.SchedulerName,
			NodeSelector:                  spec.Affinity.NodeSelector,
			Tolerations:                   spec.Affinity.Tolerations,
			SecurityContext:               podSecurity(in),
			InitContainers:                []corev1.Container{install},
			Containers: []corev1.Container{{
				Name:            "drill",
				Image:           in.Image,
				ImagePullPolicy: spec.ImagePullPolicy,
				Command:         []string{instanceapi.Binary, "drill"},
				Env:             append([]corev1.EnvVar{{Name: instanceapi.EnvDrill, Value: drill.Config}}, spec.Env...),
				EnvFrom:         spec.EnvFrom,
				Resources:       resources,
				SecurityContext: podspec.ContainerSecurity(),
				VolumeMounts:    mounts,
			}},
			Volumes: volumes,
		},
	}
}

func drillVolumes(place Place, drill Drill) ([]corev1.Volume, []corev1.VolumeMount) {
	volumes := []corev1.Volume{
		emptyDir(volumeBin, corev1.StorageMediumDefault),
		emptyDir(volumeRun, corev1.StorageMediumMemory),
		emptyDir(volumeSocket, corev1.StorageMediumMemory),
		emptyDir(volumeShm, corev1.StorageMediumMemory),
		emptyDir(volumeTmp, corev1.StorageMediumDefault),
		scratch(drill),
	}
	mounts := []corev1.VolumeMount{
		{Name: volumeBin, MountPath: instanceapi.BinDir, ReadOnly: true},
		{Name: volumeBin, MountPath: "/etc/passwd", SubPath: "passwd", ReadOnly: true},
		{Name: volumeBin, MountPath: "/etc/group", SubPath: "group", ReadOnly: true},
		{Name: volumeRun, MountPath: instanceapi.RunDir},
		{Name: volumeSocket, MountPath: instanceapi.SocketDir},
		{Name: volumeShm, MountPath: instanceapi.ShmDir},
		{Name: volumeTmp, MountPath: instanceapi.TmpDir},
		{Name: volumeScratch, MountPath: instanceapi.DrillDir},
	}

	more, at := sourceVolumes(place, volumeRecoveryStorage)

	return append(volumes, more...), append(mounts, at...)
}

func scratch(drill Drill) corev1.Volume {
	return corev1.Volume{Name: volumeScratch, VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{
		VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			StorageClassName: drill.Class,
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: drill.Size},
			},
		}},
	}}}
}
