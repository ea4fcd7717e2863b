package build

import (
	"cmp"

	"k8s.io/apimachinery/pkg/api/resource"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
)

// Origin is what a Backup keeps of its Cluster: what another cannot be made without, in the image that runs and with what autoGrow has added.
func Origin(cluster *v1.Cluster) *v1.BackupOrigin {
	spec := cluster.Spec
	like := RecoveryLike(spec.Bootstrap)

	return &v1.BackupOrigin{
		Image: cmp.Or(spec.ImageName, cluster.Status.Image), Instances: spec.Instances,
		StorageSize: GrownSize(cluster), StorageClass: spec.Storage.StorageClass, Database: like.Database, Owner: like.Owner,
	}
}

// GrownSize is the size of the volumes, with what autoGrow has added.
func GrownSize(cluster *v1.Cluster) string {
	grown, err := resource.ParseQuantity(cluster.Status.StorageSize)
	if err != nil {
		return cluster.Spec.Storage.Size
	}

	if size, err := resource.ParseQuantity(cluster.Spec.Storage.Size); err == nil && grown.Cmp(size) > 0 {
		return cluster.Status.StorageSize
	}

	return cluster.Spec.Storage.Size
}

// RecoveryLike has the database, the owner and its Secret as a Cluster was made with.
func RecoveryLike(given *v1.BootstrapConfiguration) *v1.BootstrapRecovery {
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
