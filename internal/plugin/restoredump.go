package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	backupv1 "github.com/caretaker-dev/caretaker/api/backup/v1"
	"github.com/caretaker-dev/caretaker/internal/dump/build"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// jobPoll is the time between two looks at a Job.
const jobPoll = time.Second

// DumpAPI is what a DumpRestoration needs of Kubernetes.
type DumpAPI interface {
	// Dumps is a Backup of backup.caretaker.dev.
	Dumps(ctx context.Context, key types.NamespacedName) (*backupv1.Backup, error)
	// DumpTemplate is the template of the pods that take a Backup's dumps.
	DumpTemplate(ctx context.Context, backup *backupv1.Backup) (corev1.PodTemplateSpec, error)
	// CreateJob gives it its name.
	CreateJob(ctx context.Context, job *batchv1.Job) (*batchv1.Job, error)
	// Job reads one.
	Job(ctx context.Context, key types.NamespacedName) (*batchv1.Job, error)
}

// DumpRestoration is a wish to load a dump into a database.
type DumpRestoration struct {
	API    DumpAPI
	Clock  clock.Clock
	Out    io.Writer
	Backup types.NamespacedName
	// Restore says which dump, and where to.
	Restore build.Restore
	// NoWait: ask, and do not follow.
	NoWait bool
	// Timeout of following.
	Timeout time.Duration
}

// Run makes a Job that restores, and follows it to its end.
func (r DumpRestoration) Run(ctx context.Context) error {
	backup, err := r.API.Dumps(ctx, r.Backup)
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("there is no Backup %q of backup.caretaker.dev in namespace %s; see kubectl get dumps", r.Backup.Name, r.Backup.Namespace)
	}

	if err != nil {
		return fmt.Errorf("read the Backup: %w", err)
	}

	template, err := r.API.DumpTemplate(ctx, backup)
	if err != nil {
		return err
	}

	job, err := r.API.CreateJob(ctx, build.RestoreJob(backup, template, r.Restore))
	if err != nil {
		return fmt.Errorf("make the Job: %w", err)
	}

	if err := say(r.Out, "Job %s restores dump %s of %s", job.Name, r.Restore.Dump, backup.Name); err != nil || r.NoWait {
		return err
	}

	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()

	return r.follow(ctx, job.Name)
}

func (r DumpRestoration) follow(ctx context.Context, name string) error {
	logs := fmt.Sprintf("kubectl -n %s logs job/%s", r.Backup.Namespace, name)

	for {
		job, err := r.API.Job(ctx, types.NamespacedName{Namespace: r.Backup.Namespace, Name: name})
		if err != nil {
			return fmt.Errorf("look at the Job %s: %w", name, err)
		}

		for _, condition := range job.Status.Conditions {
			switch {
			case condition.Status != corev1.ConditionTrue:
			case condition.Type == batchv1.JobComplete:
				return say(r.Out, "restored")
			case condition.Type == batchv1.JobFailed:
				return fmt.Errorf("the restore failed; what the program said: %s", logs)
			}
		}

		select {
		case <-ctx.Done():
			return fmt.Errorf("it goes on, and is not followed any longer (%w); see %s", context.Cause(ctx), logs)
		case <-r.Clock.After(jobPoll):
		}
	}
}

// Dumps is a Backup of backup.caretaker.dev.
func (k *Kube) Dumps(ctx context.Context, key types.NamespacedName) (*backupv1.Backup, error) {
	backup := &backupv1.Backup{}

	return backup, k.get(ctx, path(backupv1.GroupVersion, key.Namespace, "dumps")+"/"+key.Name, backup)
}

// DumpTemplate is that of the Backup's CronJob, or of the Job of one without a schedule.
func (k *Kube) DumpTemplate(ctx context.Context, backup *backupv1.Backup) (corev1.PodTemplateSpec, error) {
	cronJob := &batchv1.CronJob{}

	err := k.get(ctx, path(batchv1.SchemeGroupVersion, backup.Namespace, "cronjobs")+"/"+naming.DumpCronJob(backup.Name), cronJob)
	if err == nil || !apierrors.IsNotFound(err) {
		return cronJob.Spec.JobTemplate.Spec.Template, err
	}

	job, err := k.Job(ctx, types.NamespacedName{Namespace: backup.Namespace, Name: naming.DumpImmediateJob(backup.Name)})
	if apierrors.IsNotFound(err) {
		return corev1.PodTemplateSpec{}, errors.New("the Backup has no CronJob and no Job yet; see its status")
	}

	return job.Spec.Template, err
}

// Job reads one.
func (k *Kube) Job(ctx context.Context, key types.NamespacedName) (*batchv1.Job, error) {
	job := &batchv1.Job{}

	return job, k.get(ctx, path(batchv1.SchemeGroupVersion, key.Namespace, "jobs")+"/"+key.Name, job)
}

// CreateJob gives it its name.
func (k *Kube) CreateJob(ctx context.Context, job *batchv1.Job) (*batchv1.Job, error) {
	made := &batchv1.Job{}

	return made, k.create(ctx, path(batchv1.SchemeGroupVersion, job.Namespace, "jobs"), job, made)
}
