package machine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// SystemID is the system identifier of every database that is initialized here.
const SystemID = "7000000000000000001"

// Machine is what a namespace's pods run on.
type Machine struct {
	client    client.Client
	namespace string
	clock     clock.PassiveClock

	mu sync.Mutex
	// instances that run, by pod name.
	instances map[string]*instance
	// members by the UID of the volume they live on, and how many volumes of a name there have been.
	members map[types.UID]string
	volumes map[string]int
	// images that cannot be pulled.
	missing map[string]bool
	// down pods never become ready.
	down map[string]bool
	// handOver is who was asked to hand over, and to whom.
	handOver map[string]string
	// restarts in their order.
	restarts []string
	// recovered is what instances made their data from, failRecovery whether they fail to.
	recovered    map[string]instanceapi.Recovery
	failRecovery bool
}

// New makes a Machine for a namespace.
func New(c client.Client, namespace string, clk clock.PassiveClock) *Machine {
	return &Machine{
		client: c, namespace: namespace, clock: clk,
		instances: map[string]*instance{}, members: map[types.UID]string{}, volumes: map[string]int{},
		missing: map[string]bool{}, down: map[string]bool{}, handOver: map[string]string{},
		recovered: map[string]instanceapi.Recovery{},
	}
}

// FailRecovery has recoveries fail, or end again.
func (m *Machine) FailRecovery(fail bool) {
	m.mu.Lock()
	defer m.mu.Unlock()

	m.failRecovery = fail
}

// Recovered is what an instance was asked to recover when it made its data.
func (m *Machine) Recovered(name string) instanceapi.Recovery {
	m.mu.Lock()
	defer m.mu.Unlock()

	return m.recovered[name]
}

// LoseImage makes an image one that cannot be pulled.
func (m *Machine) LoseImage(image string) {
	m.mu.Lock()
	defer m.mu.Unlock()

	m.missing[image] = true
}

// Down keeps an instance from becoming ready, or lets it again.
func (m *Machine) Down(name string, down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()

	m.down[name] = down
}

// Restarts are the instances whose PostgreSQL was restarted, in order.
func (m *Machine) Restarts() []string {
	m.mu.Lock()
	defer m.mu.Unlock()

	return append([]string{}, m.restarts...)
}

// Turn moves everything one step on; false if nothing was left to do.
func (m *Machine) Turn(ctx context.Context) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()

	seen, err := m.look(ctx)
	if err != nil {
		return false, err
	}

	moved := false

	for _, step := range []func(context.Context, *view) (bool, error){m.collect, m.provision, m.run, m.lead} {
		did, err := step(ctx, seen)
		if err != nil {
			return false, err
		}

		moved = moved || did
	}

	return moved, nil
}

// view is what there is at the beginning of a turn. What has changed since is a conflict, and the next turn's business.
type view struct {
	pods    map[string]*corev1.Pod
	volumes map[string]*corev1.PersistentVolumeClaim
	records []postgresqlv1.ClusterTerm
}

func (m *Machine) look(ctx context.Context) (*view, error) {
	var (
		pods    corev1.PodList
		volumes corev1.PersistentVolumeClaimList
		records postgresqlv1.ClusterTermList
	)

	for _, list := range []client.ObjectList{&pods, &volumes, &records} {
		if err := m.client.List(ctx, list, client.InNamespace(m.namespace)); err != nil {
			return nil, fmt.Errorf("list %T: %w", list, err)
		}
	}

	seen := &view{pods: map[string]*corev1.Pod{}, volumes: map[string]*corev1.PersistentVolumeClaim{}, records: records.Items}

	for i := range pods.Items {
		if pod := &pods.Items[i]; pod.Labels[naming.LabelInstance] != "" {
			seen.pods[pod.Name] = pod
		}
	}

	for i := range volumes.Items {
		seen.volumes[volumes.Items[i].Name] = &volumes.Items[i]
	}

	return seen, nil
}

// collect finishes deletions: a kubelet that has stopped a pod, a volume that no pod uses.
func (m *Machine) collect(ctx context.Context, seen *view) (bool, error) {
	moved := false

	for name, pod := range seen.pods {
		if pod.DeletionTimestamp == nil {
			continue
		}

		err := m.client.Delete(ctx, pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &pod.UID})
		if client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("finish pod %s: %w", name, err)
		}

		delete(seen.pods, name)

		moved = true
	}

	for name := range m.instances {
		if seen.pods[name] == nil {
			delete(m.instances, name)

			moved = true
		}
	}

	for name, volume := range seen.volumes {
		if volume.DeletionTimestamp == nil || seen.pods[name] != nil {
			continue
		}

		volume.Finalizers = nil
		if err := m.client.Update(ctx, volume); client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("release volume %s: %w", name, err)
		}

		delete(seen.volumes, name)

		moved = true
	}

	return moved, nil
}

// provision binds volume claims and grows them.
func (m *Machine) provision(ctx context.Context, seen *view) (bool, error) {
	moved := false

	for name, volume := range seen.volumes {
		asked, has := volume.Spec.Resources.Requests[corev1.ResourceStorage], volume.Status.Capacity[corev1.ResourceStorage]

		if volume.DeletionTimestamp != nil || volume.Status.Phase == corev1.ClaimBound && has.Cmp(asked) >= 0 {
			continue
		}

		if volume.Spec.VolumeName == "" {
			volume.Spec.VolumeName = "pv-" + name
			if err := m.client.Update(ctx, volume); err != nil {
				return false, fmt.Errorf("bind volume %s: %w", name, err)
			}
		}

		volume.Status.Phase = corev1.ClaimBound
		volume.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: asked}

		if err := m.client.Status().Update(ctx, volume); err != nil {
			return false, fmt.Errorf("bind volume %s: %w", name, err)
		}

		moved = true
	}

	return moved, nil
}

// run schedules and starts pods.
func (m *Machine) run(ctx context.Context, seen *view) (bool, error) {
	moved := false

	for name, pod := range seen.pods {
		did, err := m.runPod(ctx, pod, seen.volumes[name])
		if err != nil {
			return false, fmt.Errorf("run pod %s: %w", name, err)
		}

		moved = moved || did
	}

	return moved, nil
}

// runPod moves a pod on; without its volume it stays pending.
func (m *Machine) runPod(ctx context.Context, pod *corev1.Pod, volume *corev1.PersistentVolumeClaim) (bool, error) {
	if volume == nil || volume.Status.Phase != corev1.ClaimBound || volume.DeletionTimestamp != nil {
		return false, nil
	}

	if pod.Spec.NodeName == "" {
		binding := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: "node-" + ordinal(pod.Name)}}
		if err := m.client.SubResource("binding").Create(ctx, pod, binding); err != nil {
			return false, fmt.Errorf("bind: %w", err)
		}

		// The kubelet sees it in its next turn.
		return true, nil
	}

	running, started, err := m.start(ctx, pod, volume)
	if err != nil {
		return false, err
	}

	changed, err := m.reportPod(ctx, pod, running)

	return started || changed, err
}

// start PID 1 of a pod, if its image can be pulled.
func (m *Machine) start(ctx context.Context, pod *corev1.Pod, volume *corev1.PersistentVolumeClaim) (*instance, bool, error) {
	if m.missing[pod.Spec.Containers[0].Image] {
		return nil, false, nil
	}

	if running := m.instances[pod.Name]; running != nil && running.podUID == pod.UID {
		return running, false, nil
	}

	member, known := m.members[volume.UID]
	if !known {
		m.volumes[volume.Name]++
		member = fmt.Sprintf("%s.%d", volume.Name, m.volumes[volume.Name])
		m.members[volume.UID] = member
	}

	running := &instance{
		name: pod.Name, podUID: pod.UID, member: member, fresh: !known,
		version: versionOf(pod.Spec.Containers[0].Image), started: m.clock.Now(),
	}
	if err := m.configure(ctx, pod, running); err != nil {
		return nil, false, err
	}

	m.instances[pod.Name] = running

	return running, true, nil
}

// reportPod writes what a kubelet would write of a pod.
func (m *Machine) reportPod(ctx context.Context, pod *corev1.Pod, running *instance) (bool, error) {
	ready := corev1.ConditionFalse
	if running != nil && running.serves && !m.down[pod.Name] {
		ready = corev1.ConditionTrue
	}

	want := corev1.PodStatus{
		Phase: corev1.PodPending,
		PodIP: "10.0.0." + ordinal(pod.Name), PodIPs: []corev1.PodIP{{IP: "10.0.0." + ordinal(pod.Name)}},
		Conditions:        []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: ready}},
		ContainerStatuses: []corev1.ContainerStatus{{Name: pod.Spec.Containers[0].Name, Image: pod.Spec.Containers[0].Image}},
	}

	container := &want.ContainerStatuses[0]
	if running == nil {
		container.State.Waiting = &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "not found"}
	} else {
		want.Phase, container.Ready = corev1.PodRunning, ready == corev1.ConditionTrue
		container.State.Running = &corev1.ContainerStateRunning{}
	}

	if samePodStatus(pod.Status, want) {
		return false, nil
	}

	pod.Status = want
	if err := m.client.Status().Update(ctx, pod); err != nil {
		return false, fmt.Errorf("report: %w", err)
	}

	return true, nil
}

func samePodStatus(a, b corev1.PodStatus) bool {
	if a.Phase != b.Phase || len(a.Conditions) != len(b.Conditions) || len(a.ContainerStatuses) != len(b.ContainerStatuses) {
		return false
	}

	for i := range a.Conditions {
		if a.Conditions[i].Status != b.Conditions[i].Status {
			return false
		}
	}

	return (a.ContainerStatuses[0].State.Waiting == nil) == (b.ContainerStatuses[0].State.Waiting == nil)
}

// lead is PID 1's part in the term record: the bootstrap instance initializes, the primary keeps its pod's UID current,
// and whoever runs knows its role from there.
func (m *Machine) lead(ctx context.Context, seen *view) (bool, error) {
	moved := false

	for i := range seen.records {
		record := &seen.records[i]

		wrote, err := m.writeRecord(ctx, record)
		if err != nil {
			return false, err
		}

		labelled, err := m.follow(ctx, record, seen)
		if err != nil {
			return false, err
		}

		moved = moved || wrote || labelled
	}

	return moved, nil
}

func (m *Machine) writeRecord(ctx context.Context, record *postgresqlv1.ClusterTerm) (bool, error) {
	spec := &record.Spec

	switch leader := m.instances[leaderOf(record)]; {
	case leader == nil:
		return false, nil
	case spec.Term == 0 && m.failRecovery:
		moved := leader.failed == ""
		leader.failed = "the recovery did not reach its target"

		return moved, nil
	case spec.Term == 0:
		if asked := leader.configured.Bootstrap.Recovery; asked != nil {
			m.recovered[leader.name] = *asked
		}

		spec.Term, spec.Timeline, spec.Established, spec.SystemID = 1, 1, true, SystemID
		if first := spec.Pending; first != nil {
			spec.Term, spec.Timeline, spec.Pending = first.Term, first.Timeline, nil
		}

		spec.Primary = &postgresqlv1.TermHolder{MemberID: leader.member, Name: leader.name, PodUID: string(leader.podUID)}
		leader.fresh = false
	case spec.Primary.MemberID != leader.member:
		return false, nil
	case spec.Pending != nil:
		// A term was asked for: whoever led is elected again.
		spec.Term, spec.Timeline, spec.Pending = spec.Pending.Term, spec.Pending.Timeline, nil
		spec.Primary.PodUID = string(leader.podUID)
	case m.handsOver(spec, leader):
	case spec.Primary.PodUID != string(leader.podUID) || !slices.Equal(spec.Voters, m.voters(leader)):
		spec.Primary.PodUID, spec.Voters = string(leader.podUID), m.voters(leader)
	default:
		return false, nil
	}

	if err := m.client.Update(ctx, record); err != nil {
		return false, fmt.Errorf("write term record: %w", err)
	}

	return true, nil
}

// voters are the members that follow a leader, by its configuration.
func (m *Machine) voters(leader *instance) []string {
	var found []string

	for _, name := range leader.configured.Members {
		if i := m.instances[name]; i != nil && i != leader && i.serves {
			found = append(found, i.member)
		}
	}

	return found
}

// handsOver makes another voter the primary, if the leader was asked to hand over. Its own PostgreSQL is started again.
func (m *Machine) handsOver(spec *postgresqlv1.ClusterTermSpec, leader *instance) bool {
	target, asked := m.handOver[leader.name]
	delete(m.handOver, leader.name)

	if !asked {
		return false
	}

	for _, name := range leader.configured.Members {
		i := m.instances[name]
		if i == nil || !slices.Contains(spec.Voters, i.member) || target != "" && i.member != target {
			continue
		}

		spec.Term, spec.Timeline = spec.Term+1, spec.Timeline+1
		spec.Primary = &postgresqlv1.TermHolder{MemberID: i.member, Name: i.name, PodUID: string(i.podUID)}
		spec.Voters = nil
		leader.running, leader.started = leader.configured, m.clock.Now()
		m.restarts = append(m.restarts, leader.name)

		return true
	}

	return false
}

func leaderOf(record *postgresqlv1.ClusterTerm) string {
	if record.Spec.Primary != nil {
		return record.Spec.Primary.Name
	}

	return record.Spec.Bootstrap
}

// follow gives each running instance its role.
func (m *Machine) follow(ctx context.Context, record *postgresqlv1.ClusterTerm, seen *view) (bool, error) {
	if !record.Spec.Established {
		return false, nil
	}

	moved := false

	for name, running := range m.instances {
		if _, ours := naming.Ordinal(record.Name, name); !ours {
			continue
		}

		isPrimary := record.Spec.Primary.MemberID == running.member
		if !isPrimary && m.instances[leaderOf(record)] == nil && running.fresh {
			// Nobody to clone from.
			continue
		}

		running.fresh, running.serves, running.record = false, true, record.Spec

		did, err := m.label(ctx, seen.pods[name], map[bool]string{true: naming.RolePrimary, false: naming.RoleReplica}[isPrimary])
		if err != nil {
			return false, err
		}

		moved = moved || did
	}

	return moved, nil
}

func (m *Machine) label(ctx context.Context, pod *corev1.Pod, role string) (bool, error) {
	if pod == nil || pod.Labels[naming.LabelRole] == role {
		return false, nil
	}

	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, naming.LabelRole, role)
	if err := m.client.Patch(ctx, pod, client.RawPatch(types.MergePatchType, []byte(patch))); client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("label pod %s: %w", pod.Name, err)
	}

	return true, nil
}

// ordinal is the number at the end of an instance's name, from 1 on.
func ordinal(instance string) string {
	for i := len(instance) - 1; i >= 0; i-- {
		if instance[i] == '-' {
			n, _ := strconv.Atoi(instance[i+1:])

			return strconv.Itoa(n + 1)
		}
	}

	return "0"
}

// ErrSilent is what an instance that does not run answers.
var ErrSilent = errors.New("no answer")
