package build

import (
	"maps"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/backup/v1"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/podspec"
)

const (
	identityDir = "/opt/caretaker/identity"
	identityKey = "identity"
)

// Restore is a dump to load into a database.
type Restore struct {
	// Dump is its ID, or latest.
	Dump string
	// Secret that the target is logged in to with: username, password, host, and optionally port, dbname and ca.crt. Empty: the
	// target is the source's server.
	Secret string
	// Database of the target; empty for the one of the Secret, or of the source.
	Database string
	// IdentitySecret has an age secret key under the key identity, for a dump that is encrypted.
	IdentitySecret string
	// Arguments for pg_restore, mysql or mongorestore.
	Arguments []string
}

// RestoreJob loads a dump. Template is that of a Job which takes the Backup's dumps. The API server completes the name. It is tried once: not
// every database can undo half a restore, and a second attempt would find tables that are there already.
func RestoreJob(backup *v1.Backup, template corev1.PodTemplateSpec, restore Restore) *batchv1.Job {
	labels := maps.Clone(Owner(backup).CommonLabels())
	// It is no dump, and not to be taken for one.
	delete(labels, naming.LabelDump)

	spec := template.Spec.DeepCopy()
	withoutScratch(spec)

	container := &spec.Containers[0]
	container.Command = []string{program, "dump-restore", restore.Dump}
	container.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError

	mount := func(name, secret, dir string) {
		spec.Volumes = append(spec.Volumes, podspec.SecretVolume(name, secret))
		container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: dir, ReadOnly: true})
	}

	config := Config(backup)
	config.Verification = nil
	target := config.Source

	if restore.Secret != "" {
		target = archiveapi.DumpServer{Engine: config.Source.Engine, SSLMode: config.Source.SSLMode, SecretDir: archiveapi.DumpTargetDir}

		mount("target", restore.Secret, archiveapi.DumpTargetDir)
	}

	if restore.Database != "" {
		target.Database = restore.Database
	}

	config.Target = &target
	container.Env[0].Value = encode(config)

	if restore.IdentitySecret != "" {
		container.Command = append(container.Command, "--identities="+identityDir+"/"+identityKey)

		mount("identity", restore.IdentitySecret, identityDir)
	}

	if len(restore.Arguments) > 0 {
		container.Command = append(append(container.Command, "--"), restore.Arguments...)
	}

	return &batchv1.Job{
		TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: backup.Name + "-restore-", Namespace: backup.Namespace, Labels: labels,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: v1.GroupVersion.String(), Kind: "Backup", Name: backup.Name, UID: backup.UID}},
		},
		Spec: batchv1.JobSpec{
			BackoffLimit: new(int32(0)),
			Template:     corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: *spec},
		},
	}
}
