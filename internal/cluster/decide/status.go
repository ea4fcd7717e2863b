package decide

import (
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// status is what is seen. It holds facts and moments; what cannot be found out at the moment stays as last seen.
func (p *planner) status() v1.ClusterStatus {
	last := p.Cluster.Status
	status := v1.ClusterStatus{
		ObservedGeneration: p.Cluster.Generation,
		Instances:          int32(len(p.Pods)), //nolint:gosec // at most 99
		ReadyInstances:     int32(p.serving()), //nolint:gosec // at most 99
		Selector:           naming.LabelCluster + "=" + p.Cluster.Name,
		Image:              p.statusImage(),
		Major:              int32(p.statusMajor()), //nolint:gosec // two digits
		Version:            last.Version,
		Term:               last.Term,
		TimelineID:         last.TimelineID,
		SystemID:           last.SystemID,
		Primary:            last.Primary,
		Certificates:       p.certificateEnds(),
		Hibernated:         p.hibernatedSince(),
		PendingRestart:     p.pendingParameters(),
		DataDurability:     p.durability(),
		FailoverHistory:    p.failovers(),
		StorageSize:        p.storageSize(),
		LastSwitchover:     p.switched,
		Takedowns:          p.takedowns,
		Archiving:          p.archivingStatus(),
		Backups:            p.backupsStatus(),
		Recovery:           p.recoveryStatus(),
		RecoverInPlace:     p.inPlace,
		SetAside:           p.setAside(),
	}

	if len(status.FailoverHistory) > 0 {
		status.LastFailover = status.FailoverHistory[0].DeepCopy()
	}

	if p.Record != nil && p.Record.Spec.Primary != nil {
		record := p.Record.Spec
		status.Primary, status.Term, status.SystemID = record.Primary.Name, record.Term, record.SystemID
		status.TimelineID = max(record.Timeline, last.TimelineID)
	}

	if report := p.states[p.primary].report; report != nil && p.established {
		status.Version = firstOf(report.Version, status.Version)
		status.TimelineID = max(status.TimelineID, report.TimelineID)
	}

	for _, name := range slices.Sorted(maps.Keys(p.states)) {
		status.Members = append(status.Members, p.memberStatus(name))
	}

	slices.SortFunc(status.Members, func(a, b v1.MemberStatus) int {
		x, _ := naming.Ordinal(p.Cluster.Name, a.Name)
		y, _ := naming.Ordinal(p.Cluster.Name, b.Name)

		return x - y
	})

	return status
}

// durability is kept once replicas have acknowledged commits.
func (p *planner) durability() v1.DataDurability {
	if p.Record == nil || p.Record.Spec.Acks == 0 {
		return p.Cluster.Status.DataDurability
	}

	return build.Durability(p.Cluster, len(p.members))
}

// statusImage is the last valid one: an image that was refused is not what the instances are moving to.
func (p *planner) statusImage() string {
	if p.checkImage() != nil {
		return p.Cluster.Status.Image
	}

	return p.image
}

// statusMajor is pinned as soon as there is data.
func (p *planner) statusMajor() int {
	if p.pinned != 0 || !p.established {
		return p.pinned
	}

	return p.major
}

func (p *planner) memberStatus(name string) v1.MemberStatus {
	state := p.states[name]

	var last v1.MemberStatus
	for _, member := range p.Cluster.Status.Members {
		if member.Name == name {
			last = member
		}
	}

	status := v1.MemberStatus{
		Name: name, Ready: state.ready, State: state.state, Message: state.message,
		Role: last.Role, Version: last.Version, Streaming: last.Streaming,
		LastRejoin: last.LastRejoin, LastFence: last.LastFence, LastCrash: last.LastCrash,
	}

	if report := p.states[p.primary].report; report != nil && name != p.primary {
		for _, replica := range report.Replicas {
			if replica.Instance == name {
				status.SyncState = replica.SyncState
			}
		}
	}

	if volume := p.Volumes[name]; volume != nil {
		status.MemberID = volume.Annotations[naming.AnnotationMemberID]
	}

	if pod := p.Pods[name]; pod != nil {
		status.Node = pod.Spec.NodeName
	}

	switch report := state.report; {
	case p.Pods[name] == nil:
		status.Role, status.Streaming = "", nil
	case report != nil:
		status.MemberID = firstOf(report.MemberID, status.MemberID)
		status.Role = v1.MemberRole(report.Role)
		status.Version = report.Version
		status.Streaming = moment(report.Streaming, last.Streaming)
		status.LastRejoin, status.LastFence = rejoinStatus(report.Rejoin), fenceStatus(report.Fence, last.LastFence)
		status.LastCrash = crashStatus(report.Crash, last.LastCrash)

		// A clone's progress moves by itself: it is told in steps, in the Cluster's message.
		if report.State == instanceapi.StateCloning {
			status.Message = "clones the primary " + p.primary
		}
	}

	return status
}

// moment is a time as the API keeps it, in seconds. One that moved by a second only is the same: clocks and rounding.
func moment(t *time.Time, last *metav1.Time) *metav1.Time {
	if t == nil {
		return nil
	}

	rounded := metav1.NewTime(t.Truncate(time.Second))
	if last != nil && rounded.Sub(last.Time).Abs() <= time.Second {
		return last
	}

	return &rounded
}

func (p *planner) certificateEnds() []v1.CertificateStatus {
	if len(p.Certificates.Ends) == 0 {
		return p.Cluster.Status.Certificates
	}

	return p.Certificates.Ends
}

func (p *planner) hibernatedSince() *metav1.Time {
	switch {
	case p.hibernating() && len(p.Pods) > 0, !p.hibernating() && p.states[p.primary].ready:
		return nil
	case p.hibernating() && p.Cluster.Status.Hibernated == nil:
		now := metav1.NewTime(p.Now.Truncate(time.Second))

		return &now
	default:
		// Still asleep, or waking.
		return p.Cluster.Status.Hibernated
	}
}

func (p *planner) pendingParameters() []string {
	names := map[string]bool{}

	for _, state := range p.states {
		if state.report == nil {
			continue
		}

		for _, parameter := range state.report.PendingRestart {
			names[parameter.Name] = true
		}
	}

	return slices.Sorted(maps.Keys(names))
}

// features are the conditions of single features.
func (p *planner) features() []Feature {
	return []Feature{
		p.archiving(), p.backedUp(), p.verified(), p.copied(), p.syncReplication(), p.diskSpace(), p.podMonitor(), p.paused(), p.hibernated(),
	}
}

func (p *planner) podMonitor() Feature {
	feature := Feature{Type: v1.ConditionPodMonitor}

	switch {
	case p.Cluster.Spec.Monitoring == nil || !p.Cluster.Spec.Monitoring.EnablePodMonitor:
	case p.PodMonitorAPI:
		feature.True, feature.Reason, feature.Message = true, v1.ReasonPodMonitorMade, "PodMonitor "+naming.PodMonitor(p.Cluster.Name)+" is kept"
	default:
		feature.Reason = v1.ReasonPodMonitorAPINotFound
		feature.Message = "the kind PodMonitor (monitoring.coreos.com/v1) is not installed; install the Prometheus operator, or set enablePodMonitor to false"
	}

	return feature
}

func (p *planner) paused() Feature {
	feature := Feature{Type: v1.ConditionPaused}
	if p.Cluster.Annotations[naming.AnnotationPaused] == "true" {
		feature.True, feature.Reason = true, v1.ReasonPaused
		feature.Message = "nothing is changed; remove the annotation " + naming.AnnotationPaused + " to go on"
	}

	return feature
}

func (p *planner) hibernated() Feature {
	feature := Feature{Type: v1.ConditionHibernated}
	if !p.hibernating() {
		return feature
	}

	if len(p.Pods) == 0 {
		feature.True, feature.Reason, feature.Message = true, v1.ReasonHibernated, "no instance runs"

		return feature
	}

	feature.Reason, feature.Message = v1.ReasonHibernating, "instances are being stopped: "+strings.Join(sortedKeys(p.Pods), ", ")

	return feature
}

// quiet is how long nothing needs to be looked at: certificates are renewed in time, a silent instance is asked again.
func (p *planner) quiet() time.Duration {
	for _, report := range p.Reports {
		if report.Status == nil {
			return afterSilence
		}
	}

	if p.Certificates.RenewAt.IsZero() {
		return afterQuiet
	}

	return max(time.Second, min(afterQuiet, p.Certificates.RenewAt.Sub(p.Now)))
}
