package decide_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/cluster/decide"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

const (
	image17   = "postgres:17.5"
	image17b  = "postgres:17.6"
	clusterID = "11111111-2222-3333-4444-555555555555"
)

// world is a Kubernetes with one Cluster in it, simple enough to be copied: what Decide asks for is done to it at once.
type world struct {
	view decide.View
	t    *testing.T
	// nonces are the requests for a restart that the PostgreSQL of each instance was started under.
	nonces map[string]string
	// mounted are the passwords that each instance finds in its files, by Secret.
	mounted map[string]map[string]string
	// isReelected: whoever hands over is elected again, since no replica has its whole log in time.
	isReelected bool
}

// mutation changes a world.
type mutation func(*world)

func newWorld(t *testing.T, mutations ...mutation) *world {
	t.Helper()

	w := &world{t: t, nonces: map[string]string{}, mounted: map[string]map[string]string{}, view: decide.View{
		Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Cluster: &v1.Cluster{
			ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "apps", UID: clusterID, Generation: 1, Annotations: map[string]string{}},
			Spec:       v1.ClusterSpec{Instances: 3, ImageName: image17, Storage: v1.StorageConfiguration{Size: "1Gi"}},
		},
		Operator:    build.Operator{Image: "caretaker.example/caretaker:1"},
		Pods:        map[string]*corev1.Pod{},
		Volumes:     map[string]*corev1.PersistentVolumeClaim{},
		SetAside:    map[string]*corev1.PersistentVolumeClaim{},
		Reports:     map[string]decide.Report{},
		Owned:       map[decide.Key]build.Object{},
		Secrets:     map[string]map[string][]byte{},
		Expandable:  map[string]bool{"fast": true},
		NewPassword: map[string]string{"db-app": "generated", "db-superuser": "generated"},
	}}

	for _, mutate := range mutations {
		mutate(w)
	}

	return w
}

// running is a Cluster of three that has come up: what one gets by letting Decide build it.
func running(w *world) {
	w.settle(40)

	if got := w.plan().Outcome.Message; got != "3 of 3 instances ready" {
		w.t.Fatalf("the Cluster did not come up: %s", got)
	}
}

func (w *world) plan() decide.Plan { return decide.Decide(w.view) }

// step is one pass: decide, do, and let Kubernetes and the instances do what they would.
func (w *world) step() decide.Plan {
	plan := w.plan()
	w.follow(plan)

	return plan
}

// follow does what a plan says.
func (w *world) follow(plan decide.Plan) {
	for _, action := range plan.Actions {
		w.do(action)
	}

	w.view.Cluster = w.view.Cluster.DeepCopy()
	w.view.Cluster.Status = plan.Status
	w.elapse()
}

// settle steps until nothing is left to do, and says whether that happened within n steps.
func (w *world) settle(n int) bool {
	for range n {
		plan := w.step()
		if len(plan.Actions) == 0 && len(w.plan().Actions) == 0 && !w.moving() {
			return true
		}
	}

	return false
}

func (w *world) moving() bool {
	for _, pod := range w.view.Pods {
		if pod.DeletionTimestamp != nil {
			return true
		}
	}

	for _, volume := range w.view.Volumes {
		if volume.DeletionTimestamp != nil {
			return true
		}
	}

	return false
}

func (w *world) do(action decide.Action) {
	switch a := action.(type) {
	case decide.CreateRecord:
		w.view.Record = a.Record.DeepCopy()
	case decide.Apply:
		w.apply(a)
	case decide.PatchMetadata:
		w.patch(a)
	case decide.Delete:
		delete(w.view.Owned, decide.Key{Kind: decide.KindOf(a.Object), Name: a.Object.GetName()})
	case decide.DeletePod:
		if pod := w.view.Pods[a.Name]; pod != nil && pod.UID == a.UID {
			w.pod(a.Name).DeletionTimestamp = &metav1.Time{Time: w.view.Now}
		}
	case decide.DeleteVolume:
		w.volume(a.Name).DeletionTimestamp = &metav1.Time{Time: w.view.Now}
	case decide.SetVolumeAside, decide.TakeVolumeBack, decide.DeleteRecord:
		w.exchange(action)
	case decide.PutConfig:
		w.report(a.Instance, func(s *instanceapi.Status) {
			s.ConfigHash, s.PasswordsHash = instanceapi.HashBytes(a.Config), w.passwordsHash(a.Instance, w.config(a.Config))
			if asked := w.config(a.Config).RestartNonce; asked != w.nonces[a.Instance] {
				s.PendingRestart = append(slices.Clone(s.PendingRestart),
					instanceapi.PendingParameter{Name: "restart requested", Running: w.nonces[a.Instance], Configured: asked})
			}
		})
	case decide.Restart:
		w.nonces[a.Instance] = w.view.Cluster.Annotations[naming.AnnotationRestart]
		w.report(a.Instance, func(s *instanceapi.Status) { s.PendingRestart, s.StartedAt = nil, new(w.view.Now) })
	case decide.Switchover:
		if w.isReelected {
			w.view.Record = w.view.Record.DeepCopy()
			w.view.Record.Spec.Term++

			return
		}

		w.handOver(a.Instance, a.TargetName)
	}
}

// exchange does what a recovery in place does to volumes and the record.
func (w *world) exchange(action decide.Action) {
	w.view.SetAside, w.view.Volumes = maps.Clone(w.view.SetAside), maps.Clone(w.view.Volumes)

	switch a := action.(type) {
	case decide.SetVolumeAside:
		volume := w.volume(a.Name)
		volume.Labels[naming.LabelSetAside], volume.Annotations[naming.AnnotationSetAsideRecord], volume.OwnerReferences = a.ID, a.Record, nil
		w.view.SetAside[a.Name] = volume
		delete(w.view.Volumes, a.Name)
	case decide.TakeVolumeBack:
		volume := w.view.SetAside[a.Name].DeepCopy()
		delete(volume.Labels, naming.LabelSetAside)
		w.view.Volumes[a.Name] = volume
		delete(w.view.SetAside, a.Name)
	default:
		w.view.Record = nil
	}
}

// handOver makes another voter the primary, if there is one; the old one's PostgreSQL is started again as a standby.
func (w *world) handOver(from, to string) {
	if w.view.Record == nil || w.view.Record.Spec.Primary == nil || w.view.Record.Spec.Primary.Name != from {
		return
	}

	for _, name := range slices.Sorted(maps.Keys(w.view.Pods)) {
		volume := w.view.Volumes[name]
		if name == from || volume == nil || to != "" && name != to || w.view.Pods[name].DeletionTimestamp != nil ||
			!slices.Contains(w.view.Record.Spec.Voters, memberID(volume)) {
			continue
		}

		w.view.Record = w.view.Record.DeepCopy()
		w.view.Record.Spec.Term++
		w.view.Record.Spec.Voters = nil
		w.view.Record.Spec.Primary = &v1.TermHolder{MemberID: memberID(volume), Name: name}
		w.report(from, func(s *instanceapi.Status) { s.PendingRestart, s.StartedAt = nil, new(w.view.Now) })

		return
	}
}

func (w *world) config(encoded []byte) instanceapi.Config {
	w.t.Helper()

	var config instanceapi.Config
	if err := json.Unmarshal(encoded, &config); err != nil {
		w.t.Fatalf("the configuration: %v", err)
	}

	return config
}

// mount is what the kubelet does when a pod starts, or changes.
func (w *world) mount(name string) {
	files := map[string]string{}

	for _, secret := range []string{"db-app", "db-superuser"} {
		if found, ok := w.view.Owned[decide.Key{Kind: "Secret", Name: secret}].(*corev1.Secret); ok {
			files[secret] = string(found.Data["password"])
		}
	}

	w.mounted = maps.Clone(w.mounted)
	w.mounted[name] = files
}

// passwordsHash is of what a primary has in force.
func (w *world) passwordsHash(name string, config instanceapi.Config) string {
	passwords := map[string]string{"app": w.mounted[name]["db-app"], "postgres": ""}
	if config.SuperuserAccess {
		passwords["postgres"] = w.mounted[name]["db-superuser"]
	}

	return instanceapi.HashPasswords(passwords)
}

func (w *world) apply(a decide.Apply) {
	w.t.Helper()

	switch object := a.Object.(type) {
	case *corev1.Pod:
		if w.view.Pods[object.Name] != nil {
			w.t.Fatalf("pod %s is applied though it exists", object.Name)
		}

		w.view.Pods = maps.Clone(w.view.Pods)
		pod := object.DeepCopy()
		pod.UID = types.UID(fmt.Sprintf("%s-%d", object.Name, w.view.Now.UnixNano()))
		w.view.Pods[object.Name] = pod
	case *corev1.PersistentVolumeClaim:
		w.view.Volumes = maps.Clone(w.view.Volumes)
		volume := object.DeepCopy()

		if live := w.view.Volumes[object.Name]; live != nil {
			volume.UID, volume.Status = live.UID, live.Status
		} else {
			volume.UID = types.UID(fmt.Sprintf("%s-%d", object.Name, w.view.Now.UnixNano()))
		}

		w.view.Volumes[object.Name] = volume
	default:
		w.view.Owned = maps.Clone(w.view.Owned)
		w.view.Owned[decide.Key{Kind: decide.KindOf(object), Name: object.GetName()}] = object
	}
}

func (w *world) patch(a decide.PatchMetadata) {
	var object metav1.Object

	switch live := a.Object.(type) {
	case *corev1.Pod:
		object = w.pod(live.Name)

		if a.Annotations[naming.AnnotationMounts] != "" {
			w.mount(live.Name)

			config, _ := w.view.Owned[decide.Key{Kind: "ConfigMap", Name: "db-postgresql"}].(*corev1.ConfigMap)
			hash := w.passwordsHash(live.Name, w.config([]byte(config.Data[instanceapi.ConfigKey])))
			w.report(live.Name, func(s *instanceapi.Status) { s.PasswordsHash = hash })
		}
	case *v1.ClusterTerm:
		w.view.Record = w.view.Record.DeepCopy()
		object = w.view.Record
	default:
		w.t.Fatalf("metadata of a %T is patched", a.Object)
	}

	labels, annotations := maps.Clone(object.GetLabels()), maps.Clone(object.GetAnnotations())
	maps.Copy(labels, a.Labels)

	if annotations == nil {
		annotations = map[string]string{}
	}

	maps.Copy(annotations, a.Annotations)
	object.SetLabels(labels)
	object.SetAnnotations(annotations)
	object.SetOwnerReferences(a.OwnerReferences)
}

// pod, volume and report give a copy to change.
func (w *world) pod(name string) *corev1.Pod {
	w.view.Pods = maps.Clone(w.view.Pods)
	w.view.Pods[name] = w.view.Pods[name].DeepCopy()

	return w.view.Pods[name]
}

func (w *world) volume(name string) *corev1.PersistentVolumeClaim {
	w.view.Volumes = maps.Clone(w.view.Volumes)
	w.view.Volumes[name] = w.view.Volumes[name].DeepCopy()

	return w.view.Volumes[name]
}

func (w *world) report(name string, change func(*instanceapi.Status)) {
	w.view.Reports = maps.Clone(w.view.Reports)

	status := instanceapi.Status{}
	if old := w.view.Reports[name].Status; old != nil {
		status = *old
	}

	change(&status)
	w.view.Reports[name] = decide.Report{Status: &status}
}

// elapse is a moment: what leaves is gone, what was made runs, and the instances do as package instance does.
func (w *world) elapse() {
	w.view.Now = w.view.Now.Add(time.Second)

	for _, name := range slices.Sorted(maps.Keys(w.view.Pods)) {
		if w.view.Pods[name].DeletionTimestamp != nil {
			w.handOver(name, "")
			w.view.Pods, w.view.Reports = maps.Clone(w.view.Pods), maps.Clone(w.view.Reports)
			delete(w.view.Pods, name)
			delete(w.view.Reports, name)
		}
	}

	for _, name := range slices.Sorted(maps.Keys(w.view.Volumes)) {
		volume := w.view.Volumes[name]
		if volume.DeletionTimestamp != nil && w.view.Pods[name] == nil {
			w.view.Volumes = maps.Clone(w.view.Volumes)
			delete(w.view.Volumes, name)

			continue
		}

		changed := w.volume(name)
		changed.Status.Phase = corev1.ClaimBound
		changed.Status.Capacity = changed.Spec.Resources.Requests
	}

	for _, name := range slices.Sorted(maps.Keys(w.view.Pods)) {
		w.live(name)
	}
}

// live lets an instance take its next step.
func (w *world) live(name string) {
	pod, volume := w.view.Pods[name], w.view.Volumes[name]
	if volume == nil || w.view.Record == nil || isStuck(pod) {
		return
	}

	record := w.view.Record.Spec

	// A primary that serves writes a record again that was lost.
	report := w.view.Reports[name].Status
	served := report != nil && report.PodUID == string(pod.UID) && report.Role == instanceapi.RolePrimary
	leads := record.Primary != nil && record.Primary.Name == name ||
		record.Primary == nil && (record.Bootstrap == name || record.Bootstrap == "" && served)

	if leads && !record.Established {
		w.view.Record = w.view.Record.DeepCopy()
		w.view.Record.Spec = v1.ClusterTermSpec{
			Term: 1, Bootstrap: record.Bootstrap, Established: true, SystemID: "42", Timeline: 1,
			Primary: &v1.TermHolder{MemberID: memberID(volume), Name: name, PodUID: string(pod.UID)},
		}
		if first := record.Pending; first != nil {
			w.view.Record.Spec.Term, w.view.Record.Spec.Timeline, w.view.Record.Spec.Seq = first.Term, first.Timeline, record.Seq
		}
	}

	// A term that was asked for: whoever led is elected again.
	if asked := w.view.Record.Spec.Pending; leads && asked != nil {
		w.view.Record = w.view.Record.DeepCopy()
		w.view.Record.Spec.Term, w.view.Record.Spec.Timeline, w.view.Record.Spec.Pending = asked.Term, asked.Timeline, nil
	}

	role := instanceapi.RoleReplica
	if leads {
		role = instanceapi.RolePrimary
	}

	established := w.view.Record.Spec.Established
	changed := w.pod(name)
	changed.Spec.NodeName = "node"
	changed.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: "10.0.0.1",
		Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: conditionStatus(established)}},
		ContainerStatuses: []corev1.ContainerStatus{{Name: "postgres", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}},
	}
	config, _ := w.view.Owned[decide.Key{Kind: "ConfigMap", Name: "db-postgresql"}].(*corev1.ConfigMap)

	if leads && config != nil {
		w.electVoters(name, config)
	}

	w.report(name, func(s *instanceapi.Status) {
		if s.PodUID != string(pod.UID) && config != nil {
			s.ConfigHash = instanceapi.HashBytes([]byte(config.Data[instanceapi.ConfigKey]))
			w.mount(name)
			s.StartedAt = new(w.view.Now)

			parsed := w.config([]byte(config.Data[instanceapi.ConfigKey]))
			w.nonces[name], s.PasswordsHash = parsed.RestartNonce, w.passwordsHash(name, parsed)
		}

		s.Instance, s.PodUID, s.MemberID, s.Role = name, string(pod.UID), memberID(volume), role
		s.State, s.Ready, s.Version, s.Major = instanceapi.StateRunning, established, "17.5", 17
	})
}

// electVoters makes the primary's peers that run its voters.
func (w *world) electVoters(primary string, config *corev1.ConfigMap) {
	var wanted instanceapi.Config
	if err := json.Unmarshal([]byte(config.Data[instanceapi.ConfigKey]), &wanted); err != nil {
		w.t.Fatal(err)
	}

	w.view.Record = w.view.Record.DeepCopy()
	w.view.Record.Spec.Voters, w.view.Record.Spec.Acks = nil, int32(wanted.HA.Acks)

	for _, peer := range wanted.Members {
		if peer != primary && w.view.Pods[peer] != nil && w.view.Volumes[peer] != nil && !isStuck(w.view.Pods[peer]) {
			w.view.Record.Spec.Voters = append(w.view.Record.Spec.Voters, memberID(w.view.Volumes[peer]))
		}
	}
}

func isStuck(pod *corev1.Pod) bool {
	image := ""

	for _, container := range pod.Spec.Containers {
		image = container.Image
	}

	return strings.Contains(image, "missing") || pod.Status.Phase == corev1.PodFailed
}

func memberID(volume *corev1.PersistentVolumeClaim) string { return "member-of-" + string(volume.UID) }

func conditionStatus(holds bool) corev1.ConditionStatus { //nolint:revive // a fact, not a mode
	if holds {
		return corev1.ConditionTrue
	}

	return corev1.ConditionFalse
}

// printed are the actions of a plan as people read them.
func printed(plan decide.Plan) []string {
	var lines []string
	for _, action := range plan.Actions {
		lines = append(lines, action.String())
	}

	return lines
}

func setParameter(name, value string) mutation {
	return func(w *world) {
		w.view.Cluster = w.view.Cluster.DeepCopy()
		if w.view.Cluster.Spec.PostgreSQL.Parameters == nil {
			w.view.Cluster.Spec.PostgreSQL.Parameters = map[string]string{}
		}

		w.view.Cluster.Spec.PostgreSQL.Parameters[name] = value
	}
}

func spec(change func(*v1.ClusterSpec)) mutation {
	return func(w *world) {
		w.view.Cluster = w.view.Cluster.DeepCopy()
		w.view.Cluster.Generation++
		change(&w.view.Cluster.Spec)
	}
}

func annotate(key, value string) mutation {
	return func(w *world) {
		w.view.Cluster = w.view.Cluster.DeepCopy()
		w.view.Cluster.Annotations[key] = value
	}
}

func loseVolume(name string) mutation {
	return func(w *world) {
		w.view.Volumes = maps.Clone(w.view.Volumes)
		delete(w.view.Volumes, name)
	}
}

func losePod(name string) mutation {
	return func(w *world) {
		w.view.Pods, w.view.Reports = maps.Clone(w.view.Pods), maps.Clone(w.view.Reports)
		delete(w.view.Pods, name)
		delete(w.view.Reports, name)
	}
}

func unready(name string) mutation {
	return func(w *world) {
		if w.view.Pods[name] == nil {
			return
		}

		w.pod(name).Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}
	}
}

func silent(since time.Duration, names ...string) mutation {
	return func(w *world) {
		w.view.Reports = maps.Clone(w.view.Reports)
		for _, name := range names {
			w.view.Reports[name] = decide.Report{Error: "timeout", SilentSince: w.view.Now.Add(-since)}
		}
	}
}

func pendingRestart(name, parameter, from, to string) mutation {
	return func(w *world) {
		if w.view.Reports[name].Status == nil {
			return
		}

		w.report(name, func(s *instanceapi.Status) {
			s.PendingRestart = append(slices.Clone(s.PendingRestart), instanceapi.PendingParameter{Name: parameter, Running: from, Configured: to})
		})
	}
}

func storageClass(name string) mutation {
	return func(w *world) {
		for volume := range w.view.Volumes {
			w.volume(volume).Spec.StorageClassName = &name
		}
	}
}

func quantity(s string) resource.Quantity { return resource.MustParse(s) }

// copy is a view that can be changed without the original noticing.
func (w *world) copy() decide.View {
	view := w.view
	view.Cluster = w.view.Cluster.DeepCopy()
	view.Pods, view.Volumes = maps.Clone(w.view.Pods), maps.Clone(w.view.Volumes)
	view.Reports, view.Owned = maps.Clone(w.view.Reports), maps.Clone(w.view.Owned)

	return view
}
