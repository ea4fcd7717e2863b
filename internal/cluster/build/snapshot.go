package build

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

const snapshotGroup, snapshotKind = "snapshot.storage.k8s.io", "VolumeSnapshot"

// SnapshotGVK is the kind of snapshots of volumes, SnapshotClassGVK that of their classes. They are not part of Kubernetes itself, and
// may not be installed.
func SnapshotGVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: snapshotGroup, Version: "v1", Kind: snapshotKind}
}

// SnapshotClassGVK see SnapshotGVK.
func SnapshotClassGVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: snapshotGroup, Version: "v1", Kind: "VolumeSnapshotClass"}
}

// SnapshotNamed is a VolumeSnapshot with nothing but its name, to read, change or delete it by.
func SnapshotNamed(namespace, name string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(SnapshotGVK())
	object.SetNamespace(namespace)
	object.SetName(name)

	return object
}

// VolumeSnapshot of an instance's volume, for a Backup. Nobody owns it: it outlives the Backup unless that says otherwise.
func VolumeSnapshot(backup *v1.Backup, snapshot v1.BackupSnapshot, instance string) *unstructured.Unstructured {
	// A label's value is shorter than a name may be.
	const longestValue = 63

	object := SnapshotNamed(backup.Namespace, snapshot.Name)
	object.Object["spec"] = map[string]any{
		"volumeSnapshotClassName": snapshot.ClassName,
		"source":                  map[string]any{"persistentVolumeClaimName": instance},
	}
	object.SetLabels(map[string]string{
		naming.LabelManagedBy: naming.ManagedBy, naming.LabelCluster: backup.Spec.Cluster.Name, naming.LabelInstance: instance,
		naming.LabelBackup: backup.Name[:min(len(backup.Name), longestValue)],
	})

	return object
}

// snapshotted is what a snapshot says of itself: enough to find what belongs to it in the archive.
type snapshotted struct {
	Backup          string `json:"backup"`
	BackupID        string `json:"backupID"`
	DestinationPath string `json:"destinationPath"`
	ServerName      string `json:"serverName"`
	BeginLSN        string `json:"beginLSN"`
	EndLSN          string `json:"endLSN"`
	TimelineID      int64  `json:"timelineID"`
	SystemID        string `json:"systemID"`
}

// SnapshotAnnotation is what naming.AnnotationBackup has on the snapshot of a Backup that was taken.
func SnapshotAnnotation(name string, taken v1.BackupStatus) string {
	encoded, err := json.Marshal(snapshotted{
		Backup: name, BackupID: taken.BackupID, DestinationPath: taken.DestinationPath, ServerName: taken.ServerName,
		BeginLSN: taken.BeginLSN, EndLSN: taken.EndLSN, TimelineID: taken.TimelineID, SystemID: taken.SystemID,
	})
	if err != nil {
		// Strings and numbers always encode.
		panic(err)
	}

	return string(encoded)
}

// RecoverySnapshot is the snapshot that the first volume of a Cluster is made of; nil if it is made empty.
func RecoverySnapshot(cluster *v1.Cluster, backup *v1.Backup) *v1.BackupSnapshot {
	bootstrap := cluster.Spec.Bootstrap
	if bootstrap == nil || bootstrap.Recovery == nil || bootstrap.Recovery.Backup == nil || backup == nil {
		return nil
	}

	if target := bootstrap.Recovery.RecoveryTarget; target != nil && target.BackupID != "" && target.BackupID != backup.Status.BackupID {
		return nil
	}

	return backup.Status.Snapshot
}

// snapshotMark tells a volume that is made of a snapshot from all others: that of a claim that is made again is the same, and as new.
func snapshotMark(cluster *v1.Cluster, instance string) string {
	return string(cluster.UID) + "/" + instance
}

func snapshotSource(snapshot v1.BackupSnapshot) *corev1.TypedLocalObjectReference {
	group := snapshotGroup

	return &corev1.TypedLocalObjectReference{APIGroup: &group, Kind: snapshotKind, Name: snapshot.Name}
}
