package plugin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/yaml"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// archivedWithin is how much newer the archive can be than the Cluster's status says.
const archivedWithin = time.Minute

// RestoreAPI is what a restore needs of the Kubernetes API.
type RestoreAPI interface {
	ClusterReader

	// Backup reads a Backup.
	Backup(ctx context.Context, key types.NamespacedName) (*v1.Backup, error)
	// Retained are the volumes that a Cluster of that name would take up when it is made.
	Retained(ctx context.Context, key types.NamespacedName) ([]string, error)
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
	// Server is the folder that it archives to; the Cluster's name if empty.
	Server string
	// TargetTime to recover to, UTC where it names no zone; the end of the archive if empty.
	TargetTime string
	// Storage is the size of each volume, Instances their number, and Image that of PostgreSQL, where not as the origin had them.
	Storage   string
	Instances int32
	Image     string
	// DryRun prints the manifest and makes nothing.
	DryRun bool
}

// Run makes the Cluster: with the settings of the one that the Backup is of, or what the Backup knows of it, and an archive of its own.
func (r Restoration) Run(ctx context.Context) error {
	if r.Storage != "" {
		if _, err := resource.ParseQuantity(r.Storage); err != nil {
			return fmt.Errorf("--storage: %q is not a size such as 10Gi", r.Storage)
		}
	}

	from, err := r.source(ctx)
	if err != nil {
		return err
	}

	backup, target := from.backup, from.target
	cluster := r.cluster(backup, from.origin, target)

	place, _ := build.RecoveryPlace(cluster, backup)
	if own, archives := build.OwnPlace(cluster); archives && own.IsSame(place) {
		return fmt.Errorf("Cluster %s would archive into the folder that it is recovered from, %s; choose another name for --to-cluster, "+
			"or another folder with --server-name, such as %s-2", r.Cluster, own.Server(), own.Server())
	}

	if r.DryRun {
		return r.print(cluster)
	}

	if err := r.checkRetained(ctx, types.NamespacedName{Namespace: cluster.Namespace, Name: cluster.Name}); err != nil {
		return err
	}

	if err := r.API.CreateCluster(ctx, cluster); apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("namespace %s has a Cluster %s already; choose another name for --to-cluster", cluster.Namespace, cluster.Name)
	} else if err != nil {
		return fmt.Errorf("make Cluster %s: %w", cluster.Name, err)
	}

	if from.isGone {
		err := say(r.Out, "Cluster %s is gone. What the Backup does not know of it is not set in the new one, such as parameters, resources and retention.", from.origin.Name)
		if err != nil {
			return err
		}
	}

	return say(r.Out, "Cluster %s is made of Backup %s, recovered to %s. How far it is:\n  kubectl caretaker status %s -n %s",
		cluster.Name, backup.Name, orElse(target, "the end of the archive"), cluster.Name, cluster.Namespace)
}

// checkRetained: a Cluster that takes up volumes is not recovered, though it was asked for.
func (r Restoration) checkRetained(ctx context.Context, key types.NamespacedName) error {
	if _, err := r.API.Cluster(ctx, key); err == nil {
		return nil // they are of one that exists, which is what is told
	}

	volumes, err := r.API.Retained(ctx, key)

	switch {
	case apierrors.IsForbidden(err):
		return nil // whoever may not see volumes is told by the Cluster's status
	case err != nil:
		return fmt.Errorf("list the volumes of namespace %s: %w", key.Namespace, err)
	case len(volumes) == 0:
		return nil
	}

	return fmt.Errorf("namespace %s has the volumes of a Cluster %s, %s: a new one of that name goes on with them and recovers nothing. That may be what you want: "+
		"make it without bootstrap. Otherwise choose another name for --to-cluster, or delete them for good: kubectl -n %s delete pvc,clusterterm -l %s=%s",
		key.Namespace, key.Name, strings.Join(volumes, ", "), key.Namespace, naming.LabelCluster, key.Name)
}

// source is a Backup to restore from.
type source struct {
	backup *v1.Backup
	// origin is the Cluster that the Backup is of, or what the Backup knows of it if that is gone.
	origin *v1.Cluster
	isGone bool
	// target is the moment to recover to; the end of the archive if empty.
	target string
}

func (r Restoration) source(ctx context.Context) (from source, err error) {
	from.backup, err = r.API.Backup(ctx, r.Backup)
	if apierrors.IsNotFound(err) {
		return from, fmt.Errorf("namespace %s has no Backup %s; kubectl -n %s get backups lists them", r.Backup.Namespace, r.Backup.Name, r.Backup.Namespace)
	}

	if err != nil {
		return from, fmt.Errorf("read Backup %s: %w", r.Backup.Name, err)
	}

	if err := notRestorable(from.backup); err != nil {
		return from, err
	}

	if from.origin, from.isGone, err = r.origin(ctx, from.backup); err != nil {
		return from, err
	}

	from.target, err = r.target(from.backup, from.origin)

	return from, err
}

// origin is the Cluster that the Backup is of, or what the Backup knows of it.
func (r Restoration) origin(ctx context.Context, backup *v1.Backup) (origin *v1.Cluster, isGone bool, err error) {
	name := backup.Spec.Cluster.Name

	origin, err = r.API.Cluster(ctx, types.NamespacedName{Namespace: backup.Namespace, Name: name})
	if apierrors.IsNotFound(err) {
		origin, err = r.remembered(backup)

		return origin, true, err
	}

	if err != nil {
		return nil, false, fmt.Errorf("read Cluster %s, which Backup %s is of: %w", name, backup.Name, err)
	}

	return origin, false, nil
}

// remembered is a Cluster as the Backup knows it. Backups that were taken by an older release know the store and the version only.
func (r Restoration) remembered(backup *v1.Backup) (*v1.Cluster, error) {
	known := backup.Status.Origin
	if known == nil {
		known = &v1.BackupOrigin{}
	}

	var missing []string

	if known.Image == "" && r.Image == "" {
		image := "--image, an image of PostgreSQL"
		if backup.Status.Major != 0 {
			image += fmt.Sprintf(" %d", backup.Status.Major)
		}

		missing = append(missing, image)
	}

	if known.StorageSize == "" && r.Storage == "" {
		storage := "--storage, the size of its volumes, such as 10Gi"
		if backup.Status.DataBytes != nil {
			storage += fmt.Sprintf(" (the data had %s)", size(backup.Status.DataBytes.Value()))
		}

		missing = append(missing, storage)
	}

	if len(missing) > 0 {
		return nil, fmt.Errorf("Cluster %s, which Backup %s is of, is gone, and the Backup does not know all that is needed of it: give %s",
			backup.Spec.Cluster.Name, backup.Name, strings.Join(missing, ", and "))
	}

	spec := v1.ClusterSpec{
		Instances: max(known.Instances, 1), ImageName: known.Image,
		Storage: v1.StorageConfiguration{Size: known.StorageSize, StorageClass: known.StorageClass},
		Backup:  &v1.BackupConfiguration{ObjectStore: backup.Status.ObjectStore.DeepCopy(), Volume: backup.Status.Volume.DeepCopy(), ClientEncryption: backup.Status.ClientEncryption.DeepCopy()},
	}
	if known.Database != "" || known.Owner != "" {
		spec.Bootstrap = &v1.BootstrapConfiguration{InitDB: &v1.BootstrapInitDB{Database: known.Database, Owner: known.Owner}}
	}

	return &v1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: backup.Namespace, Name: backup.Spec.Cluster.Name}, Spec: spec}, nil
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
	spec.Bootstrap = &v1.BootstrapConfiguration{Recovery: build.RecoveryLike(origin.Spec.Bootstrap)}
	spec.Bootstrap.Recovery.Backup = &v1.LocalObjectReference{Name: backup.Name}
	spec.ExternalClusters, spec.RecoverInPlace = nil, nil
	// The operator's default image may be of another major version by now.
	spec.ImageName = cmp.Or(r.Image, spec.ImageName, origin.Status.Image)
	// Certificates are for the origin's names, and Services beside the default ones have names of their own.
	spec.Certificates, spec.Managed = nil, nil
	spec.Instances = cmp.Or(r.Instances, spec.Instances)

	if target != "" {
		spec.Bootstrap.Recovery.RecoveryTarget = &v1.RecoveryTarget{TargetTime: target}
	}

	// What autoGrow has added is needed, too.
	spec.Storage.Size = cmp.Or(r.Storage, build.GrownSize(origin))

	// Its folder has its own name, as two Clusters must not archive into one.
	if spec.Backup != nil {
		if store := spec.Backup.Store(); store != nil {
			store.ServerName = r.Server
		}

		if spec.Backup.Volume != nil {
			spec.Backup.Volume.ServerName = r.Server
		}
	}

	return &v1.Cluster{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1.GroupVersion.String(), Kind: "Cluster"},
		ObjectMeta: metav1.ObjectMeta{Namespace: backup.Namespace, Name: r.Cluster},
		Spec:       spec,
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
