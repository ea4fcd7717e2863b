package plugin

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// Archive is how far WAL has reached the archive.
type Archive struct {
	// LastWAL is the newest segment in it, LastTime when it got there.
	LastWAL  string       `json:"lastWAL,omitempty"`
	LastTime *metav1.Time `json:"lastTime,omitempty"`
	// RPOSeconds is the age of the oldest change that is not in it: what would be lost with all volumes. Nil if the primary
	// did not say.
	RPOSeconds *int64 `json:"rpoSeconds,omitempty"`
	// WaitingFiles of WAL, by the primary's word.
	WaitingFiles int `json:"waitingFiles,omitempty"`
	// FailingSince is when WAL last reached it, if it does not now.
	FailingSince *metav1.Time `json:"failingSince,omitempty"`
	// Missing are segments that it lacks though it has later ones.
	Missing string `json:"missing,omitempty"`

	// isLive: the primary said so itself.
	isLive bool
}

// archiveOf is what the primary says, and the status where it says nothing; nil if there is no archive.
func archiveOf(cluster *v1.Cluster, answers map[string]answer, now time.Time) *Archive {
	seen := cluster.Status.Archiving
	if seen == nil {
		return nil
	}

	found := &Archive{LastWAL: seen.LastArchivedWAL, LastTime: seen.LastArchivedTime}

	if c := condition(cluster, v1.ConditionContinuousArchiving); c != nil && c.Reason == v1.ReasonArchivingFailed && seen.LastFailure != nil {
		found.FailingSince = &seen.LastFailure.Since
	}

	for _, live := range answers {
		if told := live.status.Archiving; live.err == nil && live.status.Role == instanceapi.RolePrimary && told != nil {
			found.trust(*told, now)
		}
	}

	return found
}

// trust the primary, which knows better than what the operator saw last.
func (a *Archive) trust(told instanceapi.Archiving, now time.Time) {
	if told.LastWAL != "" {
		a.LastWAL, a.LastTime = told.LastWAL, timeOf(told.LastTime)
	}

	a.WaitingFiles, a.Missing, a.FailingSince, a.isLive = told.Waiting, told.Missing, nil, true

	if told.Missing == "" {
		a.FailingSince = timeOf(told.FailingSince)
	}

	// With all volumes everything behind the gap would be lost.
	if told.Exposure == nil || told.Missing != "" {
		return
	}

	a.RPOSeconds = new(int64(0))
	if since := told.Exposure.Since; since != nil {
		*a.RPOSeconds = max(0, int64(now.Sub(*since)/time.Second))
	}
}

func timeOf(t *time.Time) *metav1.Time {
	if t == nil {
		return nil
	}

	return new(metav1.NewTime(*t))
}

func archive(a *Archive, now time.Time) string {
	if a == nil {
		return ""
	}

	text := "nothing has been archived yet"
	if a.LastTime != nil {
		text = fmt.Sprintf("%s arrived %s ago", a.LastWAL, span(now.Sub(a.LastTime.Time)))
	}

	if a.FailingSince != nil {
		text += fmt.Sprintf("; nothing arrives for %s", span(now.Sub(a.FailingSince.Time)))

		if a.WaitingFiles > 0 {
			text += fmt.Sprintf(", %d segments wait on the primary's volume", a.WaitingFiles)
		}
	}

	switch {
	case a.Missing != "":
		text += "; before it " + a.Missing + " is missing: backups from before lead up to there only"
	case a.RPOSeconds == nil:
	case *a.RPOSeconds == 0 && a.LastTime == nil: // no change since it began to archive, and what was before is not there
	case *a.RPOSeconds == 0:
		text += "; it has every change (RPO 0s)"
	default:
		text += fmt.Sprintf("; changes of the last %s are not in it yet (RPO)", span(time.Duration(*a.RPOSeconds)*time.Second))
	}

	return text
}

func backups(view View, now time.Time) string {
	b := view.Backups

	switch {
	case b == nil && view.Archive == nil:
		return ""
	case b == nil:
		b = &v1.BackupsStatus{}
	}

	text := "none is complete yet"
	if b.LastSuccessfulBackup != nil {
		text = fmt.Sprintf("newest %s, %s ago", b.LastSuccessfulBackupName, span(now.Sub(b.LastSuccessfulBackup.Time)))
	}

	if b.LastFailedBackup != nil && (b.LastSuccessfulBackup == nil || b.LastSuccessfulBackup.Before(b.LastFailedBackup)) {
		text += fmt.Sprintf("; one failed %s ago", span(now.Sub(b.LastFailedBackup.Time)))
	}

	if b.FirstRecoverabilityPoint != nil {
		text += "; recovery to any moment since " + b.FirstRecoverabilityPoint.UTC().Format(time.RFC3339)
	}

	return text
}

// copies of the archive, one after the other.
func copies(b *v1.BackupsStatus, now time.Time) string {
	if b == nil {
		return ""
	}

	all := make([]string, 0, len(b.Copies))

	for _, c := range b.Copies {
		text := c.Name + " has nothing yet"
		if c.CopiedUntil != nil {
			text = fmt.Sprintf("%s has all that was archived %s ago (backups: %d)", c.Name, span(now.Sub(c.CopiedUntil.Time)), c.Backups)
		}

		if c.FailingSince != nil {
			text += fmt.Sprintf(", and fails for %s", span(now.Sub(c.FailingSince.Time)))
		}

		all = append(all, text)
	}

	return strings.Join(all, "; ")
}

// recovery is how long it would take, and what that stands on; empty where there is no archive.
func recovery(view View, now time.Time) string {
	if view.Archive == nil {
		return ""
	}

	b := view.Backups

	switch {
	case b != nil && b.LastVerified == nil && b.LastDrill != nil:
		return "never proved: the last drill failed, and none before has succeeded"
	case b == nil || b.LastVerified == nil:
		return "never proved: no drill has succeeded yet (spec.backup.drill)"
	}

	text := fmt.Sprintf("a drill succeeded %s ago", span(now.Sub(b.LastVerified.Time)))
	if b.EstimatedRecoverySeconds > 0 {
		text = fmt.Sprintf("about %s (RTO, estimated); %s", span(time.Duration(b.EstimatedRecoverySeconds)*time.Second), text)
	}

	if b.LastDrill != nil && !b.LastDrill.Succeeded {
		text += ", the last one failed"
	}

	return text
}
