package build_test

import (
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// TestAClaimIsNamedOnce: a pod that recovers from the volume that it archives to starts with any storage driver.
func TestAClaimIsNamedOnce(t *testing.T) {
	on := func(claim string) *v1.VolumeStore {
		return &v1.VolumeStore{PersistentVolumeClaim: corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}
	}
	key := corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "age"}, Key: "key"}
	encryption := &v1.ClientEncryption{Recipients: []string{"age1x"}, Identity: key}

	for claim, wanted := range map[string][]string{"archive": {"archive"}, "elsewhere": {"archive", "elsewhere"}} {
		t.Run(claim, func(t *testing.T) {
			in := smallest()
			in.Recovering, in.First = true, "small-0"
			in.Cluster.Spec.Backup = &v1.BackupConfiguration{Volume: on("archive"), ClientEncryption: encryption}
			in.Cluster.Spec.Bootstrap = &v1.BootstrapConfiguration{Recovery: &v1.BootstrapRecovery{Backup: &v1.LocalObjectReference{Name: "b"}}}
			in.RecoveryBackup = &v1.Backup{}
			in.RecoveryBackup.Spec.Cluster.Name = "big"
			in.RecoveryBackup.Status.Volume, in.RecoveryBackup.Status.ClientEncryption = on(claim), encryption

			spec := build.Pod(in, "small-0").Spec

			var claims []string

			claimOf := map[string]string{}

			for _, volume := range spec.Volumes {
				if volume.PersistentVolumeClaim == nil || volume.PersistentVolumeClaim.ClaimName == "small-0" {
					continue
				}

				claims = append(claims, volume.PersistentVolumeClaim.ClaimName)
				claimOf[volume.Name] = volume.PersistentVolumeClaim.ClaimName
			}

			if !slices.Equal(claims, wanted) {
				t.Errorf("the pod names the claims %v, want %v", claims, wanted)
			}

			at := map[string]string{}
			for _, mount := range spec.Containers[0].VolumeMounts {
				at[mount.MountPath] = claimOf[mount.Name]
			}

			if at[instanceapi.ArchiveVolumeDir] != "archive" || at[instanceapi.RecoveryVolumeDir] != claim {
				t.Errorf("claims are mounted %v", at)
			}
		})
	}
}

// TestRecoveryFromAVolume: an archive on a volume is enough, and nothing of it can be changed by the pod that reads it.
func TestRecoveryFromAVolume(t *testing.T) {
	onAttic := func() *v1.VolumeStore {
		return &v1.VolumeStore{PersistentVolumeClaim: corev1.PersistentVolumeClaimVolumeSource{ClaimName: "attic"}}
	}
	in := smallest()
	in.Recovering, in.First = true, "small-0"
	in.Cluster.Spec.Bootstrap = &v1.BootstrapConfiguration{Recovery: &v1.BootstrapRecovery{Source: "big"}}
	in.Cluster.Spec.ExternalClusters = []v1.ExternalCluster{{Name: "big", Volume: onAttic()}}

	if place, ok := build.RecoveryPlace(in.Cluster, nil); !ok || place.Field != "spec.externalClusters[big].volume" {
		t.Errorf("it is recovered from %+v", place)
	}

	told := build.Recovery(in.Cluster, nil)
	if told == nil || told.Archive.URL != "file://"+instanceapi.RecoveryVolumeDir || told.Archive.Server != "big" {
		t.Errorf("the instance is told %+v", told)
	}

	in.Cluster.Spec.ExternalClusters[0].Volume.ServerName = "bigger"
	if told := build.Recovery(in.Cluster, nil); told == nil || told.Archive.Server != "bigger" {
		t.Errorf("with a serverName the instance is told %+v", told)
	}

	// Its own archive is in another folder of the same volume.
	in.Cluster.Spec.Backup = &v1.BackupConfiguration{Volume: onAttic()}

	// mounts are the archives of a pod, and whether they are read-only.
	mounts := func(instance string) map[string]bool {
		found := map[string]bool{}

		for _, mount := range build.Pod(in, instance).Spec.Containers[0].VolumeMounts {
			if mount.MountPath == instanceapi.RecoveryVolumeDir || mount.MountPath == instanceapi.ArchiveVolumeDir {
				found[mount.MountPath] = mount.ReadOnly
			}
		}

		return found
	}

	if got := mounts("small-0"); !maps.Equal(got, map[string]bool{instanceapi.RecoveryVolumeDir: true, instanceapi.ArchiveVolumeDir: false}) {
		t.Errorf("read-only are %v", got)
	}

	// The others are copies of the first, wherever they run.
	if got := mounts("small-1"); !maps.Equal(got, map[string]bool{instanceapi.ArchiveVolumeDir: false}) {
		t.Errorf("of another instance read-only are %v", got)
	}

	in.Recovering = false
	if got := mounts("small-0"); !maps.Equal(got, map[string]bool{instanceapi.ArchiveVolumeDir: false}) {
		t.Errorf("once it is recovered, read-only are %v", got)
	}
}

// TestFieldsOfSecrets: a message about a Secret names the field that is to be corrected.
func TestFieldsOfSecrets(t *testing.T) {
	t.Parallel()

	identity := corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "age"}, Key: "key"}
	store := &v1.ObjectStore{EndpointCA: &identity}

	for field, want := range map[string][]string{
		"spec.backup.objectStore":                {"spec.backup.objectStore.endpointCA", "spec.backup.clientEncryption.identity"},
		"spec.backup.barmanObjectStore":          {"spec.backup.barmanObjectStore.endpointCA", "spec.backup.clientEncryption.identity"},
		"spec.externalClusters[old].objectStore": {"spec.externalClusters[old].objectStore.endpointCA", "spec.externalClusters[old].clientEncryption.identity"},
		"spec.bootstrap.recovery.backup":         {"spec.bootstrap.recovery.backup.endpointCA", "spec.bootstrap.recovery.backup.clientEncryption.identity"},
	} {
		place := build.Place{Field: field, Store: store, Encryption: &v1.ClientEncryption{Identity: identity}}

		var got []string
		for _, secret := range place.Secrets() {
			got = append(got, place.FieldOf(secret))
		}

		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", field, got, want)
		}
	}
}
