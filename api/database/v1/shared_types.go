package v1

import backupv1 "github.com/caretaker-dev/caretaker/api/backup/v1"

// DeletionPolicy says what becomes of the volumes when the object is deleted.
type DeletionPolicy string

// The deletion policies.
const (
	DeletionPolicyRetain DeletionPolicy = "Retain"
	DeletionPolicyDelete DeletionPolicy = "Delete"
)

// BackupSpec says whether, when and where to a database is backed up.
//
// +kubebuilder:validation:XValidation:rule="!has(self.enabled) || !self.enabled || (has(self.schedule) && self.schedule.size() > 0)",message="spec.backup.schedule: backups are enabled, so say when, such as \"0 2 * * *\" for every day at 02:00 UTC"
type BackupSpec struct {
	// Enabled switches backups on.
	// +optional
	Enabled bool `json:"enabled,omitempty"`

	// Schedule in cron's five fields, in UTC, such as "0 2 * * *" for every day at 02:00.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^(@(hourly|daily|midnight|weekly|monthly|yearly|annually)|[^ ]+( +[^ ]+){4,5})$')",message="spec.backup.schedule: must have cron's five fields, such as \"0 2 * * *\" for every day at 02:00 UTC"
	Schedule string `json:"schedule,omitempty"`

	// Retention says how long backups are kept, such as 30d; the default is the destination's own: for ever.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^[1-9][0-9]*[dwm]$')",message="spec.backup.retention: must be a number of days, weeks or months, such as 30d, 4w or 6m"
	Retention string `json:"retention,omitempty"`

	// Destination of the backups. The default is set in the operator's configuration.
	// +optional
	Destination *BackupDestination `json:"destination,omitempty"`

	// Verification proves each dump of a MySQL once it is stored, as that of a Backup of backup.caretaker.dev does. A PostgreSQL has
	// no dumps: drills prove its backups, spec.backup.drill of its Cluster.
	// +optional
	Verification *backupv1.Verification `json:"verification,omitempty"`
}

// BackupDestination is a bucket and how to get at it.
type BackupDestination struct {
	// Type of the store.
	// +optional
	// +kubebuilder:default=s3
	// +kubebuilder:validation:Enum=s3
	Type string `json:"type,omitempty"`

	// Bucket that holds the backups.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9][A-Za-z0-9._-]*$')",message="spec.backup.destination.bucket: must be the bucket's name alone, such as backups; a path goes into prefix"
	Bucket string `json:"bucket"`

	// Prefix of the objects' names; <namespace>/<name> if empty. Two databases cannot share one.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Prefix string `json:"prefix,omitempty"`

	// Endpoint of the store, such as https://s3.eu-central-1.amazonaws.com or https://s3.example.com.
	// +optional
	// +kubebuilder:validation:MaxLength=1000
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^ /]+/?$')",message="spec.backup.destination.endpoint: must be a URL without a path, such as https://s3.example.com"
	Endpoint string `json:"endpoint,omitempty"`

	// SecretName names a Secret with the keys ACCESS_KEY_ID and ACCESS_SECRET_KEY. Without one the pods' own identity is
	// used.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName,omitempty"`
}
