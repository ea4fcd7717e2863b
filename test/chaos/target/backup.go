package target

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

const (
	backupBegins = time.Minute
	backupPoll   = 50 * time.Millisecond
)

// backUp takes a backup that stays: the last one is never deleted.
func (c *Caretaker) backUp(ctx context.Context) error {
	backup := &postgresqlv1.Backup{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.Key.Namespace, Name: "first"},
		Spec:       postgresqlv1.BackupSpec{Cluster: postgresqlv1.LocalObjectReference{Name: c.Key.Name}},
	}
	if err := create(ctx, c.Kube, backup); err != nil {
		return err
	}

	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()

	return kube.Poll(ctx, backupPoll, func(ctx context.Context) error {
		return c.backup(ctx, backup, func(s postgresqlv1.BackupStatus) bool { return s.Phase == postgresqlv1.BackupCompleted })
	})
}

// Backup creates a Backup, which goes from the store with its object.
func (c *Caretaker) Backup(ctx context.Context, from Role) (func(context.Context) error, error) {
	backup := &postgresqlv1.Backup{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.Key.Namespace, Name: "chaos-" + strings.ToLower(nonce())},
		Spec: postgresqlv1.BackupSpec{
			Cluster: postgresqlv1.LocalObjectReference{Name: c.Key.Name}, Target: postgresqlv1.BackupTargetPreferStandby,
			ReclaimPolicy: postgresqlv1.BackupReclaimDelete,
		},
	}
	if from == Primary {
		backup.Spec.Target = postgresqlv1.BackupTargetPrimary
	}

	if err := c.Client.Create(ctx, backup); err != nil {
		return nil, fmt.Errorf("create Backup %s: %w", backup.Name, err)
	}

	beginning, cancel := context.WithTimeout(ctx, backupBegins)
	defer cancel()

	err := kube.Poll(beginning, backupPoll, func(ctx context.Context) error {
		return c.backup(ctx, backup, func(s postgresqlv1.BackupStatus) bool {
			return s.Phase == postgresqlv1.BackupRunning || s.StoppedAt != nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("Backup %s does not begin: %w", backup.Name, err)
	}

	if backup.Status.StoppedAt != nil {
		return nil, fmt.Errorf("Backup %s had ended before anything could be done meanwhile", backup.Name)
	}

	return func(ctx context.Context) error { return c.backupEnded(ctx, backup) }, nil
}

// backupEnded: it is complete and restorable, the archive has no gap, and goes when its object does.
func (c *Caretaker) backupEnded(ctx context.Context, backup *postgresqlv1.Backup) error {
	err := kube.Poll(ctx, backupPoll, func(ctx context.Context) error {
		return c.backup(ctx, backup, func(s postgresqlv1.BackupStatus) bool { return s.StoppedAt != nil })
	})
	if err != nil {
		return fmt.Errorf("Backup %s does not end: %w", backup.Name, err)
	}

	for _, condition := range []string{postgresqlv1.ConditionReady, postgresqlv1.ConditionRestorable} {
		if found := meta.FindStatusCondition(backup.Status.Conditions, condition); found == nil || found.Status != metav1.ConditionTrue {
			return fmt.Errorf("Backup %s has ended, and its condition %s is %+v", backup.Name, condition, found)
		}
	}

	err = kube.Poll(ctx, backupPoll, func(ctx context.Context) error {
		cluster, err := c.Get(ctx)
		if err != nil {
			return err
		}

		if found := meta.FindStatusCondition(cluster.Status.Conditions, postgresqlv1.ConditionContinuousArchiving); found == nil || found.Status != metav1.ConditionTrue {
			return fmt.Errorf("condition %s is %+v", postgresqlv1.ConditionContinuousArchiving, found)
		}

		return nil
	})
	if err != nil {
		return fmt.Errorf("after Backup %s: %w", backup.Name, err)
	}

	if err := c.Client.Delete(ctx, backup); err != nil {
		return fmt.Errorf("delete Backup %s: %w", backup.Name, err)
	}

	err = kube.Poll(ctx, backupPoll, func(ctx context.Context) error {
		err := c.Client.Get(ctx, client.ObjectKeyFromObject(backup), backup)
		if err == nil {
			return fmt.Errorf("it is still there: %+v", backup.Status.Conditions)
		}

		return client.IgnoreNotFound(err)
	})
	if err != nil {
		return fmt.Errorf("delete Backup %s: %w", backup.Name, err)
	}

	return nil
}

func (c *Caretaker) backup(ctx context.Context, backup *postgresqlv1.Backup, is func(postgresqlv1.BackupStatus) bool) error {
	if err := c.Client.Get(ctx, client.ObjectKeyFromObject(backup), backup); err != nil {
		return fmt.Errorf("get Backup %s: %w", backup.Name, err)
	}

	if !is(backup.Status) {
		return fmt.Errorf("phase %s, attempt %d, %+v", backup.Status.Phase, backup.Status.Attempts, meta.FindStatusCondition(backup.Status.Conditions, postgresqlv1.ConditionReady))
	}

	return nil
}
