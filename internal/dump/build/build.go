package build

import (
	"encoding/json"
	"fmt"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/backup/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/podspec"
	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

const (
	// Container that takes a dump.
	Container = "dump"
	// ScratchContainer beside it runs the throw-away server of a test restore.
	ScratchContainer = "scratch"
)

// program is where the init container puts it.
const program = instanceapi.BinDir + "/caretaker-archive"

const (
	// deadline of a Job, in seconds: a day.
	deadline = 24 * 60 * 60
	// attempts after the first.
	attempts = 2
	// history of Jobs that is kept, with their pods' last words.
	history = 3
	// userID is that of the official images.
	userID = 999
)

// Input is what the objects are made from.
type Input struct {
	Backup *v1.Backup
	// Image with the dump program.
	Image string
	// OperatorImage holds our program; PullPolicy of it.
	OperatorImage, PullPolicy string
}

// Owner of the objects.
func Owner(backup *v1.Backup) owned.Owner {
	return owned.Owner{Object: backup, GVK: v1.GroupVersion.WithKind("Backup"), Label: naming.LabelDump, Application: "dump"}
}

// SourceSecret is the name of the Secret that the source is logged in to with.
func SourceSecret(backup *v1.Backup) string {
	given := backup.Spec.Source.Connection
	if given.SecretName == "" && given.ClusterRef != nil {
		return naming.SecretApp(given.ClusterRef.Name)
	}

	return given.SecretName
}

// Config is what the pods are told.
func Config(backup *v1.Backup) archiveapi.Dump {
	from, to := backup.Spec.Source, backup.Spec.Destination

	config := archiveapi.Dump{
		Name: backup.Namespace + "/" + backup.Name,
		Source: archiveapi.DumpServer{
			Engine: string(from.Type), Host: from.Connection.Host, Port: from.Connection.Port, Database: from.Connection.Database,
			SSLMode: string(from.Connection.SSLMode), SecretDir: archiveapi.DumpSourceDir,
		},
		Store: storeconfig.Config{
			Type: storeconfig.Type(to.Type), Bucket: to.Bucket, Prefix: to.Prefix, Region: to.Region, Endpoint: to.Endpoint,
		},
		Retention: backup.Spec.Retention,
	}

	if config.Source.SSLMode == "" {
		config.Source.SSLMode = "prefer"
		if from.Connection.ClusterRef != nil {
			config.Source.SSLMode = "require"
		}
	}

	if config.Store.Prefix == "" {
		config.Store.Prefix = config.Name
	}

	switch {
	case to.Type == v1.DestinationVolume:
		config.Store.Type, config.Store.Bucket = storeconfig.TypeDir, archiveapi.DumpVolumeDir
	case to.SecretName != "":
		config.StoreDir = archiveapi.DumpStoreDir
	default:
		config.Store.Credentials.InheritIdentity = true
	}

	if backup.Spec.ClientEncryption != nil {
		config.Recipients = backup.Spec.ClientEncryption.Recipients
	}

	if given := backup.Spec.Verification; given != nil && given.TestRestore {
		config.Verification = &archiveapi.DumpVerification{}
		for _, check := range given.Checks {
			config.Verification.Checks = append(config.Verification.Checks, archiveapi.DumpCheck(check))
		}
	}

	return config
}

// DestinationPath is where the dumps are, for people.
func DestinationPath(backup *v1.Backup) string {
	if to := backup.Spec.Destination; to.PersistentVolumeClaim != nil {
		return "volume://" + to.PersistentVolumeClaim.ClaimName + "/" + strings.Trim(Config(backup).Store.Prefix, "/")
	}

	return Config(backup).Store.String()
}

// CronJob takes the dumps of the schedule.
func CronJob(in Input) *batchv1.CronJob {
	spec, owner := in.Backup.Spec, Owner(in.Backup)

	job := &batchv1.CronJob{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "CronJob"},
		ObjectMeta: owner.Meta(naming.DumpCronJob(in.Backup.Name)),
		Spec: batchv1.CronJobSpec{
			Schedule: spec.Schedule, TimeZone: new("Etc/UTC"), Suspend: &spec.Suspend,
			// A dump that takes longer than its interval is not overtaken by the next.
			ConcurrencyPolicy:          batchv1.ForbidConcurrent,
			SuccessfulJobsHistoryLimit: new(int32(history)),
			FailedJobsHistoryLimit:     new(int32(history)),
			JobTemplate: batchv1.JobTemplateSpec{
				// `kubectl create job --from` takes these along: a Job made by hand is looked after, too.
				ObjectMeta: metav1.ObjectMeta{Labels: owner.CommonLabels()},
				Spec:       jobSpec(in),
			},
		},
	}

	if spec.TimeZone != "" {
		job.Spec.TimeZone = &spec.TimeZone
	}

	return job
}

// ImmediateJob takes the dump that does not wait for a schedule.
func ImmediateJob(in Input) *batchv1.Job {
	return &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: Owner(in.Backup).Meta(naming.DumpImmediateJob(in.Backup.Name)),
		Spec:       jobSpec(in),
	}
}

func jobSpec(in Input) batchv1.JobSpec {
	return batchv1.JobSpec{
		BackoffLimit: new(int32(attempts)), ActiveDeadlineSeconds: new(int64(deadline)),
		Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{
				Labels:      Owner(in.Backup).CommonLabels(),
				Annotations: map[string]string{"kubectl.kubernetes.io/default-container": Container},
			},
			Spec: podSpec(in),
		},
	}
}

// podSpec: a pod that fails stays, with its last words; the Job makes another.
func podSpec(in Input) corev1.PodSpec {
	spec := in.Backup.Spec
	volumes, mounts := volumes(in.Backup)

	pod := corev1.PodSpec{
		ServiceAccountName:           spec.ServiceAccountName,
		AutomountServiceAccountToken: new(spec.ServiceAccountName != ""),
		EnableServiceLinks:           new(false),
		RestartPolicy:                corev1.RestartPolicyNever,
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: new(true), RunAsUser: new(int64(userID)), RunAsGroup: new(int64(userID)), FSGroup: new(int64(userID)),
			FSGroupChangePolicy: new(corev1.FSGroupChangeOnRootMismatch),
			SeccompProfile:      &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		InitContainers: []corev1.Container{{
			Name: "install", Image: in.OperatorImage, ImagePullPolicy: corev1.PullPolicy(in.PullPolicy),
			Command:         []string{"/caretaker-instance", "install", "--to", instanceapi.BinDir},
			Resources:       spec.Resources,
			SecurityContext: podspec.ContainerSecurity(),
			VolumeMounts:    []corev1.VolumeMount{{Name: "bin", MountPath: instanceapi.BinDir}},
		}},
		Containers: []corev1.Container{{
			Name: Container, Image: in.Image,
			Command: []string{program, "dump", "--json", "--termination-log=" + corev1.TerminationMessagePathDefault},
			Env: []corev1.EnvVar{
				{Name: archiveapi.EnvDump, Value: encode(Config(in.Backup))},
				// The programs look for options of the user's there.
				{Name: "HOME", Value: instanceapi.TmpDir},
			},
			Resources:       spec.Resources,
			SecurityContext: podspec.ContainerSecurity(),
			VolumeMounts:    mounts,
		}},
		Volumes: volumes,
	}

	if spec.Verification != nil && spec.Verification.TestRestore {
		addScratch(&pod, in)
	}

	for _, secret := range spec.ImagePullSecrets {
		pod.ImagePullSecrets = append(pod.ImagePullSecrets, corev1.LocalObjectReference{Name: secret.Name})
	}

	return pod
}

// encode: strings and numbers always encode.
func encode(config archiveapi.Dump) string {
	encoded, err := json.Marshal(config)
	if err != nil {
		panic(fmt.Sprintf("encode a dump's configuration: %v", err))
	}

	return string(encoded)
}

func volumes(backup *v1.Backup) ([]corev1.Volume, []corev1.VolumeMount) {
	volumes := []corev1.Volume{
		{Name: "bin", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		// In memory: passwords that a program wants to read from a file are there.
		{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}},
		podspec.SecretVolume("source", SourceSecret(backup)),
	}
	mounts := []corev1.VolumeMount{
		{Name: "bin", MountPath: instanceapi.BinDir, ReadOnly: true},
		{Name: "tmp", MountPath: instanceapi.TmpDir},
		{Name: "source", MountPath: archiveapi.DumpSourceDir, ReadOnly: true},
	}

	if secret := backup.Spec.Destination.SecretName; secret != "" {
		volumes = append(volumes, podspec.SecretVolume("store", secret))
		mounts = append(mounts, corev1.VolumeMount{Name: "store", MountPath: archiveapi.DumpStoreDir, ReadOnly: true})
	}

	if claim := backup.Spec.Destination.PersistentVolumeClaim; claim != nil {
		volumes = append(volumes, corev1.Volume{Name: "dumps", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: claim.DeepCopy()}})
		mounts = append(mounts, corev1.VolumeMount{Name: "dumps", MountPath: archiveapi.DumpVolumeDir})
	}

	return volumes, mounts
}
