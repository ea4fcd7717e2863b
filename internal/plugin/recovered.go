package plugin

import (
	"fmt"
	"strings"
	"time"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// recovered is what the Cluster was made of, and whether it has got there; empty if it was not recovered.
func recovered(r *v1.RecoveryStatus, now time.Time) string {
	if r == nil {
		return ""
	}

	from := ""

	switch {
	case r.Backup != "":
		from = "from Backup " + r.Backup + " "
	case r.BackupID != "":
		from = "from backup " + r.BackupID + " "
	}

	text := from + "to " + orElse(r.Target, "the end of the archive")

	switch {
	case r.ReachedAt != nil:
		return fmt.Sprintf("%s; reached %s ago, at LSN %s", text, span(now.Sub(r.ReachedAt.Time)), r.ReachedLSN)
	case r.ReachedLSN != "":
		return text + "; reached, at LSN " + r.ReachedLSN
	default:
		return text + "; not reached yet"
	}
}

// inPlace is the last recovery in place, and how far it is.
func inPlace(r *v1.RecoverInPlaceStatus, now time.Time) string {
	if r == nil {
		return ""
	}

	text := "recovery " + r.ID
	if r.Target != "" {
		text += ", to " + r.Target
	}

	switch {
	case r.Step == v1.InPlaceCompleted && r.CompletedAt != nil:
		return fmt.Sprintf("%s: done %s ago", text, span(now.Sub(r.CompletedAt.Time)))
	case r.Step == v1.InPlaceCompleted:
		return text + ": " + orElse(r.Message, "done")
	case r.StartedAt != nil:
		return fmt.Sprintf("%s: %s, began %s ago", text, r.Step, span(now.Sub(r.StartedAt.Time)))
	default:
		return text + ": " + string(r.Step)
	}
}

// setAside are the volumes that recoveries in place set aside.
func setAside(sets []v1.SetAsideStatus) string {
	all := make([]string, 0, len(sets))

	for _, set := range sets {
		text := strings.Join(set.Volumes, ", ") + " (recovery " + set.ID
		if set.Incomplete {
			text += ", which did not end"
		}

		all = append(all, text+")")
	}

	return strings.Join(all, "; ")
}

// isRecovering in place.
func isRecovering(cluster *v1.Cluster) bool {
	r := cluster.Status.RecoverInPlace

	return r != nil && r.Step != v1.InPlaceCompleted
}

// recoveringWords say where a recovery in place is, for the summary.
func recoveringWords(r *v1.RecoverInPlaceStatus, message string) string {
	// The operator's own words begin with it where the recovery itself is what is done.
	head := fmt.Sprintf("Recovering in place (%s): ", r.Step)

	return "is " + strings.ToLower(head[:1]) + head[1:] + strings.TrimPrefix(orElse(message, "to "+r.Target), head)
}

// setAsideAdvice: nobody but the user deletes what was set aside, and nobody else knows when.
func setAsideAdvice(cluster *v1.Cluster, view View) []Advice {
	if isRecovering(cluster) {
		return nil
	}

	var next []Advice

	if id, err := lastSetAside(cluster); err == nil {
		next = append(next, Advice{
			fmt.Sprintf("Look at what the recovery in place gave. If it is not what you want, go back to the volumes that %s set aside:", id),
			fmt.Sprintf("kubectl caretaker restore --undo %s --set-aside %s -n %s", cluster.Name, id, cluster.Namespace),
		})
	}

	for _, set := range cluster.Status.SetAside {
		text := fmt.Sprintf("If you never want to go back to the volumes that recovery %s set aside, delete them; nobody else does:", set.ID)
		if set.Incomplete {
			text = fmt.Sprintf("Delete the volumes of recovery %s, which did not end:", set.ID)
		}

		next = append(next, Advice{text, kubectl(view, "delete pvc -l %s=%s,%s=%s", naming.LabelCluster, cluster.Name, naming.LabelSetAside, set.ID)})
	}

	return next
}
