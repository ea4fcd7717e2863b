package plugin

import (
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/backup/proof"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// unknown is the state of an instance that does not answer, though the operator last saw it ready.
const unknown = "Unknown"

// doubtSilent takes no word of the operator for an instance that does not answer: a node that is lost may have run both.
func (v *View) doubtSilent(answers map[string]answer) {
	for i := range v.Instances {
		instance := &v.Instances[i]

		if err := answers[instance.Name].err; instance.Ready && err != nil && !errors.Is(err, ErrNoRight) {
			instance.Ready, instance.State, instance.Message = false, unknown, "it does not answer; the operator last saw it ready"
		}
	}
}

// silentPrimary is the primary, if it is not known whether it serves; empty otherwise.
func (v *View) silentPrimary() string {
	for _, instance := range v.Instances {
		if instance.Name == v.Primary && instance.State == unknown {
			return instance.Name
		}
	}

	return ""
}

// doubts are why what the Cluster holds could be lost: by its conditions, and by what the primary says and the clock shows, which
// does not wait for the operator.
func doubts(cluster *v1.Cluster, view View, now time.Time) []string {
	if cluster.DeletionTimestamp != nil || cluster.Status.Term == 0 || hibernated(cluster) || isRecovering(cluster) {
		return nil
	}

	reasons := map[string]string{}

	for _, c := range cluster.Status.Conditions {
		if c.Status == metav1.ConditionFalse {
			reasons[c.Type] = c.Reason
		}
	}

	if a := view.Archive; a != nil {
		switch {
		case a.Missing != "":
			reasons[v1.ConditionContinuousArchiving] = v1.ReasonWALMissing
		case a.FailingSince != nil:
			reasons[v1.ConditionContinuousArchiving] = v1.ReasonArchivingFailed
		case a.isLive:
			delete(reasons, v1.ConditionContinuousArchiving)
		}

		switch b := view.Backups; {
		case b == nil || b.LastSuccessfulBackup == nil:
			reasons[v1.ConditionBackedUp] = v1.ReasonNoBackup
		case b.FreshUntil != nil && !now.Before(b.FreshUntil.Time) && reasons[v1.ConditionBackedUp] == "":
			reasons[v1.ConditionBackedUp] = v1.ReasonBackupTooOld
		}
	}

	found := proof.Doubts(func(condition string) string { return reasons[condition] })
	if isAlone(cluster, view) {
		found = append([]string{"commits are on " + view.Primary + " alone, and nothing takes over from it"}, found...)
	}

	return found
}

// isAlone: commits should be on replicas, too, but too few are left.
func isAlone(cluster *v1.Cluster, view View) bool {
	c := condition(cluster, v1.ConditionSyncReplication)
	if c == nil || c.Status != metav1.ConditionFalse || c.Reason != v1.ReasonDegraded {
		return false
	}

	for _, instance := range view.Instances {
		if instance.Role == naming.RolePrimary && instance.Protocol != nil {
			return instance.Protocol.Acks == 0
		}
	}

	return true
}

// withDoubts says in the first sentence what could be lost.
func withDoubts(health Health, summary string, doubts []string) (Health, string) {
	if len(doubts) == 0 {
		return health, summary
	}

	words := strings.Join(doubts, "; ")

	switch health {
	case Healthy:
		return Unprotected, fmt.Sprintf("serves, but is NOT protected: %s (%s)", words, strings.TrimPrefix(summary, "is healthy: "))
	case Working:
		health = Unprotected
	case Unprotected, NeedsYou, Down, Asleep:
	}

	return health, summary + ". It is NOT protected: " + words
}

// protectionAdvice is how to have what is written from now on protected again.
func protectionAdvice(cluster *v1.Cluster, view View, now time.Time) []Advice {
	a, b := view.Archive, view.Backups
	if a == nil || hibernated(cluster) || cluster.Status.Term == 0 {
		return nil
	}

	var next []Advice

	switch {
	case a.Missing != "":
		next = append(next, Advice{
			"Take a backup, so that moments from now on can be recovered to:", fmt.Sprintf("kubectl caretaker backup %s -n %s", cluster.Name, cluster.Namespace),
		})
	case a.FailingSince != nil:
		next = append(next, Advice{
			"Let WAL reach the archive: correct the store, its Secret or the network; the condition ContinuousArchiving has the store's words. The rest goes by " +
				"itself. Until then WAL piles up on the volume of the primary, whose log says more:", kubectl(view, "logs %s -c %s --tail=50", view.Primary, container),
		})
	case b == nil || b.LastSuccessfulBackup == nil:
		next = append(next, Advice{
			"Take a backup: the archive is of no use without one. A ScheduledBackup takes the next ones:",
			fmt.Sprintf("kubectl caretaker backup %s -n %s", cluster.Name, cluster.Namespace),
		})
	case b.FreshUntil != nil && !now.Before(b.FreshUntil.Time):
		next = append(next, Advice{"See why no backup was taken since:", kubectl(view, "get scheduledbackups,backups")})
	}

	if c := condition(cluster, v1.ConditionBackupVerified); c != nil && c.Reason == v1.ReasonDrillFailed && b != nil && b.LastDrill != nil {
		next = append(next, Advice{
			"See what failed in the drill. Until you know why, take spec.backup.retentionPolicy away, so that older backups stay:",
			kubectl(view, "describe backup %s", b.LastDrill.Backup),
		})
	}

	return next
}
