package postgresql

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/postgresql/shortform"
)

// Defaults are the operator's configuration.
type Defaults struct {
	shortform.Defaults

	// Destination of the backups of those that name none; nil if there is none. Each database has a prefix of its own
	// below it.
	Destination *databasev1.BackupDestination
}

// View is one snapshot of a PostgreSQL and of what it owns.
type View struct {
	Now      time.Time
	Object   *databasev1.PostgreSQL
	Defaults Defaults
	// Cluster of the same name; nil if there is none.
	Cluster *postgresqlv1.Cluster
	// ScheduledBackups: the API server has the kind. ScheduledBackup of the same name; nil if there is none.
	ScheduledBackups bool
	ScheduledBackup  *unstructured.Unstructured
}

// scheduledBackupGVK is the kind that takes backups.
func scheduledBackupGVK() schema.GroupVersionKind {
	return postgresqlv1.GroupVersion.WithKind("ScheduledBackup")
}

// Plan is what is to be done, and what is to be told.
type Plan struct {
	Changes []owned.Change
	Outcome conditions.Outcome
	Backup  shortform.BackupCondition
	Status  databasev1.PostgreSQLStatus
}

func (v View) owner() owned.Owner {
	return owned.Owner{
		Object: v.Object, GVK: databasev1.GroupVersion.WithKind("PostgreSQL"), Label: naming.LabelPostgreSQLServer,
		Application: "postgresql", Labels: shortform.InheritedLabels(v.Object.Labels),
	}
}

// Decide is pure and total.
func Decide(v View) Plan {
	spec := v.Object.Spec
	destination, backup := v.backup()

	wish := shortform.Wish{
		Owner:   v.owner(),
		Version: spec.Version, Instances: 1, Storage: spec.Storage, StorageClass: spec.StorageClass, Resources: spec.Resources,
		DeletionPolicy: postgresqlv1.DeletionPolicy(spec.DeletionPolicy),
	}

	if spec.Replicas != nil {
		wish.Instances = *spec.Replicas
	}

	if destination != nil {
		wish.Backup = objectStore(destination, spec.Backup.Retention)
	}

	compiled := wish.Decide(v.Defaults.Defaults, v.Cluster)
	plan := Plan{Changes: compiled.Changes, Outcome: compiled.Outcome, Backup: backup, Status: v.status(compiled.Cluster)}

	// Nothing else changes while something is refused.
	if compiled.Outcome.Kind != conditions.Stalled {
		v.schedule(&plan, destination)
	}

	return plan
}

// schedule makes the ScheduledBackup once the database is ready: there is nothing to back up before. It goes when backups
// are switched off; a database that is not ready for a moment keeps it.
func (v View) schedule(plan *Plan, destination *databasev1.BackupDestination) {
	live := owned.Objects{}
	if v.ScheduledBackup != nil {
		live[owned.Key{Kind: scheduledBackupGVK().Kind, Name: v.ScheduledBackup.GetName()}] = v.ScheduledBackup
	}

	switch {
	case destination == nil:
		plan.Changes = append(plan.Changes, owned.Changes(nil, live, nil)...)
	case !v.ScheduledBackups:
		plan.Backup = shortform.BackupCondition{Reason: databasev1.ReasonFeatureNotAvailable, Message: "the API server does not know the kind ScheduledBackup: install its CRD"}
	case v.ScheduledBackup == nil && plan.Outcome.Kind != conditions.Done:
		plan.Backup = shortform.BackupCondition{Reason: databasev1.ReasonWaitingForDatabase, Message: "the first backup waits for the database to be ready"}
	default:
		plan.Changes = append(plan.Changes, owned.Changes([]owned.Object{v.scheduledBackup()}, live, nil)...)
		plan.Status.ScheduledBackup = v.Object.Name
		plan.Backup = v.scheduled(destination)
	}
}

// scheduled is the condition where backups are taken. What is written now is not protected by them while the Cluster's WAL does not
// reach the archive, nor once the newest is too old: the Cluster says why.
func (v View) scheduled(destination *databasev1.BackupDestination) shortform.BackupCondition {
	if v.Cluster == nil {
		return shortform.Scheduled(v.Object.Spec.Backup, destination)
	}

	told := v.Cluster.Status.Conditions
	archiving, backedUp := meta.FindStatusCondition(told, postgresqlv1.ConditionContinuousArchiving), meta.FindStatusCondition(told, postgresqlv1.ConditionBackedUp)

	switch {
	case archiving != nil && archiving.Status == metav1.ConditionFalse && archiving.Reason != postgresqlv1.ReasonArchivingStarting:
		return v.unprotected(*archiving)
	case backedUp != nil && backedUp.Status == metav1.ConditionFalse && backedUp.Reason == postgresqlv1.ReasonBackupTooOld:
		return v.unprotected(*backedUp)
	default:
		return shortform.Scheduled(v.Object.Spec.Backup, destination)
	}
}

func (v View) unprotected(told metav1.Condition) shortform.BackupCondition {
	return shortform.BackupCondition{Reason: told.Reason, Message: "Cluster " + v.Cluster.Name + ": " + told.Message}
}

func (v View) scheduledBackup() *unstructured.Unstructured {
	metadata := v.owner().Meta(v.Object.Name)

	u := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{
			"schedule": v.Object.Spec.Backup.Schedule, "cluster": map[string]any{"name": v.Object.Name}, "immediate": true,
			"backupOwnerReference": "none",
		},
	}}
	u.SetGroupVersionKind(scheduledBackupGVK())
	u.SetName(metadata.Name)
	u.SetNamespace(metadata.Namespace)
	u.SetLabels(metadata.Labels)
	u.SetOwnerReferences(metadata.OwnerReferences)

	return u
}

// status is what the Cluster says of itself, in the short form's fields. What is known stays while it cannot be seen.
func (v View) status(cluster *postgresqlv1.Cluster) databasev1.PostgreSQLStatus {
	status := databasev1.PostgreSQLStatus{ObservedGeneration: v.Object.Generation}
	if cluster == nil {
		return status
	}

	status.Cluster = cluster.Name
	status.Replicas = cluster.Status.Instances
	status.ReadyReplicas = cluster.Status.ReadyInstances
	status.Primary = cluster.Status.Primary
	status.Version = cluster.Status.Version
	status.Image = cluster.Status.Image
	status.Endpoint = endpoint(naming.ServiceReadWrite(cluster.Name), cluster.Namespace)
	status.ReadOnlyEndpoint = endpoint(naming.ServiceReadOnly(cluster.Name), cluster.Namespace)
	status.SecretName = naming.SecretApp(cluster.Name)

	return status
}

func endpoint(service, namespace string) string {
	return fmt.Sprintf("%s.%s.svc:%d", service, namespace, naming.PortPostgreSQL)
}

// backup is where backups go, if they do, and what to tell of them.
func (v View) backup() (*databasev1.BackupDestination, shortform.BackupCondition) {
	wanted := v.Object.Spec.Backup
	if wanted == nil || !wanted.Enabled {
		return nil, shortform.BackupCondition{}
	}

	destination := shortform.Destination(v.Object, wanted, v.Defaults.Destination)
	if destination == nil {
		return nil, shortform.NoDestination()
	}

	return destination, shortform.BackupCondition{}
}

func objectStore(destination *databasev1.BackupDestination, retention string) *postgresqlv1.BackupConfiguration {
	store := &postgresqlv1.ObjectStore{DestinationPath: shortform.URL(destination), EndpointURL: destination.Endpoint}

	if destination.SecretName == "" {
		store.S3Credentials = &postgresqlv1.S3Credentials{InheritFromIAMRole: true}
	} else {
		store.S3Credentials = &postgresqlv1.S3Credentials{
			AccessKeyID:     key(destination.SecretName, archiveapi.KeyAccessKeyID),
			SecretAccessKey: key(destination.SecretName, archiveapi.KeyAccessSecretKey),
		}
	}

	return &postgresqlv1.BackupConfiguration{ObjectStore: store, RetentionPolicy: retention}
}

func key(secret, name string) *corev1.SecretKeySelector {
	return &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: name}
}
