package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RecoverInPlace takes the data of this Cluster back to a moment, under its own name: the volumes in use are set aside, and
// the first instance recovers from the Cluster's own archive. Or it takes volumes that were set aside into use again.
//
// +kubebuilder:validation:XValidation:rule="!has(self.setAside) || !has(self.backup) && !has(self.recoveryTarget)",message="spec.recoverInPlace: setAside takes volumes as they are; leave backup and recoveryTarget out"
// +kubebuilder:validation:XValidation:rule="!has(self.setAside) || self.setAside != self.id",message="spec.recoverInPlace.setAside: names an earlier recovery, whose volumes are taken into use again; give this one another id"
// +kubebuilder:validation:XValidation:rule="self.id != oldSelf.id || self == oldSelf",message="spec.recoverInPlace: what was asked for under an id cannot change; give the new wish another id"
type RecoverInPlace struct {
	// ID makes it happen once: a recovery begins when it is another than status.recoverInPlace.id. The volumes that it sets
	// aside have it in their label caretaker.dev/set-aside. A Cluster that is created with one does not recover.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="spec.recoverInPlace.id: must hold only lowercase letters, digits and '-', since it becomes a label"
	ID string `json:"id"`

	// Backup object of this Cluster to begin with; the newest one before the target if empty.
	// +optional
	Backup *LocalObjectReference `json:"backup,omitempty"`

	// RecoveryTarget: the end of the archive if empty.
	// +optional
	RecoveryTarget *RecoveryTarget `json:"recoveryTarget,omitempty"`

	// SetAside is the ID of an earlier recovery: the volumes that it set aside are taken into use again, as they were.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	SetAside string `json:"setAside,omitempty"`
}

// InPlaceStep is how far a recovery in place is.
type InPlaceStep string

// The steps, in their order.
const (
	// InPlaceStopping: the instances are stopped in order.
	InPlaceStopping InPlaceStep = "Stopping"
	// InPlaceSettingAside: their volumes are set aside.
	InPlaceSettingAside InPlaceStep = "SettingAside"
	// InPlaceStartingAnew: the term record is made anew, above all that the volumes know of.
	InPlaceStartingAnew InPlaceStep = "StartingAnew"
	// InPlaceRecovering: the first instance recovers, or the volumes that were set aside come up.
	InPlaceRecovering InPlaceStep = "Recovering"
	// InPlaceCompleted: a primary serves. Replicas may still be cloned.
	InPlaceCompleted InPlaceStep = "Completed"
)

// RecoverInPlaceStatus is how the last recovery in place went.
type RecoverInPlaceStatus struct {
	// ID of spec.recoverInPlace.
	ID string `json:"id"`
	// Step is Stopping, SettingAside, StartingAnew, Recovering or Completed.
	Step InPlaceStep `json:"step"`
	// Message says what is going on, or what keeps it from going on.
	// +optional
	Message string `json:"message,omitempty"`
	// Target as it was understood, such as "time 2024-01-15 14:30:00+00 (UTC)".
	// +optional
	Target string `json:"target,omitempty"`
	// SetAside is the ID of the recovery whose volumes are taken into use again; empty if the archive is recovered from.
	// +optional
	SetAside string `json:"setAside,omitempty"`
	// BackupID that was restored; empty while the instance chooses.
	// +optional
	BackupID string `json:"backupId,omitempty"`
	// ReachedLSN is where recovery ended.
	// +optional
	ReachedLSN string `json:"reachedLSN,omitempty"`
	// StartedAt is when it began.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// CompletedAt is when a primary served.
	// +optional
	CompletedAt *metav1.Time `json:"completedAt,omitempty"`
}

// SetAsideStatus are volumes that a recovery in place set aside. They stay until a person deletes them.
type SetAsideStatus struct {
	// ID of the recovery, the value of their label caretaker.dev/set-aside.
	ID string `json:"id"`
	// Volumes are the names of the claims.
	// +listType=set
	Volumes []string `json:"volumes"`
	// Incomplete: they are of a recovery that never ended; there is nothing to go back to.
	// +optional
	Incomplete bool `json:"incomplete,omitempty"`
}
