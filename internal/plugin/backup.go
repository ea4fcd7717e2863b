package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
)

// backupPollInterval between two looks at a Backup, which takes seconds to hours.
const backupPollInterval = time.Second

// BackupAPI is what taking a backup needs of the Kubernetes API.
type BackupAPI interface {
	ClusterReader

	// Backup reads a Backup.
	Backup(ctx context.Context, key types.NamespacedName) (*v1.Backup, error)
	// CreateBackup makes a Backup.
	CreateBackup(ctx context.Context, backup *v1.Backup) error
}

// Taking is a wish for a backup.
type Taking struct {
	API     BackupAPI
	Clock   clock.Clock
	Out     io.Writer
	Cluster types.NamespacedName
	// Name of the Backup; of the Cluster and the moment if empty.
	Name string
	// Spec of it, but for its Cluster.
	Spec v1.BackupSpec
	// Wait until it has ended, and tell how it goes.
	Wait bool
	// Timeout of waiting; 0 for as long as it takes.
	Timeout time.Duration
}

// Run makes the Backup and follows it to its end; an error if there is no backup then that can be restored.
func (t Taking) Run(ctx context.Context) error {
	cluster, err := find(ctx, t.API, t.Cluster)
	if err != nil {
		return err
	}

	if err := refusalOfBackup(cluster); err != nil {
		return err
	}

	backup := t.backup()
	if err := t.API.CreateBackup(ctx, backup); apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("namespace %s has a Backup %s already; choose another --name", backup.Namespace, backup.Name)
	} else if err != nil {
		return fmt.Errorf("make Backup %s: %w", backup.Name, err)
	}

	if !t.Wait {
		return say(t.Out, "Asked for Backup %s. What becomes of it:\n  kubectl -n %s get backup %s", backup.Name, backup.Namespace, backup.Name)
	}

	f := &followingBackup{Taking: t, steps: newSteps(t.Out, t.Clock), key: types.NamespacedName{Namespace: backup.Namespace, Name: backup.Name}}
	f.step("asked for Backup %s of Cluster %s", backup.Name, cluster.Name)

	if t.Timeout > 0 {
		var cancel context.CancelFunc

		ctx, cancel = context.WithTimeout(ctx, t.Timeout)
		defer cancel()
	}

	return f.run(ctx)
}

func (t Taking) backup() *v1.Backup {
	name := t.Name
	if name == "" {
		name = t.Cluster.Name + "-" + t.Clock.Now().UTC().Format("20060102150405")
	}

	backup := &v1.Backup{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1.GroupVersion.String(), Kind: "Backup"},
		ObjectMeta: metav1.ObjectMeta{Namespace: t.Cluster.Namespace, Name: name},
		Spec:       t.Spec,
	}
	backup.Spec.Cluster.Name = t.Cluster.Name

	return backup
}

// refusalOfBackup says why a backup would wait for ever; nil if it would not.
func refusalOfBackup(cluster *v1.Cluster) error {
	if cluster.DeletionTimestamp != nil {
		return fmt.Errorf("Cluster %s is being deleted", cluster.Name)
	}

	if hibernated(cluster) {
		return fmt.Errorf("Cluster %s is hibernated, no instance runs that could be backed up", cluster.Name)
	}

	if _, archives := build.OwnPlace(cluster); !archives {
		return fmt.Errorf("Cluster %s has no archive to back up to; set its spec.backup.objectStore", cluster.Name)
	}

	return nil
}

// followingBackup is a backup that was asked for.
type followingBackup struct {
	Taking
	*steps

	key types.NamespacedName
}

func (f *followingBackup) run(ctx context.Context) error {
	for {
		backup, err := f.API.Backup(ctx, f.key)

		switch {
		case err == nil:
			done, err := f.look(backup)
			if done || err != nil {
				return err
			}
		case apierrors.IsNotFound(err):
			return fmt.Errorf("Backup %s was deleted meanwhile", f.key.Name)
		case ctx.Err() == nil:
			// The API server may be away for a moment: the backup goes on without it.
			f.step("the Backup cannot be read: %v", err)
		}

		select {
		case <-f.Clock.After(backupPollInterval):
		case <-ctx.Done():
			return f.gaveUp(ctx)
		}
	}
}

func (f *followingBackup) gaveUp(ctx context.Context) error {
	what := "stopped waiting"
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		what = "gave up waiting after " + f.Timeout.String()
	}

	return fmt.Errorf("%s; the backup goes on: kubectl -n %s get backup %s shows what becomes of it", what, f.key.Namespace, f.key.Name)
}

// look tells what has changed; done when there is a backup.
func (f *followingBackup) look(backup *v1.Backup) (done bool, err error) {
	status := backup.Status

	switch stalled := meta.FindStatusCondition(status.Conditions, v1.ConditionStalled); {
	case status.StoppedAt != nil && status.Error != "":
		return false, fmt.Errorf("Backup %s failed: %s", backup.Name, status.Error)
	case status.StoppedAt != nil:
		return f.ended(backup)
	case stalled != nil:
		return false, fmt.Errorf("Backup %s cannot be taken: %s", backup.Name, stalled.Message)
	case status.Phase == "":
		f.doubt()

		return false, nil
	}

	if ready := meta.FindStatusCondition(status.Conditions, v1.ConditionReady); ready != nil {
		f.step("%s", ready.Message)
	}

	if p := status.Progress; p != nil {
		f.step("%s", progressWords(*p))
	}

	return false, nil
}

func progressWords(p v1.BackupProgress) string {
	if p.BytesTotal == 0 {
		return p.Step
	}

	words := fmt.Sprintf("%-13s %3d %%  %s of %s", p.Step, p.Percent, size(p.BytesDone), size(p.BytesTotal))
	if p.EstimatedCompletion != nil {
		words += ", done at about " + p.EstimatedCompletion.UTC().Format("15:04 UTC")
	}

	return words
}

func (f *followingBackup) ended(backup *v1.Backup) (done bool, err error) {
	status := backup.Status

	// It is written together with the end.
	restorable := meta.FindStatusCondition(status.Conditions, v1.ConditionRestorable)
	if restorable == nil || restorable.Status != metav1.ConditionTrue {
		return false, notRestorable(backup)
	}

	instance := "an instance"
	if status.InstanceID != nil {
		instance = status.InstanceID.PodName
	}

	f.step("%s was taken from %s in %s: %s in the store", status.BackupID, instance, status.Duration, status.Size)
	f.step("it can be restored: %s", restorable.Message)

	if told := status.Retention; told != nil && told.Error != "" {
		f.step("retentionPolicy %s could not be followed: %s", told.Policy, told.Error)
	}

	return true, nil
}

// notRestorable says why a Backup cannot be restored; nil if it can.
func notRestorable(backup *v1.Backup) error {
	restorable := meta.FindStatusCondition(backup.Status.Conditions, v1.ConditionRestorable)

	switch {
	case restorable == nil:
		return fmt.Errorf("Backup %s is not complete (%s); kubectl -n %s get backup %s --watch shows how far it is",
			backup.Name, orElse(string(backup.Status.Phase), "nobody has begun"), backup.Namespace, backup.Name)
	case restorable.Status != metav1.ConditionTrue:
		return fmt.Errorf("Backup %s cannot be restored (%s): %s", backup.Name, restorable.Reason, restorable.Message)
	default:
		return nil
	}
}
