package mysql

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupv1 "github.com/caretaker-dev/caretaker/api/backup/v1"
	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/mysql/gtid"
	"github.com/caretaker-dev/caretaker/internal/mysqld"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/postgresql/shortform"
)

// AnnotationBeginWith on a MySQL names the member that begins the group where its rule cannot choose one.
const AnnotationBeginWith = "caretaker.dev/bootstrap-from"

const (
	// waitingInterval is how often it looks while something is under way that it would not be told of.
	waitingInterval = 10 * time.Second
	blockedInterval = time.Minute
)

// Defaults are the operator's configuration.
type Defaults struct {
	// Version for those that name none, Images by release series.
	Version string
	Images  map[string]string
	// StorageClass for those that name none; the Kubernetes cluster's own default if empty.
	StorageClass string
	// Destination of the dumps of those that name none; nil if there is none. Each database has a prefix of its own below it.
	Destination *databasev1.BackupDestination
	// OperatorImage holds PID 1's binary; PullPolicy of it.
	OperatorImage, PullPolicy string
}

// View is one snapshot of a MySQL and of what it owns.
type View struct {
	Now      time.Time
	Object   *databasev1.MySQL
	Defaults Defaults
	// Owned are its objects, without pods and volumes.
	Owned owned.Objects
	// Pods and Volumes by name.
	Pods    map[string]*corev1.Pod
	Volumes map[string]*corev1.PersistentVolumeClaim
	// Dumps is the Backup of the same name, if it is ours; nil if not.
	Dumps *backupv1.Backup
	// NewPassword gives a fresh one.
	NewPassword func() string
}

// Begin orders a member to begin the group, for the run that it told.
type Begin struct{ Pod, Run string }

func (b Begin) String() string { return b.Pod + " begins the group" }

// Plan is what is to be done, and what is to be told.
type Plan struct {
	Changes []owned.Change
	// Begin is nil if no member is to begin the group.
	Begin   *Begin
	Outcome conditions.Outcome
	// Backup is what becomes of spec.backup.
	Backup Backup
	Status databasev1.MySQLStatus
	After  time.Duration
}

func (v View) owner() owned.Owner {
	return owned.Owner{
		Object: v.Object, GVK: databasev1.GroupVersion.WithKind("MySQL"), Label: naming.LabelMySQL,
		Application: "mysql", Labels: shortform.InheritedLabels(v.Object.Labels),
	}
}

func (v View) replicas() int32 {
	if v.Object.Spec.Replicas == nil {
		return 1
	}

	return *v.Object.Spec.Replicas
}

func (v View) statefulSet() *appsv1.StatefulSet {
	live, _ := v.Owned[owned.Key{Kind: "StatefulSet", Name: v.Object.Name}].(*appsv1.StatefulSet)

	return live
}

// Decide is pure and total. What cannot be is refused before anything changes.
func Decide(v View) Plan {
	plan := Plan{Status: v.status()}

	in, problem := v.input()
	if problem != nil {
		plan.Outcome = *problem
		plan.Backup = v.backup(plan.Outcome)

		return plan
	}

	plan.Changes = v.changes(in)
	plan.Begin, plan.Outcome = v.group()
	plan.Backup = v.backup(plan.Outcome)

	if len(plan.Changes) > 0 && plan.Outcome.Kind == conditions.Done {
		plan.Outcome = conditions.Outcome{Kind: conditions.Waiting, Reason: databasev1.ReasonRollingUpdate, Message: "Waiting: applying changes"}
	}

	switch plan.Outcome.Kind {
	case conditions.Waiting:
		plan.After = waitingInterval
	case conditions.Stalled:
		plan.After = blockedInterval
	case conditions.Done, conditions.Resting:
	}

	return plan
}

// input is what the objects are made from; a database that exists keeps its version and its image.
func (v View) input() (input, *conditions.Outcome) {
	in := input{
		object: v.Object, owner: v.owner(), replicas: v.replicas(), version: v.Object.Spec.Version,
		operatorImage: v.Defaults.OperatorImage, pullPolicy: v.Defaults.PullPolicy,
		storageClass: v.Object.Spec.StorageClass, templateStorage: v.Object.Spec.Storage,
	}

	if in.storageClass == nil && v.Defaults.StorageClass != "" {
		in.storageClass = &v.Defaults.StorageClass
	}

	if live := v.statefulSet(); live != nil {
		if has := live.Annotations[annotationVersion]; has != "" {
			if in.version != "" && in.version != has {
				return in, &conditions.Outcome{Kind: conditions.Stalled, Reason: databasev1.ReasonMajorVersionChange, Message: fmt.Sprintf(
					"spec.version: the data is of MySQL %s, and a move to %s is not made by itself; set it back to \"%s\". "+
						"To move to %s, create a new MySQL and copy the data with mysqldump", has, in.version, has, in.version)}
			}

			in.version, in.image = has, live.Spec.Template.Spec.Containers[0].Image
		}

		if len(live.Spec.VolumeClaimTemplates) > 0 {
			template := live.Spec.VolumeClaimTemplates[0].Spec
			size := template.Resources.Requests[corev1.ResourceStorage]
			in.templateStorage, in.storageClass = size.String(), template.StorageClassName
		}
	}

	if in.version == "" {
		in.version = v.Defaults.Version
	}

	if in.image == "" {
		in.image = v.Defaults.Images[in.version]
	}

	if in.image == "" {
		return in, &conditions.Outcome{Kind: conditions.Stalled, Reason: databasev1.ReasonImageNotConfigured, Message: fmt.Sprintf(
			"spec.version: the operator has no image for MySQL %q; use one of %s, or add it to the chart's value mysql.images",
			in.version, strings.Join(slices.Sorted(maps.Keys(v.Defaults.Images)), ", "))}
	}

	in.app = v.password(naming.SecretApp(v.Object.Name), "password")
	in.root = v.password(secretInternal(v.Object.Name), "root-password")
	in.replication = v.password(secretInternal(v.Object.Name), "replication-password")

	return in, nil
}

// password is the one that a Secret has, or a new one.
func (v View) password(secret, key string) string {
	if live, ok := v.Owned[owned.Key{Kind: "Secret", Name: secret}].(*corev1.Secret); ok && len(live.Data[key]) > 0 {
		return string(live.Data[key])
	}

	return v.NewPassword()
}

// changes of the objects, and volumes that grow. Another operator's binary alone restarts no database.
func (v View) changes(in input) []owned.Change {
	if live := v.statefulSet(); live != nil && len(live.Spec.Template.Spec.InitContainers) > 0 {
		kept := in
		kept.operatorImage = live.Spec.Template.Spec.InitContainers[0].Image
		kept.pullPolicy = string(live.Spec.Template.Spec.InitContainers[0].ImagePullPolicy)

		if len(owned.Changes([]owned.Object{statefulSet(kept)}, owned.Objects{{Kind: "StatefulSet", Name: live.Name}: live}, nil)) == 0 {
			in = kept
		}
	}

	changes := owned.Changes(objects(in), v.Owned, nil)

	return append(changes, v.growing()...)
}

// growing are the volumes that are smaller than wanted.
func (v View) growing() []owned.Change {
	wanted, err := resource.ParseQuantity(v.Object.Spec.Storage)
	if err != nil {
		return nil // the CRD demands a quantity
	}

	var changes []owned.Change

	for _, name := range slices.Sorted(maps.Keys(v.Volumes)) {
		live := v.Volumes[name]
		if wanted.Cmp(live.Spec.Resources.Requests[corev1.ResourceStorage]) <= 0 || live.DeletionTimestamp != nil {
			continue
		}

		changes = append(changes, owned.Apply{Live: live, Object: &corev1.PersistentVolumeClaim{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"},
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: live.Namespace},
			Spec: corev1.PersistentVolumeClaimSpec{
				Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: wanted}},
			},
		}})
	}

	return changes
}

// member is a wanted member as it is.
type member struct {
	name string
	pod  *corev1.Pod
	mysqld.Member
}

func (v View) members() []member {
	var list []member

	for i := range v.replicas() {
		m := member{name: naming.Instance(v.Object.Name, int(i))}

		m.pod = v.Pods[m.name]
		if m.pod != nil {
			// What cannot be read was not said yet.
			m.Member, _ = mysqld.DecodeMember(m.pod.Annotations[mysqld.AnnotationMember])
		}

		list = append(list, m)
	}

	return list
}

func isReady(pod *corev1.Pod) bool {
	return pod != nil && pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// group says how the group stands, and who begins it if there is none:
//
//	a member is online or joining   nobody begins; the others join by themselves
//	one has not told what it has    nobody begins: it may have transactions that the others lack
//	one has all that any has        it begins; of several the first
//	none has                        nobody begins: the user chooses
//
// The user's choice (AnnotationBeginWith) stands in for the last three, as soon as that member waits.
func (v View) group() (*Begin, conditions.Outcome) {
	members := v.members()

	var waiting, silent []member

	ready, primary := 0, ""

	for _, m := range members {
		switch {
		case isReady(m.pod) && m.State == mysqld.StateOnline:
			ready++

			if m.Role == naming.RolePrimary {
				primary = m.name
			}
		case m.State == mysqld.StateWaiting:
			waiting = append(waiting, m)
		default:
			silent = append(silent, m)
		}
	}

	readiness := fmt.Sprintf("%d of %d members ready", ready, len(members))

	switch {
	case ready == len(members) && primary != "":
		return nil, conditions.Outcome{Kind: conditions.Done, Reason: databasev1.ReasonReady, Message: readiness}
	case ready > 0 && primary == "":
		return nil, wait(databasev1.ReasonNoPrimary, "Waiting for the group to choose a primary ("+readiness+")")
	case ready > 0, slices.ContainsFunc(silent, inGroup):
		return nil, trouble(members, readiness)
	}

	if chosen := v.Object.Annotations[AnnotationBeginWith]; chosen != "" {
		for _, m := range waiting {
			if m.name == chosen {
				return begin(m), wait(databasev1.ReasonFormingGroup, "Waiting for "+m.name+" to begin the group, as the annotation "+AnnotationBeginWith+" says")
			}
		}
	}

	if len(silent) > 0 {
		return nil, trouble(members, readiness)
	}

	return choose(waiting)
}

// inGroup: a member that joins, or one that was in its group when it last said something, and whose pod still runs.
func inGroup(m member) bool {
	return m.pod != nil && (m.State == mysqld.StateJoining || m.State == mysqld.StateOnline)
}

func choose(waiting []member) (*Begin, conditions.Outcome) {
	sets := make([]gtid.Set, len(waiting))

	for i, m := range waiting {
		set, err := gtid.Parse(m.GTIDs)
		if err != nil {
			return nil, stall(databasev1.ReasonMemberUnhealthy, fmt.Sprintf("%s tells transactions that cannot be read: %v", m.name, err))
		}

		sets[i] = set
	}

	for i, m := range waiting {
		hasAll := !slices.ContainsFunc(sets, func(other gtid.Set) bool { return !sets[i].Contains(other) })
		if hasAll {
			return begin(m), wait(databasev1.ReasonFormingGroup, "Waiting for "+m.name+" to begin the group")
		}
	}

	return nil, stall(databasev1.ReasonFormingGroup, "the members have transactions that the others lack, so that none can begin the group "+
		"without losing some; look at their annotation "+mysqld.AnnotationMember+", and name the one to keep in the annotation "+AnnotationBeginWith)
}

func begin(m member) *Begin {
	if m.pod.Annotations[mysqld.AnnotationBegin] == m.Run {
		return nil // ordered already
	}

	return &Begin{Pod: m.name, Run: m.Run}
}

func wait(reason, message string) conditions.Outcome {
	return conditions.Outcome{Kind: conditions.Waiting, Reason: reason, Message: message}
}

func stall(reason, message string) conditions.Outcome {
	return conditions.Outcome{Kind: conditions.Stalled, Reason: reason, Message: message}
}

// trouble is what the first member that is not ready waits for. It is tried again all the same.
func trouble(members []member, readiness string) conditions.Outcome {
	for _, m := range members {
		if isReady(m.pod) && m.State == mysqld.StateOnline {
			continue
		}

		reason, what := databasev1.ReasonStartingMembers, "it is starting"

		switch {
		case m.pod == nil:
			what = "its pod is being made"
		case podTrouble(m.pod) != "":
			reason, what = databasev1.ReasonMemberUnhealthy, podTrouble(m.pod)
		case m.State == mysqld.StateFailed:
			reason, what = databasev1.ReasonMemberUnhealthy, m.Message
		case m.Message != "":
			what = m.Message
		}

		return wait(reason, fmt.Sprintf("Waiting for %s: %s (%s)", m.name, what, readiness))
	}

	return wait(databasev1.ReasonStartingMembers, "Waiting for members ("+readiness+")")
}

// podTrouble is what Kubernetes says against a pod; empty if nothing.
func podTrouble(pod *corev1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return "it cannot be scheduled: " + c.Message
		}
	}

	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if w := status.State.Waiting; w != nil && w.Reason != "PodInitializing" && w.Reason != "ContainerCreating" {
			return strings.TrimSpace(w.Reason + ": " + w.Message)
		}
	}

	return ""
}

// status is what is seen. What is known of the version stays.
func (v View) status() databasev1.MySQLStatus {
	name, namespace := v.Object.Name, v.Object.Namespace
	status := databasev1.MySQLStatus{
		ObservedGeneration: v.Object.Generation, Replicas: int32(len(v.Pods)), Version: v.Object.Status.Version, //nolint:gosec // at most nine
	}

	live := v.statefulSet()
	if live == nil {
		return status
	}

	status.Image = live.Spec.Template.Spec.Containers[0].Image
	status.Endpoint = fmt.Sprintf("%s.%s.svc:%d", naming.ServiceReadWrite(name), namespace, naming.PortMySQL)
	status.ReadOnlyEndpoint = fmt.Sprintf("%s.%s.svc:%d", naming.ServiceReadOnly(name), namespace, naming.PortMySQL)
	status.SecretName = naming.SecretApp(name)

	for _, m := range v.members() {
		if !isReady(m.pod) || m.State != mysqld.StateOnline {
			continue
		}

		status.ReadyReplicas++

		if m.Role == naming.RolePrimary {
			status.Primary, status.Version = m.name, m.Version
		}
	}

	return status
}
