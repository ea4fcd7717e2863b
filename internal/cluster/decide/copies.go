package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// What the status says of the copies of the archive: how far the primary has brought each. One that has just begun to lead knows
// nothing yet: what was known last stays until its first turn has ended.

const (
	// copiedEvery is how often it is written that a copy to which nothing was added is up to date.
	copiedEvery = time.Hour
	// copyBehind is by how much a copy that does not fail may be behind, beside twice its interval: a first copy takes its time.
	copyBehind = time.Hour
)

// checkCopies: a copy at the archive's own place, or at another copy's, would be none.
func (f *facts) checkCopies() *problem {
	if message := build.CheckCopies(f.Cluster); message != "" {
		return &problem{v1.ReasonBackupPlaceTaken, message}
	}

	return nil
}

func (p *planner) copiesStatus() []v1.ArchiveCopyStatus {
	var all []v1.ArchiveCopyStatus
	for _, c := range build.Copies(p.Cluster) {
		all = append(all, p.copyStatus(c))
	}

	return all
}

func (p *planner) copyStatus(c build.Copy) v1.ArchiveCopyStatus {
	last := v1.ArchiveCopyStatus{Name: c.Given.Name, Destination: p.placeName(c.Place)}

	// What was known of another place is of no use.
	if backups := p.Cluster.Status.Backups; backups != nil {
		is := func(s v1.ArchiveCopyStatus) bool { return s.Name == last.Name && s.Destination == last.Destination }
		if i := slices.IndexFunc(backups.Copies, is); i >= 0 {
			last = backups.Copies[i]
		}
	}

	seen := p.copyReport(last.Name)
	if seen == nil || seen.Turns == 0 {
		return last
	}

	status := v1.ArchiveCopyStatus{
		Name: last.Name, Destination: last.Destination, CopiedUntil: metaTime(seen.Until), LastWAL: seen.LastWAL, Backups: int32(seen.Backups), //nolint:gosec // what a store lists
		FailingSince: metaTime(seen.FailingSince), Failure: seen.Failure,
	}

	if seen.Until == nil {
		status.CopiedUntil, status.LastWAL, status.Backups = last.CopiedUntil, last.LastWAL, last.Backups
	}

	return quietCopy(status, last)
}

// quietCopy leaves the last status where a new one would be no news.
func quietCopy(status, last v1.ArchiveCopyStatus) v1.ArchiveCopyStatus {
	if status.FailingSince != nil && last.FailingSince != nil && inWords(status.Failure) == inWords(last.Failure) {
		status.FailingSince, status.Failure = last.FailingSince, last.Failure
	}

	isSame := status.Failure == last.Failure && status.FailingSince.Equal(last.FailingSince) && status.Backups == last.Backups
	if !isSame || status.CopiedUntil == nil || last.CopiedUntil == nil {
		return status
	}

	every := copiedEvery
	if status.LastWAL != last.LastWAL {
		every = archivedEvery
	}

	if status.CopiedUntil.Sub(last.CopiedUntil.Time) < every {
		return last
	}

	return status
}

func (p *planner) copyReport(name string) *instanceapi.Copied {
	report := p.states[p.primary].report
	if report == nil {
		return nil
	}

	for i := range report.Copies {
		if report.Copies[i].Name == name {
			return &report.Copies[i]
		}
	}

	return nil
}

// copied says whether every copy is up to date, and of each that is not, why.
func (p *planner) copied() Feature {
	feature := Feature{Type: v1.ConditionBackupsCopied}

	copies := build.Copies(p.Cluster)
	if len(copies) == 0 {
		return feature
	}

	if missing := p.missingSecrets(p.copyReferences()); len(missing) > 0 {
		feature.Reason, feature.Message = v1.ReasonSecretMissing, strings.Join(missing, "; ")

		return feature
	}

	var good, bad []string

	for _, c := range copies {
		reason, words := p.judge(c)
		if reason == "" {
			good = append(good, words)

			continue
		}

		// The first one's reason: they are of the same kind mostly, and the message has all of them.
		feature.Reason = firstOf(feature.Reason, reason)

		bad = append(bad, words)
	}

	feature.Message = strings.Join(append(bad, good...), "; ")
	if len(bad) == 0 {
		feature.True, feature.Reason = true, v1.ReasonCopied
	}

	return feature
}

// judge a copy; there is no reason if it is up to date.
func (p *planner) judge(c build.Copy) (reason, words string) {
	status := p.copyStatus(c)
	place := fmt.Sprintf("copy %s (%s)", status.Name, status.Destination)

	since := "it has never been complete"
	if status.CopiedUntil != nil {
		since = "it was last complete at " + utc(*status.CopiedUntil)
	}

	switch {
	case status.FailingSince != nil:
		return v1.ReasonCopyFailed, fmt.Sprintf("%s fails since %s: %s; %s; archiving goes on; check %s, its Secret and the store",
			place, utc(*status.FailingSince), status.Failure, since, c.Field)
	case status.CopiedUntil != nil && p.Now.Sub(p.copiedUntil(status)) > 2*c.Interval()+copyBehind:
		return v1.ReasonCopyBehind, fmt.Sprintf("%s is behind: %s; what is new is still being copied", place, since)
	case status.CopiedUntil != nil:
		return "", place + " is up to date"
	}

	if seen := p.copyReport(c.Given.Name); seen != nil && seen.Turns > 0 {
		return v1.ReasonNothingToCopy, place + ": there is no complete backup in the archive yet, and WAL is of no use without one; make a Backup"
	}

	return v1.ReasonCopying, place + " is being made for the first time"
}

// copiedUntil is more exact than the status where the primary can be asked.
func (p *planner) copiedUntil(status v1.ArchiveCopyStatus) time.Time {
	if seen := p.copyReport(status.Name); seen != nil && seen.Until != nil {
		return *seen.Until
	}

	return status.CopiedUntil.Time
}

func utc(t metav1.Time) string { return t.UTC().Format(time.RFC3339) }
