package cluster

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/decide"
)

// event says what happened. What is still to come is in the status.
type event struct {
	kind, reason, action, note string
	// related is the pod or volume that it happened to. Kubernetes counts events that differ in their note only as one.
	related *corev1.ObjectReference
}

func podReference(name string) *corev1.ObjectReference {
	return &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Name: name}
}

func volumeReference(name string) *corev1.ObjectReference {
	return &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Name: name}
}

func normal(reason, action, note string, related *corev1.ObjectReference) event {
	return event{corev1.EventTypeNormal, reason, action, note, related}
}

func warning(reason, action, note string, related *corev1.ObjectReference) event {
	return event{corev1.EventTypeWarning, reason, action, note, related}
}

// eventsOf are the events of a pass: of what was done, and of what the status shows to have happened since the last one.
func eventsOf(before, after v1.ClusterStatus, done []decide.Action) []event {
	var found []event

	for _, action := range done {
		if e, ok := eventOfAction(action); ok {
			found = append(found, e)
		}
	}

	switch {
	case before.Term == 0 && after.Term > 0:
		found = append(found, normal("Initialized", "Bootstrap", fmt.Sprintf("%s leads, term %d", after.Primary, after.Term), podReference(after.Primary)))
	case before.Primary != "" && before.Primary != after.Primary:
		found = append(found, normal("PrimaryChanged", "Failover",
			fmt.Sprintf("%s leads after %s, term %d", after.Primary, before.Primary, after.Term), podReference(after.Primary)))
	}

	found = append(found, failoverEvents(before, after)...)
	found = append(found, memberEvents(before, after)...)

	return append(found, conditionEvents(before, after)...)
}

func eventOfAction(action decide.Action) (event, bool) {
	note := upper(action.String())

	switch a := action.(type) {
	case decide.CreateRecord:
		return normal("Created", "Create", note, nil), true
	case decide.DeletePod:
		return normal("InstanceStopped", "Stop", note, podReference(a.Name)), true
	case decide.DeleteVolume:
		return normal("VolumeDeleted", "ScaleDown", note, volumeReference(a.Name)), true
	case decide.SetVolumeAside:
		return normal("VolumeSetAside", "RecoverInPlace", note, volumeReference(a.Name)), true
	case decide.TakeVolumeBack:
		return normal("VolumeTakenBack", "RecoverInPlace", note, volumeReference(a.Name)), true
	case decide.Switchover:
		return normal("SwitchoverAsked", "Switchover", note, podReference(a.Instance)), true
	case decide.Restart:
		return normal("PostgresRestarted", "Restart", note, podReference(a.Instance)), true
	case decide.Apply:
		return applyEvent(a)
	default:
		return event{}, false
	}
}

func applyEvent(a decide.Apply) (event, bool) {
	switch object := a.Object.(type) {
	case *corev1.Pod:
		return normal("InstanceCreated", "Create", "Create pod "+object.Name, podReference(object.Name)), true
	case *corev1.PersistentVolumeClaim:
		size := object.Spec.Resources.Requests[corev1.ResourceStorage]

		switch {
		case a.New:
			return normal("VolumeCreated", "Create", fmt.Sprintf("Create volume %s of %s", object.Name, size.String()), volumeReference(object.Name)), true
		case a.Why != "":
			return normal("VolumeExpanding", "Expand", fmt.Sprintf("Volume %s: %s", object.Name, a.Why), volumeReference(object.Name)), true
		}
	}

	return event{}, false
}

func memberEvents(before, after v1.ClusterStatus) []event {
	was := map[string]bool{}
	for _, member := range before.Members {
		was[member.Name] = member.Ready
	}

	var found []event

	for _, member := range after.Members {
		switch {
		case member.Ready && !was[member.Name]:
			found = append(found, normal("InstanceReady", "Observe", member.Name+" is ready", podReference(member.Name)))
		case !member.Ready && was[member.Name] && (member.State == "Stopping" || member.State == "Stopped"):
			found = append(found, normal("InstanceNotReady", "Observe", member.Name+" is being stopped", podReference(member.Name)))
		case !member.Ready && was[member.Name]:
			found = append(found, warning("InstanceNotReady", "Observe",
				fmt.Sprintf("%s is no longer ready: %s", member.Name, firstOf(member.Message, member.State)), podReference(member.Name)))
		}
	}

	return found
}

func conditionEvents(before, after v1.ClusterStatus) []event {
	var found []event

	stalled := meta.FindStatusCondition(after.Conditions, v1.ConditionStalled)
	if old := meta.FindStatusCondition(before.Conditions, v1.ConditionStalled); stalled != nil && (old == nil || old.Message != stalled.Message) {
		found = append(found, warning(stalled.Reason, "Reconcile", stalled.Message, nil))
	}

	for _, turn := range []struct{ condition, on, off string }{
		{v1.ConditionReady, "Ready", ""},
		{v1.ConditionPaused, "Paused", "Resumed"},
		{v1.ConditionHibernated, "Hibernated", "Woken"},
	} {
		old, now := meta.IsStatusConditionTrue(before.Conditions, turn.condition), meta.FindStatusCondition(after.Conditions, turn.condition)
		is := now != nil && now.Status == metav1.ConditionTrue

		switch {
		case is && !old:
			found = append(found, normal(turn.on, "Reconcile", upper(now.Message), nil))
		case !is && old && turn.off != "":
			found = append(found, normal(turn.off, "Reconcile", turn.off+" on the user's request", nil))
		}
	}

	return append(found, featureEvents(before, after)...)
}

// featureEvents tell when something that is there all the time is no longer as it should be, and when it is again.
func featureEvents(before, after v1.ClusterStatus) []event {
	var found []event

	for _, name := range []string{v1.ConditionDiskSpace, v1.ConditionSyncReplication, v1.ConditionContinuousArchiving, v1.ConditionBackedUp} {
		old, now := meta.FindStatusCondition(before.Conditions, name), meta.FindStatusCondition(after.Conditions, name)

		stalled := meta.FindStatusCondition(after.Conditions, v1.ConditionStalled)

		switch {
		case old == nil || now == nil || old.Status == now.Status && old.Reason == now.Reason:
		case stalled != nil && stalled.Message == now.Message: // it is told as that
		case now.Status == metav1.ConditionTrue:
			found = append(found, normal(now.Reason, name, upper(now.Message), nil))
		default:
			found = append(found, warning(now.Reason, name, upper(now.Message), nil))
		}
	}

	return found
}

func upper(sentence string) string {
	if sentence == "" || sentence[0] < 'a' || sentence[0] > 'z' {
		return sentence
	}

	return string(sentence[0]-'a'+'A') + sentence[1:]
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}

	return b
}
