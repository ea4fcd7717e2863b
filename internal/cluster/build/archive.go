package build

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// Names of the volumes of archives.
const (
	volumeArchive         = "archive"
	volumeArchiveStore    = "archive-volume"
	volumeRecovery        = "recovery-archive"
	volumeRecoveryStorage = "recovery-archive-volume"
)

// Place is an archive: a store, the folder of one Cluster in it, and how it is encrypted.
type Place struct {
	// Field of the spec that names it.
	Field string
	// Store or Volume, one of them.
	Store      *v1.ObjectStore
	Volume     *v1.VolumeStore
	Encryption *v1.ClientEncryption
	// Cluster whose folder it is unless the store names another.
	Cluster string
}

const encryptionField = "clientEncryption"

// OwnPlace is where a Cluster archives to; false if it does not.
func OwnPlace(cluster *v1.Cluster) (Place, bool) {
	given := cluster.Spec.Backup
	if given == nil {
		return Place{}, false
	}

	place := Place{
		Field: "spec.backup.objectStore", Store: given.Store(), Volume: given.Volume,
		Encryption: given.ClientEncryption, Cluster: cluster.Name,
	}

	switch {
	case given.Volume != nil:
		place.Field, place.Store = "spec.backup.volume", nil
	case given.BarmanObjectStore != nil:
		place.Field = "spec.backup.barmanObjectStore"
	}

	return place, place.Volume != nil || place.Store != nil && place.Store.DestinationPath != ""
}

// RecoveryPlace is the archive that a Cluster is recovered from; false if it is not, or if the backup is not known. The
// backup's own status says where it is, so that its Cluster need not exist any more.
func RecoveryPlace(cluster *v1.Cluster, backup *v1.Backup) (Place, bool) {
	if cluster.Spec.Bootstrap == nil || cluster.Spec.Bootstrap.Recovery == nil {
		return Place{}, false
	}

	recovery := cluster.Spec.Bootstrap.Recovery

	if recovery.Backup != nil {
		if backup == nil {
			return Place{}, false
		}

		place, ok := BackupPlace(backup)
		place.Field = "spec.bootstrap.recovery.backup"

		return place, ok
	}

	source := ExternalCluster(cluster.Spec, recovery.Source)
	if source == nil {
		return Place{}, false
	}

	place := Place{
		Field: "spec.externalClusters[" + source.Name + "].objectStore", Store: source.Store(), Volume: source.Volume,
		Encryption: source.ClientEncryption, Cluster: source.Name,
	}
	if place.Volume != nil {
		place.Field, place.Store = "spec.externalClusters["+source.Name+"].volume", nil
	}

	return place, place.Store != nil || place.Volume != nil
}

// BackupPlace is where a Backup is stored; false if its status does not say.
func BackupPlace(backup *v1.Backup) (Place, bool) {
	place := Place{
		Store: backup.Status.ObjectStore, Volume: backup.Status.Volume,
		Encryption: backup.Status.ClientEncryption, Cluster: backup.Spec.Cluster.Name,
	}

	return place, place.Store != nil || place.Volume != nil
}

// IsElsewhere says whether a Backup is known to be stored in another place than the Cluster archives to.
func IsElsewhere(cluster *v1.Cluster, backup *v1.Backup) bool {
	own, archives := OwnPlace(cluster)
	stored, isKnown := BackupPlace(backup)

	return archives && isKnown && !stored.IsSame(own)
}

// Server is the folder in the store.
func (p Place) Server() string {
	switch {
	case p.Store != nil && p.Store.ServerName != "":
		return p.Store.ServerName
	case p.Volume != nil && p.Volume.ServerName != "":
		return p.Volume.ServerName
	default:
		return p.Cluster
	}
}

// IsSame says whether two places are the same folder of the same store, as far as can be told from their names.
func (p Place) IsSame(other Place) bool {
	if p.Server() != other.Server() || (p.Store == nil) != (other.Store == nil) {
		return false
	}

	if p.Store == nil {
		return p.Volume.PersistentVolumeClaim.ClaimName == other.Volume.PersistentVolumeClaim.ClaimName
	}

	trim := func(path string) string { return strings.TrimRight(path, "/") }

	return trim(p.Store.DestinationPath) == trim(other.Store.DestinationPath) && trim(p.Store.EndpointURL) == trim(other.Store.EndpointURL)
}

// Secrets are those that a place names.
func (p Place) Secrets() []ExternalSecret {
	var secrets []ExternalSecret

	add := func(field, file string, selector *corev1.SecretKeySelector) {
		if selector != nil {
			secrets = append(secrets, ExternalSecret{field, file, *selector})
		}
	}

	if store := p.Store; store != nil {
		add("endpointCA", instanceapi.CredentialCA, store.EndpointCA)

		if s3 := store.S3Credentials; s3 != nil && !s3.InheritFromIAMRole {
			add("s3Credentials.accessKeyId", instanceapi.CredentialAccessKeyID, s3.AccessKeyID)
			add("s3Credentials.secretAccessKey", instanceapi.CredentialSecretAccessKey, s3.SecretAccessKey)
			add("s3Credentials.sessionToken", instanceapi.CredentialSessionToken, s3.SessionToken)
		}

		if s3 := store.S3Credentials; s3 != nil {
			add("s3Credentials.region", instanceapi.CredentialRegion, s3.Region)
		}

		if google := store.GoogleCredentials; google != nil && !google.GKEEnvironment {
			add("googleCredentials.applicationCredentials", instanceapi.CredentialGoogle, google.ApplicationCredentials)
		}

		if azure := store.AzureCredentials; azure != nil {
			add("azureCredentials.connectionString", instanceapi.CredentialAzureConnection, azure.ConnectionString)
			add("azureCredentials.storageAccount", instanceapi.CredentialAzureAccount, azure.StorageAccount)
			add("azureCredentials.storageKey", instanceapi.CredentialAzureKey, azure.StorageKey)
			add("azureCredentials.storageSasToken", instanceapi.CredentialAzureSASToken, azure.StorageSasToken)
		}
	}

	if p.Encryption != nil {
		add(encryptionField+".identity", instanceapi.CredentialIdentity, &p.Encryption.Identity)
	}

	return secrets
}

// FieldOf is the whole name of the field that names one of the Secrets: encryption is set beside the store, not in it.
func (p Place) FieldOf(secret ExternalSecret) string {
	of := p.Field

	if strings.HasPrefix(secret.Field, encryptionField) {
		for _, store := range []string{".objectStore", ".barmanObjectStore", ".volume"} {
			of = strings.TrimSuffix(of, store)
		}
	}

	return of + "." + secret.Field
}

// Archive is a place as an instance reads it, with its credentials in dir and its volume, if it is one, in volumeDir.
func (p Place) Archive(dir, volumeDir string) instanceapi.Archive {
	archive := instanceapi.Archive{Server: p.Server(), Dir: dir}

	for _, secret := range p.Secrets() {
		archive.Credentials = append(archive.Credentials, secret.File)
	}

	var wal, data *v1.ObjectStoreTransfer

	if store := p.Store; store != nil {
		archive.URL, archive.Endpoint = store.DestinationPath, store.EndpointURL
		archive.ServerSideEncryption = store.Encryption
		archive.InheritIdentity = inheritsIdentity(store)
		wal, data = store.Wal, store.Data
	} else {
		archive.URL = "file://" + volumeDir
		wal, data = p.Volume.Wal, p.Volume.Data
	}

	if wal != nil {
		archive.WALCompression, archive.WALParallel = compression(wal.Compression), int(wal.MaxParallel)
		archive.ServerSideEncryption = or(archive.ServerSideEncryption, wal.Encryption)
	}

	if data != nil {
		archive.DataCompression, archive.DataParallel = compression(data.Compression), int(max(data.Jobs, data.MaxParallel))
		archive.ServerSideEncryption = or(archive.ServerSideEncryption, data.Encryption)
	}

	if p.Encryption != nil {
		archive.Recipients = p.Encryption.Recipients
	}

	return archive
}

func inheritsIdentity(store *v1.ObjectStore) bool {
	switch {
	case store.S3Credentials != nil:
		return store.S3Credentials.InheritFromIAMRole
	case store.GoogleCredentials != nil:
		return store.GoogleCredentials.GKEEnvironment
	case store.AzureCredentials != nil:
		return store.AzureCredentials.InheritFromAzureAD
	default:
		return false
	}
}

// compression: what other tools call by other names is done with the one that is better at the same.
func compression(name string) string {
	switch name {
	case "bzip2", "snappy", "lz4", "xz":
		return "zstd"
	default:
		return name
	}
}

func archive(cluster *v1.Cluster) *instanceapi.Archive {
	place, ok := OwnPlace(cluster)
	if !ok {
		return nil
	}

	config := place.Archive(instanceapi.ArchiveDir, instanceapi.ArchiveVolumeDir)
	config.Retention = cluster.Spec.Backup.RetentionPolicy

	return &config
}

// Recovery is how the first instance recovers a backup; nil if it does not.
func Recovery(cluster *v1.Cluster, backup *v1.Backup) *instanceapi.Recovery {
	place, ok := RecoveryPlace(cluster, backup)
	if !ok {
		return nil
	}

	given := cluster.Spec.Bootstrap.Recovery
	recovery := &instanceapi.Recovery{
		Archive: place.Archive(instanceapi.RecoveryArchiveDir, instanceapi.RecoveryVolumeDir),
		Target:  RecoveryTarget(given.RecoveryTarget),
	}

	owner := RecoveryOwner(*given)
	recovery.Database, recovery.Owner = owner.Database, owner.User

	if backup != nil {
		recovery.BackupID = backup.Status.BackupID
		recovery.Snapshot = RecoverySnapshot(cluster, backup) != nil
	}

	if target := given.RecoveryTarget; target != nil && target.BackupID != "" {
		recovery.BackupID = target.BackupID
	}

	return recovery
}

// RecoveryOwner is whose password is managed: by default that of the user, and for the database, that initdb makes by default.
func RecoveryOwner(given v1.BootstrapRecovery) Credentials {
	database := or(given.Database, or(given.Owner, defaultDatabase))

	return Credentials{User: or(given.Owner, database), Database: database}
}

// RecoveryTarget is the target as an instance reads it: a time has its zone.
func RecoveryTarget(given *v1.RecoveryTarget) instanceapi.RecoveryTarget {
	if given == nil {
		return instanceapi.RecoveryTarget{}
	}

	target := instanceapi.RecoveryTarget{
		Time: given.TargetTime, LSN: given.TargetLSN, XID: given.TargetXID, Name: given.TargetName, Timeline: given.TargetTLI,
		Immediate: given.TargetImmediate != nil && *given.TargetImmediate,
		Exclusive: given.Exclusive != nil && *given.Exclusive,
	}

	if at, err := postgres.ParseTargetTime(given.TargetTime); err == nil {
		target.Time = postgres.FormatTargetTime(at)
	}

	return target
}

// archiveVolumes are the credentials, and the volumes, of the archives that a pod works with. Only the first instance has the one to recover
// from: the others may run where its volume cannot be attached. The credentials are optional:
// a missing Secret is reported, and does not keep PostgreSQL from starting.
func archiveVolumes(in Input, instance string) ([]corev1.Volume, []corev1.VolumeMount) {
	var (
		volumes []corev1.Volume
		mounts  []corev1.VolumeMount
	)

	add := func(more []corev1.Volume, at []corev1.VolumeMount) {
		mounts = append(mounts, at...)

		for _, volume := range more {
			if !slices.ContainsFunc(volumes, func(v corev1.Volume) bool { return v.Name == volume.Name }) {
				volumes = append(volumes, volume)
			}
		}
	}

	own, archives := OwnPlace(in.Cluster)
	if archives {
		add(placeVolumes(own, volumeArchive, volumeArchiveStore, instanceapi.ArchiveDir, instanceapi.ArchiveVolumeDir))
	}

	if place, ok := RecoveryPlace(in.Cluster, in.RecoveryBackup); ok && in.Recovering && instance == in.First {
		storage := volumeRecoveryStorage
		if archives && own.isOnVolume(place) {
			storage = volumeArchiveStore
		}

		add(sourceVolumes(place, storage))
	}

	return volumes, mounts
}

// isOnVolume: both archives are on one claim. A pod that names a claim twice may never start: with volumes of CSI drivers the kubelet
// waits for the second without end (kubernetes/kubernetes#127004).
func (p Place) isOnVolume(other Place) bool {
	return p.Volume != nil && other.Volume != nil && p.Volume.PersistentVolumeClaim.ClaimName == other.Volume.PersistentVolumeClaim.ClaimName
}

// sourceVolumes are of an archive that is only read: whatever goes wrong with the reader, it cannot harm what is there. It is the mount
// that is read-only. Whether the volume is, too, is the claim's own word: some drivers cannot attach one in both ways at a time.
func sourceVolumes(place Place, storage string) ([]corev1.Volume, []corev1.VolumeMount) {
	volumes, mounts := placeVolumes(place, volumeRecovery, storage, instanceapi.RecoveryArchiveDir, instanceapi.RecoveryVolumeDir)
	for i := range mounts {
		mounts[i].ReadOnly = true
	}

	return volumes, mounts
}

func placeVolumes(place Place, credentials, storage, dir, storageDir string) (volumes []corev1.Volume, mounts []corev1.VolumeMount) {
	if secrets := place.Secrets(); len(secrets) > 0 {
		volumes = append(volumes, secretsVolume(credentials, secrets))
		mounts = append(mounts, corev1.VolumeMount{Name: credentials, MountPath: dir, ReadOnly: true})
	}

	if place.Volume != nil {
		claim := place.Volume.PersistentVolumeClaim
		volumes = append(volumes, corev1.Volume{Name: storage, VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &claim}})
		mounts = append(mounts, corev1.VolumeMount{Name: storage, MountPath: storageDir, ReadOnly: claim.ReadOnly})
	}

	return volumes, mounts
}
