package api

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

func volumeStore(claim, server string) *postgresqlv1.VolumeStore {
	return &postgresqlv1.VolumeStore{PersistentVolumeClaim: corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}, ServerName: server}
}

// TestRecoveryFromAVolume: of the claim alone, once it is there. Its first instance reads from it, and writes beside that.
func TestRecoveryFromAVolume(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.create(t, w.newCluster(func(spec *postgresqlv1.ClusterSpec) {
		spec.Bootstrap = &postgresqlv1.BootstrapConfiguration{Recovery: &postgresqlv1.BootstrapRecovery{Source: "old"}}
		spec.ExternalClusters = []postgresqlv1.ExternalCluster{{Name: "old", Volume: volumeStore("attic", "")}}
		spec.Backup = &postgresqlv1.BackupConfiguration{Volume: volumeStore("attic", "")}
	}))
	w.settle(t)
	w.wantStalled(t, postgresqlv1.ReasonBackupMissing, `spec.externalClusters[old].volume: there is no PersistentVolumeClaim "attic"`)

	if made := w.pods(t); len(made) > 0 {
		t.Errorf("without the archive there are %d pods", len(made))
	}

	w.create(t, &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "attic"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	})
	w.settle(t)
	w.wantReady(t)

	for name, pod := range w.pods(t) {
		readOnly := map[string]bool{}
		for _, mount := range pod.Spec.Containers[0].VolumeMounts {
			readOnly[mount.MountPath] = mount.ReadOnly
		}

		isRead, reads := readOnly[instanceapi.RecoveryVolumeDir]
		if reads != (name == "db-0") || reads != isRead {
			t.Errorf("%s has the archive of the old Cluster: %v, read-only: %v", name, reads, isRead)
		}

		if protected, writes := readOnly[instanceapi.ArchiveVolumeDir]; !writes || protected {
			t.Errorf("%s has the archive: %v, read-only: %v", name, writes, protected)
		}
	}
}

// TestBackupsOfAnEarlierCluster are not told as those of the one that has its name now, and archives into another folder.
func TestBackupsOfAnEarlierCluster(t *testing.T) {
	t.Parallel()

	const later = "db-2"

	store := func(server string) *postgresqlv1.ObjectStore {
		return &postgresqlv1.ObjectStore{DestinationPath: "s3://bucket/path", ServerName: server}
	}
	w := started(t, func(spec *postgresqlv1.ClusterSpec) {
		spec.Backup = &postgresqlv1.BackupConfiguration{ObjectStore: store(later)}
	})
	w.addBackup(t, "before", "db", func(status *postgresqlv1.BackupStatus) {
		status.Drill = &postgresqlv1.DrillStatus{Succeeded: true, StoppedAt: status.StoppedAt}
	})
	w.settle(t)

	if told := w.cluster(t).Status.Backups; told != nil {
		t.Errorf("before the first Backup status.backups is %+v", told)
	}

	w.recoverInPlace(t, postgresqlv1.RecoverInPlace{ID: "drop"})
	w.wantStalled(t, postgresqlv1.ReasonInPlaceRefused, "no Backup of this Cluster is complete and still stored")
	w.change(t, func(c *postgresqlv1.Cluster) { c.Spec.RecoverInPlace = nil })

	w.addBackup(t, "since", "db", func(status *postgresqlv1.BackupStatus) {
		status.ObjectStore = store(later)
	})
	w.settle(t)

	told := w.cluster(t).Status.Backups
	if told == nil || told.LastSuccessfulBackupName != "since" || told.LastVerified != nil {
		t.Errorf("status.backups is %+v", told)
	}
}
