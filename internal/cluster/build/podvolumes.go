package build

import (
	"path"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/podspec"
)

// Names of a pod's volumes.
const (
	volumeData        = "data"
	volumeBin         = "bin"
	volumeRun         = "run"
	volumeSocket      = "socket"
	volumeShm         = "shm"
	volumeTmp         = "tmp"
	volumeConfig      = "config"
	volumeServer      = "server-certificate"
	volumeReplication = "replication-certificate"
	volumeApp         = "app-credentials"
	volumeSuperuser   = "superuser-credentials"
	volumeCopies      = "copies-credentials"
	volumeExternal    = "external"
	volumeProjected   = "projected"
)

func volumes(in Input, instance string) []corev1.Volume {
	name := in.Cluster.Name
	list := []corev1.Volume{
		{Name: volumeData, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: instance},
		}},
		emptyDir(volumeBin, corev1.StorageMediumDefault),
		emptyDir(volumeRun, corev1.StorageMediumMemory),
		emptyDir(volumeSocket, corev1.StorageMediumMemory),
		emptyDir(volumeShm, corev1.StorageMediumMemory),
		emptyDir(volumeTmp, corev1.StorageMediumDefault),
		{Name: volumeConfig, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: naming.ConfigMap(name)},
		}}},
		podspec.SecretVolume(volumeServer, naming.SecretServer(name), corev1.TLSCertKey, corev1.TLSPrivateKeyKey),
		podspec.SecretVolume(volumeReplication, naming.SecretReplication(name), corev1.TLSCertKey, corev1.TLSPrivateKeyKey),
		// Only what PID 1 needs: the connection strings are for applications. All are optional, since they come and go
		// with the spec while pods stay.
		optional(podspec.SecretVolume(volumeApp, naming.SecretApp(name), "username", "password")),
		optional(podspec.SecretVolume(volumeSuperuser, naming.SecretSuperuser(name), "username", "password")),
		optional(podspec.SecretVolume(volumeCopies, naming.SecretCopies(name))),
	}

	if source := baseBackupSource(in.Cluster); source != nil {
		list = append(list, externalVolume(source))
	}

	archives, _ := archiveVolumes(in, instance)
	list = append(list, archives...)

	if template := in.Cluster.Spec.ProjectedVolumeTemplate; template != nil {
		list = append(list, corev1.Volume{Name: volumeProjected, VolumeSource: corev1.VolumeSource{Projected: template}})
	}

	return list
}

func mounts(in Input, instance string) []corev1.VolumeMount {
	readOnly := func(volume, at string) corev1.VolumeMount {
		return corev1.VolumeMount{Name: volume, MountPath: at, ReadOnly: true}
	}

	list := []corev1.VolumeMount{
		{Name: volumeData, MountPath: instanceapi.VolumeDir},
		// Not read-only: PID 1 replaces its own binary there when the operator is newer.
		{Name: volumeBin, MountPath: instanceapi.BinDir},
		{Name: volumeBin, MountPath: "/etc/passwd", SubPath: path.Base(instanceapi.PasswdFile), ReadOnly: true},
		{Name: volumeBin, MountPath: "/etc/group", SubPath: path.Base(instanceapi.GroupFile), ReadOnly: true},
		{Name: volumeRun, MountPath: instanceapi.RunDir},
		{Name: volumeSocket, MountPath: instanceapi.SocketDir},
		{Name: volumeShm, MountPath: instanceapi.ShmDir},
		{Name: volumeTmp, MountPath: instanceapi.TmpDir},
		readOnly(volumeConfig, instanceapi.ConfigDir),
		readOnly(volumeServer, instanceapi.CertificatesDir+"/server"),
		readOnly(volumeReplication, instanceapi.CertificatesDir+"/replication"),
		readOnly(volumeApp, instanceapi.CredentialsDir+"/app"),
		readOnly(volumeSuperuser, instanceapi.CredentialsDir+"/superuser"),
		readOnly(volumeCopies, instanceapi.CopiesDir),
	}

	if source := baseBackupSource(in.Cluster); source != nil {
		list = append(list, readOnly(volumeExternal, instanceapi.ExternalDir+"/"+source.Name))
	}

	_, archives := archiveVolumes(in, instance)
	list = append(list, archives...)

	if in.Cluster.Spec.ProjectedVolumeTemplate != nil {
		list = append(list, readOnly(volumeProjected, instanceapi.ProjectedDir))
	}

	return list
}

func emptyDir(name string, medium corev1.StorageMedium) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: medium}}}
}

func optional(volume corev1.Volume) corev1.Volume {
	yes := true
	volume.Secret.Optional = &yes

	return volume
}

func baseBackupSource(cluster *v1.Cluster) *v1.ExternalCluster {
	if cluster.Spec.Bootstrap == nil || cluster.Spec.Bootstrap.PgBaseBackup == nil {
		return nil
	}

	return ExternalCluster(cluster.Spec, cluster.Spec.Bootstrap.PgBaseBackup.Source)
}

// externalVolume holds what is needed to copy from a server outside. It is optional, since the secrets are only needed
// once and may be gone when a pod is made again years later.
func externalVolume(source *v1.ExternalCluster) corev1.Volume {
	return secretsVolume(volumeExternal, ExternalSecrets(source))
}

func secretsVolume(name string, secrets []ExternalSecret) corev1.Volume {
	yes := true
	projected := &corev1.ProjectedVolumeSource{DefaultMode: new(podspec.SecretMode)}

	for _, secret := range secrets {
		projected.Sources = append(projected.Sources, corev1.VolumeProjection{Secret: &corev1.SecretProjection{
			LocalObjectReference: secret.Selector.LocalObjectReference,
			Items:                []corev1.KeyToPath{{Key: secret.Selector.Key, Path: secret.File}},
			Optional:             &yes,
		}})
	}

	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Projected: projected}}
}

// ExternalSecret is a secret that a server or a store outside is reached with.
type ExternalSecret struct {
	// Field that names it.
	Field string
	// File that PID 1 finds it in.
	File     string
	Selector corev1.SecretKeySelector
}

// ExternalSecrets are those that an external cluster names.
func ExternalSecrets(source *v1.ExternalCluster) []ExternalSecret {
	var secrets []ExternalSecret

	add := func(field, file string, selector *corev1.SecretKeySelector) {
		if selector != nil {
			secrets = append(secrets, ExternalSecret{field, file, *selector})
		}
	}

	add("password", "password", source.Password)
	add("sslCert", "tls.crt", source.SSLCert)
	add("sslKey", "tls.key", source.SSLKey)
	add("sslRootCert", "ca.crt", source.SSLRootCert)

	return secrets
}

func intstrPort(name string) intstr.IntOrString { return intstr.FromString(name) }
