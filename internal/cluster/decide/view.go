package decide

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// View is everything that a decision stands on, as seen at one moment. What is nil or absent is missing; what could not
// be found out makes Observe fail, or says so in its field.
type View struct {
	Now     time.Time
	Cluster *v1.Cluster
	// Operator and DefaultImage are the operator's own settings.
	Operator     build.Operator
	DefaultImage string
	// Record is the term record.
	Record *v1.ClusterTerm
	// Pods and Volumes of the Cluster by name.
	Pods    map[string]*corev1.Pod
	Volumes map[string]*corev1.PersistentVolumeClaim
	// SetAside are volumes that recoveries in place set aside, by name: none of the Cluster's.
	SetAside map[string]*corev1.PersistentVolumeClaim
	// Reports are the answers of the instances that were asked, by pod name.
	Reports map[string]Report
	// Owned are the other objects that belong to the Cluster.
	Owned map[Key]build.Object
	// Secrets of the user that the spec names, by name. A missing one is there with nil data.
	Secrets map[string]map[string][]byte
	// RecoveryBackup is the Backup that spec.bootstrap.recovery names, as long as it is needed; nil if there is none.
	RecoveryBackup *v1.Backup
	// SnapshotMissing: that Backup's snapshot, which the first volume is to be made of, is not there.
	SnapshotMissing bool
	// RecoveryClaimMissing: the claim of the volume with the archive to recover from is not there.
	RecoveryClaimMissing bool
	// InPlaceBackup is the Backup that spec.recoverInPlace names; nil if there is none.
	InPlaceBackup *v1.Backup
	// Backups of the Cluster.
	Backups []v1.Backup
	// Schedules are the ScheduledBackups of the Cluster.
	Schedules []v1.ScheduledBackup
	// Certificates as they should be.
	Certificates Certificates
	// Expandable says of storage classes whether their volumes can grow; one that is not known is absent.
	Expandable map[string]bool
	// PodMonitorAPI says whether the kind PodMonitor is installed.
	PodMonitorAPI bool
	// NewPassword gives fresh passwords for secrets that do not exist yet, by secret name.
	NewPassword map[string]string
}

// Key of an object within a namespace.
type Key struct{ Kind, Name string }

// Certificates are what they should be, when they end, and what is wrong with the user's.
type Certificates struct {
	build.Certificates

	// Ends are the certificates in use.
	Ends []v1.CertificateStatus
	// RenewAt is when to look again at the latest; zero for never.
	RenewAt time.Time
	// Missing are the user's secrets that do not exist, each naming its field.
	Missing []string
	// Warnings are worth a word, but nothing is wrong.
	Warnings []string
	// Problems are for the user to solve, each naming its field.
	Problems []string
}

// Report is an instance's answer, or why there is none.
type Report struct {
	// Status is nil when there was no answer.
	Status *instanceapi.Status
	// Error says why there was none.
	Error string
	// SilentSince is the first call in a row that was not answered.
	SilentSince time.Time
}
