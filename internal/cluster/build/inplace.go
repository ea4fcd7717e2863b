package build

import (
	"encoding/json"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// FieldRecoverInPlace names the wish for a recovery in place in messages.
const FieldRecoverInPlace = "spec.recoverInPlace"

// recoverInPlace is how the first instance recovers from the Cluster's own archive; nil if that is not asked for. Whose password
// is managed stays as the Cluster was made.
func recoverInPlace(in Input) *instanceapi.Recovery {
	asked := in.Cluster.Spec.RecoverInPlace

	place, ok := OwnPlace(in.Cluster)
	if !ok || asked == nil || asked.SetAside != "" {
		return nil
	}

	recovery := &instanceapi.Recovery{
		Archive: place.Archive(instanceapi.ArchiveDir, instanceapi.ArchiveVolumeDir),
		Target:  RecoveryTarget(asked.RecoveryTarget),
		InPlace: asked.ID,
	}

	if in.App != nil {
		recovery.Database, recovery.Owner = in.App.Database, in.App.User
	}

	if in.InPlaceBackup != nil {
		recovery.BackupID = in.InPlaceBackup.Status.BackupID
	}

	if asked.RecoveryTarget != nil && asked.RecoveryTarget.BackupID != "" {
		recovery.BackupID = asked.RecoveryTarget.BackupID
	}

	return recovery
}

// RecordOf is the term record's spec that a volume was set aside under; nil if it does not say.
func RecordOf(annotations map[string]string) *v1.ClusterTermSpec {
	var spec v1.ClusterTermSpec
	if err := json.Unmarshal([]byte(annotations[naming.AnnotationSetAsideRecord]), &spec); err != nil {
		return nil
	}

	return &spec
}

// EncodeRecord is what RecordOf reads; a record that is missing has no term.
func EncodeRecord(record *v1.ClusterTerm) string {
	spec := v1.ClusterTermSpec{}
	if record != nil {
		spec = record.Spec
	}

	encoded, err := json.Marshal(spec)
	if err != nil {
		// API types always encode.
		panic(err)
	}

	return string(encoded)
}
