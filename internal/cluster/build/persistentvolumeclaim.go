package build

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// Volume describes the volume claim of one instance.
type Volume struct {
	// Instance that it belongs to.
	Instance string
	// Live is the claim as it is; nil if there is none.
	Live *corev1.PersistentVolumeClaim
	// Annotations are facts to keep with the volume.
	Annotations map[string]string
}

// PersistentVolumeClaim of an instance. What cannot change on an existing claim is taken from it as it is.
func PersistentVolumeClaim(in Input, volume Volume) *corev1.PersistentVolumeClaim {
	m := metadata(in.Cluster, volume.Instance, naming.InstanceLabels(in.Cluster.Name, volume.Instance))
	m.OwnerReferences = durableOwner(in.Cluster)

	for key, value := range volume.Annotations {
		m.Annotations[key] = value
	}

	pvc := &corev1.PersistentVolumeClaim{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"},
		ObjectMeta: m,
		Spec:       claimSpec(in.Cluster.Spec.Storage),
	}

	if volume.Live == nil {
		stamp(pvc)

		return pvc
	}

	wanted := pvc.Spec.Resources.Requests[corev1.ResourceStorage]
	if current := volume.Live.Spec.Resources.Requests[corev1.ResourceStorage]; wanted.Cmp(current) < 0 || !enabled(in.Cluster.Spec.Storage.ResizeInUseVolumes) {
		wanted = current
	}

	// The hash speaks of what we may change only: the rest of a live claim changes by itself, such as the volume's name.
	pvc.Spec = corev1.PersistentVolumeClaimSpec{Resources: requests(wanted)}
	stamp(pvc)

	pvc.Spec = *volume.Live.Spec.DeepCopy()
	pvc.Spec.Resources.Requests = requests(wanted).Requests

	return pvc
}

func requests(size resource.Quantity) corev1.VolumeResourceRequirements {
	return corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: size}}
}

func claimSpec(storage v1.StorageConfiguration) corev1.PersistentVolumeClaimSpec {
	spec := corev1.PersistentVolumeClaimSpec{}
	if storage.PVCTemplate != nil {
		storage.PVCTemplate.DeepCopyInto(&spec)
	}

	if len(spec.AccessModes) == 0 {
		spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	}

	if storage.StorageClass != nil {
		spec.StorageClassName = storage.StorageClass
	}

	// The CRD demands a quantity; a zero one is refused by the API server.
	size, _ := resource.ParseQuantity(storage.Size)
	spec.Resources.Requests = requests(size).Requests

	return spec
}
