package plugin

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// Health of a Cluster in one word.
type Health string

// The words.
const (
	// Healthy: all is as wanted.
	Healthy Health = "Healthy"
	// Unprotected: it serves, but what it holds could be lost.
	Unprotected Health = "Unprotected"
	// Working: it serves, but not everything is as wanted; it goes on by itself.
	Working Health = "Working"
	// NeedsYou: it may serve, but something waits for the user.
	NeedsYou Health = "NeedsYou"
	// Down: no primary is known to serve.
	Down Health = "Down"
	// Asleep: hibernated.
	Asleep Health = "Asleep"
)

// summarize is the Cluster's health in one word and one sentence.
func summarize(cluster *v1.Cluster, view View) (Health, string) {
	ready := 0
	serves := false

	for _, instance := range view.Instances {
		if instance.Ready {
			ready++
			serves = serves || instance.Role == naming.RolePrimary
		}
	}

	count := fmt.Sprintf("%d of %d instances serve", ready, cluster.Spec.Instances)
	message := ""

	// What the operator said last is of no use once the instances say otherwise.
	if c := condition(cluster, v1.ConditionReady); c != nil && c.Status != metav1.ConditionTrue && view.Primary == cluster.Status.Primary {
		message = strings.TrimSuffix(strings.TrimPrefix(c.Message, "Hibernated: "), ".")
	}

	stalled := condition(cluster, v1.ConditionStalled)

	switch {
	case cluster.DeletionTimestamp != nil:
		return Working, "is being deleted"
	case hibernated(cluster):
		return Asleep, "is hibernated: " + orElse(message, "no instance runs")
	case isRecovering(cluster) && stalled == nil && !serves:
		return Down, recoveringWords(cluster.Status.RecoverInPlace, message)
	case cluster.Status.Term == 0 && stalled == nil:
		return Working, "is being made: " + orElse(message, "the operator has not looked at it yet (is it running?)")
	case stalled != nil && serves && stalled.Reason == v1.ReasonVolumeFull:
		return NeedsYou, "serves reads only: " + strings.TrimSuffix(stalled.Message, ".")
	case stalled != nil && serves:
		return NeedsYou, "serves, but needs you: " + strings.TrimSuffix(stalled.Message, ".")
	case stalled != nil:
		return Down, "does not serve and needs you: " + strings.TrimSuffix(stalled.Message, ".")
	case !serves && view.silentPrimary() != "":
		return Down, fmt.Sprintf("is not known to serve: its primary %s does not answer, which the operator last saw ready (%s)", view.Primary, count)
	case !serves:
		return Down, "has no primary that accepts writes: " + orElse(message, count)
	case isTrue(cluster, v1.ConditionReady) && ready >= int(cluster.Spec.Instances) && view.fullVolume() != "":
		return NeedsYou, fmt.Sprintf("serves, but the volume of %s is full (%s)", view.fullVolume(), count)
	case isTrue(cluster, v1.ConditionReady) && ready >= int(cluster.Spec.Instances):
		return Healthy, "is healthy: " + count
	default:
		return Working, "serves, but not all is well: " + orElse(message, count)
	}
}

func hibernated(cluster *v1.Cluster) bool {
	return cluster.Annotations[naming.AnnotationHibernate] == "on"
}

func paused(cluster *v1.Cluster) bool {
	return cluster.Annotations[naming.AnnotationPaused] == "true"
}

func orElse(text, otherwise string) string {
	if text != "" {
		return text
	}

	return otherwise
}

// commits says what must have a commit before it is acknowledged: by the primary itself if it was asked, otherwise by the
// condition.
func commits(cluster *v1.Cluster, answers map[string]answer) string {
	durability := ""
	if cluster.Status.DataDurability != "" {
		durability = " (" + string(cluster.Status.DataDurability) + ")"
	}

	for _, live := range answers {
		p := live.status.Protocol
		if live.err != nil || p == nil || live.status.Role != instanceapi.RolePrimary {
			continue
		}

		switch {
		case p.Acks == 0:
			return "acknowledged by the primary alone" + durability
		case p.Acks >= len(p.Voters):
			return "acknowledged once " + list(p.Voters) + " has them too" + durability
		default:
			return fmt.Sprintf("acknowledged once %d of %s has them too%s", p.Acks, list(p.Voters), durability)
		}
	}

	if c := condition(cluster, v1.ConditionSyncReplication); c != nil {
		return c.Message
	}

	if cluster.Spec.Instances < 2 {
		return "acknowledged by the primary alone: there is no replica"
	}

	return ""
}

func list(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}

	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

const (
	// fullPercent of a volume in use is worth a word.
	fullPercent = 80
	// certificateDays before its end a certificate that nobody renewed is worth a word.
	certificateDays = 7
	day             = 24 * time.Hour
)

// Advice is something to do, and the command that does it, if there is one.
type Advice struct {
	Text    string `json:"text"`
	Command string `json:"command,omitempty"`
}

// advice is what to do next, the weightiest first.
func advice(cluster *v1.Cluster, view View, now time.Time) []Advice {
	if hibernated(cluster) {
		return []Advice{{"To wake it:", kubectl(view, "annotate pgc %s %s-", cluster.Name, naming.AnnotationHibernate)}}
	}

	var next []Advice

	if paused(cluster) {
		next = append(next, Advice{
			"The operator changes nothing while it is paused. To go on:",
			kubectl(view, "annotate pgc %s %s-", cluster.Name, naming.AnnotationPaused),
		})
	}

	if c := condition(cluster, v1.ConditionStalled); c != nil && c.Reason != v1.ReasonVolumeFull {
		next = append(next, Advice{Text: fmt.Sprintf("Do what is said above (%s); nothing goes on until then.", c.Reason)})
	}

	if c := condition(cluster, v1.ConditionReady); c != nil && c.Reason == v1.ReasonWaitingForUser {
		next = append(next, Advice{
			"Let the primary be restarted or replaced:",
			kubectl(view, `annotate pgc %s %s="$(date +%%s)" --overwrite`, cluster.Name, naming.AnnotationRestart),
		})
	}

	if view.Primary != cluster.Status.Primary || view.silentPrimary() != "" {
		next = append(next, Advice{"See whether the operator runs:", "kubectl get pods -A -l app.kubernetes.io/name=caretaker"})
	}

	next = append(next, instanceAdvice(cluster, view)...)
	next = append(next, protectionAdvice(cluster, view, now)...)
	next = append(next, setAsideAdvice(cluster, view)...)

	return append(next, certificateAdvice(view, now)...)
}

func kubectl(view View, format string, args ...any) string {
	return "kubectl -n " + view.Namespace + " " + fmt.Sprintf(format, args...)
}

func instanceAdvice(cluster *v1.Cluster, view View) []Advice {
	var next []Advice

	if a, ok := diskAdvice(cluster, view); ok {
		next = append(next, a)
	}

	for _, instance := range view.Instances {
		failing := []string{string(instanceapi.StateFailed), "Unreachable", "Unhealthy", "Crashing", unknown}
		isSilent := instance.State == "Unreachable" || instance.State == unknown

		switch {
		case instance.Ready || !slices.Contains(failing, instance.State):
		case isSilent && instance.Node != "":
			// Its log could not be had either.
			next = append(next, Advice{
				fmt.Sprintf("See whether the node of %s is up, and what became of its pod:", instance.Name),
				fmt.Sprintf("kubectl get node %s; %s", instance.Node, kubectl(view, "describe pod %s", instance.Name)),
			})
		default:
			next = append(next, Advice{
				"See what is wrong with " + instance.Name + ":",
				kubectl(view, "describe pod %s; %s", instance.Name, kubectl(view, "logs %s -c %s --tail=50", instance.Name, container)),
			})
		}
	}

	return next
}

// fullVolume is that of an instance that would refuse writes; empty if there is none.
func (v *View) fullVolume() string {
	for _, instance := range v.Instances {
		if instance.Disk != nil && instance.Disk.ReadOnly {
			return instance.Name
		}
	}

	return ""
}

// diskAdvice is about the fullest volume.
func diskAdvice(cluster *v1.Cluster, view View) (Advice, bool) {
	asked := orElse(cluster.Status.StorageSize, cluster.Spec.Storage.Size)

	wanted, err := resource.ParseQuantity(asked)
	if err != nil {
		return Advice{}, false
	}

	var fullest Instance

	for _, instance := range view.Instances {
		if instance.Disk != nil && instance.Disk.IsFilling(wanted.Value(), fullPercent) &&
			(fullest.Disk == nil || instance.Disk.UsedPercent() > fullest.Disk.UsedPercent()) {
			fullest = instance
		}
	}

	if fullest.Disk == nil {
		return Advice{}, false
	}

	if fullest.Disk.IsShared(wanted.Value()) {
		return Advice{Text: fmt.Sprintf("The file system under %s has %s left, less than the volume was to have (%s). It is much larger (%s), so "+
			"others use it too: make room there.", fullest.Name, size(fullest.Disk.FreeBytes), asked, size(fullest.Disk.TotalBytes))}, true
	}

	return Advice{
		fmt.Sprintf("The volume of %s is %d%% full. Make the volumes larger than %s:", fullest.Name, fullest.Disk.UsedPercent(), asked),
		kubectl(view, `patch pgc %s --type=merge -p '{"spec":{"storage":{"size":"NEW"}}}'`, view.Cluster),
	}, true
}

func certificateAdvice(view View, now time.Time) []Advice {
	var next []Advice

	for _, certificate := range view.Certificates {
		if left := certificate.NotAfter.Sub(now); left < certificateDays*day {
			next = append(next, Advice{
				fmt.Sprintf("The certificate in the Secret %s ends in %s and was not renewed. See when it was made, and by whom:", certificate.Secret, span(left)),
				kubectl(view, "describe secret %s", certificate.Secret),
			})
		}
	}

	return next
}
