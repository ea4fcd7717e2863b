package proof

import v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"

// Doubts are why what a Cluster that serves holds could be lost, in a few words each, the gravest first; none if it is
// protected. reason is why a condition of the Cluster is False; empty if it is not.
func Doubts(reason func(condition string) string) []string {
	var found []string

	for _, doubt := range []struct{ condition, reason, words string }{
		{v1.ConditionContinuousArchiving, v1.ReasonArchivingFailed, "WAL does not reach the archive"},
		{v1.ConditionContinuousArchiving, v1.ReasonWALMissing, "WAL is missing in the archive"},
		{v1.ConditionContinuousArchiving, v1.ReasonBackupNotConfigured, "spec.backup names no store"},
		{v1.ConditionContinuousArchiving, v1.ReasonBackupDestinationEmpty, "spec.backup names no destination"},
		{v1.ConditionBackedUp, v1.ReasonNoBackup, "there is no backup"},
		{v1.ConditionBackedUp, v1.ReasonBackupTooOld, "the newest backup is too old"},
		{v1.ConditionBackupVerified, v1.ReasonDrillFailed, "the last drill failed"},
	} {
		if reason(doubt.condition) == doubt.reason {
			found = append(found, doubt.words)
		}
	}

	return found
}
