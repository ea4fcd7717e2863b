package build

import (
	"maps"

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
	// KeepSize leaves a live claim at its size.
	KeepSize bool
	// Snapshot that a new claim is made of; nil for an empty one.
	Snapshot *v1.BackupSnapshot
	// Annotations are facts to keep with the volume.
	Annotations map[string]string
}

// PersistentVolumeClaim of an instance. What cannot change on an existing claim is taken from it as it is.
func PersistentVolumeClaim(in Input, volume Volume) *corev1.PersistentVolumeClaim {
	m := metadata(in.Cluster, volume.Instance, naming.InstanceLabels(in.Cluster.Name, volume.Instance))
	m.OwnerReferences = durableOwner(in.Cluster)

	maps.Copy(m.Annotations, volume.Annotations)

	spec := claimSpec(in.Cluster.Spec.Storage, StorageSize(in.Cluster))

	switch {
	case volume.Live != nil:
		spec = liveSpec(in.Cluster.Spec.Storage, spec, volume)
	case volume.Snapshot != nil:
		spec.DataSource, spec.DataSourceRef = snapshotSource(*volume.Snapshot), nil
		m.Annotations[naming.AnnotationSnapshot] = snapshotMark(in.Cluster, volume.Instance)
	}

	// The hash speaks of what we may change only: the rest of a live claim changes by itself, such as the volume's name.
	pvc := &corev1.PersistentVolumeClaim{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"},
		ObjectMeta: m,
		Spec:       corev1.PersistentVolumeClaimSpec{Resources: requests(spec.Resources.Requests[corev1.ResourceStorage])},
	}
	stamp(pvc)

	pvc.Spec = spec

	return pvc
}

// liveSpec is the live claim's, grown to the wanted size where that is larger and wanted on volumes in use.
func liveSpec(storage v1.StorageConfiguration, wanted corev1.PersistentVolumeClaimSpec, volume Volume) corev1.PersistentVolumeClaimSpec {
	spec := *volume.Live.Spec.DeepCopy()

	size := wanted.Resources.Requests[corev1.ResourceStorage]
	if size.Cmp(spec.Resources.Requests[corev1.ResourceStorage]) > 0 && enabled(storage.ResizeInUseVolumes) && !volume.KeepSize {
		spec.Resources.Requests = requests(size).Requests
	}

	return spec
}

func requests(size resource.Quantity) corev1.VolumeResourceRequirements {
	return corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: size}}
}

// StorageSize of the volumes: what the user wrote, or what it has grown to by itself. The CRD demands a quantity; a zero one
// is refused by the API server.
func StorageSize(cluster *v1.Cluster) resource.Quantity {
	size, _ := resource.ParseQuantity(cluster.Spec.Storage.Size)
	if grown, err := resource.ParseQuantity(cluster.Status.StorageSize); err == nil && grown.Cmp(size) > 0 {
		return grown
	}

	return size
}

func claimSpec(storage v1.StorageConfiguration, size resource.Quantity) corev1.PersistentVolumeClaimSpec {
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

	spec.Resources.Requests = requests(size).Requests

	return spec
}
