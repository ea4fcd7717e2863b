package plugin

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// API is what the commands ask of Kubernetes.
type API interface {
	ClusterReader

	// Annotate sets an annotation of a Cluster.
	Annotate(ctx context.Context, key types.NamespacedName, name, value string) error
	// Live asks an instance for its own status.
	Live(ctx context.Context, namespace, pod string) (instanceapi.Status, error)
}

// View is everything that `status` shows, and what it prints as JSON or YAML.
type View struct {
	Cluster   string `json:"cluster"`
	Namespace string `json:"namespace"`
	// Health in one word, Summary in one sentence.
	Health  Health `json:"health"`
	Summary string `json:"summary"`
	// Doubts are why what the Cluster holds could be lost; empty if it is protected, or asks for no protection.
	Doubts []string `json:"doubts,omitempty"`

	Primary    string `json:"primary,omitempty"`
	Term       int64  `json:"term,omitempty"`
	TimelineID int64  `json:"timelineID,omitempty"`
	// Version and Image of PostgreSQL.
	Version string `json:"version,omitempty"`
	Image   string `json:"image,omitempty"`
	// Commits says what must have a commit before it is acknowledged.
	Commits string `json:"commits,omitempty"`

	Instances []Instance `json:"instances"`

	// Archive is how far WAL has reached the archive, Backups what can be recovered; nil if there is none.
	Archive *Archive          `json:"archive,omitempty"`
	Backups *v1.BackupsStatus `json:"backups,omitempty"`

	// Recovered is what the Cluster was made of, InPlace its last recovery in place, and SetAside the volumes of before.
	Recovered *v1.RecoveryStatus       `json:"recovered,omitempty"`
	InPlace   *v1.RecoverInPlaceStatus `json:"recoverInPlace,omitempty"`
	SetAside  []v1.SetAsideStatus      `json:"setAside,omitempty"`

	LastFailover   *v1.FailoverStatus     `json:"lastFailover,omitempty"`
	LastSwitchover *v1.SwitchoverStatus   `json:"lastSwitchover,omitempty"`
	Certificates   []v1.CertificateStatus `json:"certificates,omitempty"`
	PendingRestart []string               `json:"pendingRestart,omitempty"`
	// Unwell are the conditions that are not as they should be.
	Unwell []metav1.Condition `json:"unwell,omitempty"`
	// Notes are about this view itself, such as numbers that could not be had.
	Notes []string `json:"notes,omitempty"`
	// Next is what to do next; empty if nothing needs to be done.
	Next []Advice `json:"next,omitempty"`
}

// Instance is one row of the table.
type Instance struct {
	Name  string `json:"name"`
	Role  string `json:"role,omitempty"`
	Ready bool   `json:"ready"`
	State string `json:"state,omitempty"`
	// Message says what is wrong or waited for.
	Message   string       `json:"message,omitempty"`
	Node      string       `json:"node,omitempty"`
	SyncState string       `json:"syncState,omitempty"`
	Streaming *metav1.Time `json:"streaming,omitempty"`
	Version   string       `json:"version,omitempty"`
	// FlushLagBytes and the others are as the primary sees them.
	FlushLagBytes    *int64   `json:"flushLagBytes,omitempty"`
	ReplayLagBytes   *int64   `json:"replayLagBytes,omitempty"`
	ReplayLagSeconds *float64 `json:"replayLagSeconds,omitempty"`
	// Log, Disk and Protocol are the instance's own words; nil if it was not asked or did not answer.
	Log      *instanceapi.Log      `json:"log,omitempty"`
	Disk     *instanceapi.Disk     `json:"disk,omitempty"`
	Protocol *instanceapi.Protocol `json:"protocol,omitempty"`
}

// answer of an instance.
type answer struct {
	status instanceapi.Status
	err    error
}

// Gather reads a Cluster and asks its instances.
func Gather(ctx context.Context, api API, key types.NamespacedName, clk clock.PassiveClock) (View, error) {
	cluster, err := find(ctx, api, key)
	if err != nil {
		return View{}, err
	}

	answers := ask(ctx, api, cluster)

	return viewOf(cluster, answers, clk.Now()), nil
}

// ask asks all instances at the same time.
func ask(ctx context.Context, api API, cluster *v1.Cluster) map[string]answer {
	var (
		mu      sync.Mutex
		group   sync.WaitGroup
		answers = map[string]answer{}
	)

	for _, member := range cluster.Status.Members {
		if member.Role == "" && member.State == "" && member.Node == "" {
			continue // it has no pod
		}

		group.Go(func() {
			status, err := api.Live(ctx, cluster.Namespace, member.Name)

			mu.Lock()
			defer mu.Unlock()

			answers[member.Name] = answer{status, err}
		})
	}

	group.Wait()

	return answers
}

// viewOf is pure.
func viewOf(cluster *v1.Cluster, answers map[string]answer, now time.Time) View {
	status := cluster.Status
	view := View{
		Cluster: cluster.Name, Namespace: cluster.Namespace,
		Primary: status.Primary, Term: status.Term, TimelineID: status.TimelineID,
		Version: status.Version, Image: status.Image,
		Recovered: status.Recovery, InPlace: status.RecoverInPlace, SetAside: status.SetAside,
		LastFailover: status.LastFailover, LastSwitchover: status.LastSwitchover,
		Certificates: status.Certificates, PendingRestart: status.PendingRestart,
		Instances: []Instance{}, Unwell: unwell(status.Conditions),
	}

	for _, member := range status.Members {
		view.Instances = append(view.Instances, instanceOf(member, answers))
	}

	view.doubtSilent(answers)
	view.trustPrimary(answers)
	view.addReplication(answers)
	view.Archive, view.Backups = archiveOf(cluster, answers, now), status.Backups
	view.Notes = notes(cluster, answers)
	view.Commits = commits(cluster, answers)
	view.Doubts = doubts(cluster, view, now)
	view.Health, view.Summary = summarize(cluster, view)
	view.Health, view.Summary = withDoubts(view.Health, view.Summary, view.Doubts)
	view.Next = advice(cluster, view, now)

	return view
}

func instanceOf(member v1.MemberStatus, answers map[string]answer) Instance {
	instance := Instance{
		Name: member.Name, Role: string(member.Role), Ready: member.Ready, State: member.State, Message: member.Message,
		Node: member.Node, SyncState: member.SyncState, Streaming: member.Streaming, Version: member.Version,
	}

	if live, ok := answers[member.Name]; ok && live.err == nil {
		instance.Log, instance.Disk, instance.Protocol = live.status.Log, live.status.Disk, live.status.Protocol
		// It knows better than what the operator saw last.
		instance.Ready, instance.State, instance.Message = live.status.Ready, string(live.status.State), live.status.Message

		if live.status.Role != "" {
			instance.Role = string(live.status.Role)
		}
	}

	return instance
}

// trustPrimary goes by an instance that leads now, where the Cluster's status names another: the operator has not seen it
// yet. Whoever does not answer is then not known to serve.
func (v *View) trustPrimary(answers map[string]answer) {
	for name, live := range answers {
		if live.err != nil || live.status.Role != instanceapi.RolePrimary || !live.status.Ready || name == v.Primary {
			continue
		}

		v.Primary, v.Term, v.TimelineID = name, live.status.Term, live.status.TimelineID

		for i := range v.Instances {
			instance := &v.Instances[i]

			switch {
			case instance.Name == name:
				instance.SyncState, instance.Streaming = "", nil // it had them as a replica
			case answers[instance.Name].err != nil:
				*instance = Instance{Name: instance.Name, Node: instance.Node, State: unknown, Message: "it does not answer"}
			}
		}

		return
	}
}

// addReplication takes over what the primary sees of its replicas.
func (v *View) addReplication(answers map[string]answer) {
	for _, live := range answers {
		if live.err != nil || live.status.Role != instanceapi.RolePrimary {
			continue
		}

		for _, replica := range live.status.Replicas {
			for i := range v.Instances {
				if instance := &v.Instances[i]; instance.Name == replica.Instance {
					instance.SyncState = replica.SyncState
					instance.FlushLagBytes, instance.ReplayLagBytes = replica.FlushLagBytes, replica.ReplayLagBytes
					instance.ReplayLagSeconds = replica.ReplayLagSeconds
				}
			}
		}
	}
}

// unwell are the conditions that are not as they should be, the summary's own aside.
func unwell(conditions []metav1.Condition) []metav1.Condition {
	var found []metav1.Condition

	stalled := meta.FindStatusCondition(conditions, v1.ConditionStalled)

	for _, condition := range conditions {
		switch condition.Type {
		case v1.ConditionReady, v1.ConditionReconciling, v1.ConditionStalled, v1.ConditionHibernated, v1.ConditionPaused:
			continue // the summary says it
		}

		// The volume of a primary that is full stalls the Cluster with the same words.
		if condition.Status == metav1.ConditionFalse && (stalled == nil || stalled.Reason != condition.Reason) {
			found = append(found, condition)
		}
	}

	return found
}

// notes are about what is shown: numbers that are missing, and a status that the operator has not brought up to date.
func notes(cluster *v1.Cluster, answers map[string]answer) []string {
	var found []string

	refused := false

	for _, member := range cluster.Status.Members {
		live, asked := answers[member.Name]

		switch {
		case !asked:
		case errors.Is(live.err, ErrNoRight):
			refused = true
		case live.err != nil:
			found = append(found, "No live numbers of "+member.Name+": "+live.err.Error()+".")
		case live.status.Role == instanceapi.RolePrimary && live.status.Ready && member.Name != cluster.Status.Primary:
			found = append(found, member.Name+" says that it leads, the Cluster's status names "+cluster.Status.Primary+
				": the operator has not seen it yet, or is not running.")
		}
	}

	if refused {
		found = append(found, "No live numbers (lag, disk): "+ErrNoRight.Error()+".")
	}

	return found
}

// condition is nil if there is none of that type.
func condition(cluster *v1.Cluster, name string) *metav1.Condition {
	return meta.FindStatusCondition(cluster.Status.Conditions, name)
}

func isTrue(cluster *v1.Cluster, name string) bool {
	return meta.IsStatusConditionTrue(cluster.Status.Conditions, name)
}
