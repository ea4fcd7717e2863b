package plugin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/yaml"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// archivedWithin is how much newer the archive can be than the Cluster's status says.
const archivedWithin = time.Minute

// RestoreAPI is what a restore needs of the Kubernetes API.
type RestoreAPI interface {
	ClusterReader

	// Backup reads a Backup.
	Backup(ctx context.Context, key types.NamespacedName) (*v1.Backup, error)
	// CreateCluster makes a Cluster.
	CreateCluster(ctx context.Context, cluster *v1.Cluster) error
}

// Restoration is a wish for a new Cluster with the data of a Backup.
type Restoration struct {
	API    RestoreAPI
	Clock  clock.PassiveClock
	Out    io.Writer
	Backup types.NamespacedName
	// Cluster to make.
	Cluster string
	// TargetTime to recover to, UTC where it names no zone; the end of the archive if empty.
	TargetTime string
	// DryRun prints the manifest and makes nothing.
	DryRun bool
}

// Run makes the Cluster: with the settings of the one that the Backup is of, which must still exist, and an archive of its own.
func (r Restoration) Run(ctx context.Context) error {
	backup, origin, target, err := r.source(ctx)
	if err != nil {
		return err
	}

	cluster := r.cluster(backup, origin, target)

	from, _ := build.RecoveryPlace(cluster, backup)
	if own, archives := build.OwnPlace(cluster); archives && own.IsSame(from) {
		return fmt.Errorf("Cluster %s would archive into the folder that it is recovered from; choose another name for --to-cluster", r.Cluster)
	}

	if r.DryRun {
		return r.print(cluster)
	}

	if err := r.API.CreateCluster(ctx, cluster); apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("namespace %s has a Cluster %s already; choose another name for --to-cluster", cluster.Namespace, cluster.Name)
	} else if err != nil {
		return fmt.Errorf("make Cluster %s: %w", cluster.Name, err)
	}

	return say(r.Out, "Cluster %s is made of Backup %s, recovered to %s. How far it is:\n  kubectl caretaker status %s -n %s",
		cluster.Name, backup.Name, orElse(target, "the end of the archive"), cluster.Name, cluster.Namespace)
}

// source is the Backup, the Cluster that it is of, and the moment to recover to.
func (r Restoration) source(ctx context.Context) (backup *v1.Backup, origin *v1.Cluster, target string, err error) {
	backup, err = r.API.Backup(ctx, r.Backup)
	if apierrors.IsNotFound(err) {
		err = fmt.Errorf("namespace %s has no Backup %s; kubectl -n %s get backups lists them", r.Backup.Namespace, r.Backup.Name, r.Backup.Namespace)

		return nil, nil, "", err
	}

	if err != nil {
		return nil, nil, "", fmt.Errorf("read Backup %s: %w", r.Backup.Name, err)
	}

	if err := notRestorable(backup); err != nil {
		return nil, nil, "", err
	}

	if origin, err = r.origin(ctx, backup); err != nil {
		return nil, nil, "", err
	}

	target, err = r.target(backup, origin)

	return backup, origin, target, err
}

// origin is the Cluster that the Backup is of.
func (r Restoration) origin(ctx context.Context, backup *v1.Backup) (*v1.Cluster, error) {
	name := backup.Spec.Cluster.Name

	origin, err := r.API.Cluster(ctx, types.NamespacedName{Namespace: backup.Namespace, Name: name})
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("Cluster %s, which Backup %s is of, is gone, and its settings with it: write a manifest of the new Cluster, "+
			"with spec.bootstrap.recovery.backup.name: %s", name, backup.Name, backup.Name)
	}

	if err != nil {
		return nil, fmt.Errorf("read Cluster %s, which Backup %s is of: %w", name, backup.Name, err)
	}

	return origin, nil
}

// target is the moment as PostgreSQL reads it; empty for the end of the archive. What the archive cannot have is refused here; the
// restore itself refuses what it turns out not to have.
func (r Restoration) target(backup *v1.Backup, origin *v1.Cluster) (string, error) {
	if r.TargetTime == "" {
		return "", nil
	}

	at, err := postgres.ParseTargetTime(r.TargetTime)
	if err != nil {
		return "", fmt.Errorf("--target-time: %w", err)
	}

	refuse := func(format string, args ...any) (string, error) {
		return "", fmt.Errorf("--target-time: %s %s", moment(at), fmt.Sprintf(format, args...))
	}

	if stopped := backup.Status.StoppedAt; stopped != nil && at.Before(stopped.Time) {
		return refuse("is before the end of Backup %s, %s; choose an older Backup (kubectl -n %s get backups), or a later time",
			backup.Name, moment(stopped.Time), backup.Namespace)
	}

	if now := r.Clock.Now(); at.After(now) {
		return refuse("is in the future; it is %s now", moment(now))
	}

	seen := origin.Status.Archiving
	if seen != nil && seen.LastArchivedTime != nil && seen.ServerName == backup.Status.ServerName && at.After(seen.LastArchivedTime.Add(archivedWithin)) {
		return refuse("is later than what is archived, which ends at %s; wait until WAL of that time is archived, or choose an earlier time",
			moment(seen.LastArchivedTime.Time))
	}

	return postgres.FormatTargetTime(at), nil
}

func moment(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05 UTC") }

// cluster is the manifest: the settings of the origin without what can only be the origin's own.
func (r Restoration) cluster(backup *v1.Backup, origin *v1.Cluster, target string) *v1.Cluster {
	spec := *origin.Spec.DeepCopy()
	spec.Bootstrap = &v1.BootstrapConfiguration{Recovery: recoveryLike(origin.Spec.Bootstrap)}
	spec.Bootstrap.Recovery.Backup = &v1.LocalObjectReference{Name: backup.Name}
	spec.ExternalClusters, spec.RecoverInPlace = nil, nil
	// The operator's default image may be of another major version by now.
	spec.ImageName = cmp.Or(spec.ImageName, origin.Status.Image)
	// Certificates are for the origin's names, and Services beside the default ones have names of their own.
	spec.Certificates, spec.Managed = nil, nil

	if target != "" {
		spec.Bootstrap.Recovery.RecoveryTarget = &v1.RecoveryTarget{TargetTime: target}
	}

	// What autoGrow has added is needed, too.
	if grown, err := resource.ParseQuantity(origin.Status.StorageSize); err == nil {
		if size, err := resource.ParseQuantity(spec.Storage.Size); err == nil && grown.Cmp(size) > 0 {
			spec.Storage.Size = origin.Status.StorageSize
		}
	}

	// Its folder has its own name, as two Clusters must not archive into one.
	if spec.Backup != nil {
		if store := spec.Backup.Store(); store != nil {
			store.ServerName = ""
		}

		if spec.Backup.Volume != nil {
			spec.Backup.Volume.ServerName = ""
		}
	}

	return &v1.Cluster{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1.GroupVersion.String(), Kind: "Cluster"},
		ObjectMeta: metav1.ObjectMeta{Namespace: backup.Namespace, Name: r.Cluster},
		Spec:       spec,
	}
}

// recoveryLike has the database, the owner and its Secret as the origin was made with.
func recoveryLike(given *v1.BootstrapConfiguration) *v1.BootstrapRecovery {
	switch {
	case given == nil:
		return &v1.BootstrapRecovery{}
	case given.InitDB != nil:
		return &v1.BootstrapRecovery{Database: given.InitDB.Database, Owner: given.InitDB.Owner, Secret: given.InitDB.Secret}
	case given.PgBaseBackup != nil:
		return &v1.BootstrapRecovery{Database: given.PgBaseBackup.Database, Owner: given.PgBaseBackup.Owner, Secret: given.PgBaseBackup.Secret}
	case given.Recovery != nil:
		return &v1.BootstrapRecovery{Database: given.Recovery.Database, Owner: given.Recovery.Owner, Secret: given.Recovery.Secret}
	default:
		return &v1.BootstrapRecovery{}
	}
}

// print the manifest as kubectl apply takes it.
func (r Restoration) print(cluster *v1.Cluster) error {
	content, err := json.Marshal(map[string]any{
		"apiVersion": cluster.APIVersion, "kind": cluster.Kind,
		"metadata": map[string]string{"name": cluster.Name, "namespace": cluster.Namespace},
		"spec":     cluster.Spec,
	})
	if err == nil {
		content, err = yaml.JSONToYAML(content)
	}

	if err != nil {
		return fmt.Errorf("encode the manifest: %w", err)
	}

	_, err = r.Out.Write(content)

	return err //nolint:wrapcheck // standard output is closed; there is nothing to add
}
