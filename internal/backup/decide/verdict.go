package decide

import (
	"time"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/backup/proof"
)

// verdict says whether the backup can be restored.
func (p *planner) verdict() {
	status := p.plan.Status

	switch {
	case status.StoppedAt == nil:
	case status.Error != "":
		p.plan.Restorable = Verdict{Reason: v1.ReasonBackupFailed, Message: "there is no backup: " + status.Error}
	case status.Expired != nil:
		p.plan.Restorable = Verdict{Reason: v1.ReasonBackupExpired, Message: proof.ExpiredWords(*status.Expired)}
	case status.Drill != nil && !status.Drill.Succeeded:
		p.plan.Restorable = Verdict{Reason: v1.ReasonDrillFailed, Message: "a drill with it failed: " + status.Drill.Message}
	case status.Drill != nil:
		p.plan.Restorable = Verdict{True: true, Reason: v1.ReasonVerified, Message: "it was restored, replayed and checked at " +
			status.Drill.StoppedAt.UTC().Format(time.RFC3339)}
	case p.isSnapshot():
		p.plan.Restorable = Verdict{True: true, Reason: v1.ReasonBackupCompleted, Message: "its snapshot was ready, and all WAL from its start to its end is in " +
			"the archive; drills do not restore snapshots"}
	case status.Verified:
		p.plan.Restorable = Verdict{True: true, Reason: "ReadBack", Message: "all of it was read back and its checksums are right, and all WAL from its start to its end is in the archive"}
	default:
		p.plan.Restorable = Verdict{True: true, Reason: v1.ReasonBackupCompleted, Message: "it is complete, and all WAL from its start to its end is in the archive"}
	}
}
