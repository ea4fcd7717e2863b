package decide

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
)

// Action is one thing to do. It is a value that prints as a sentence's end: logs, events and tests share it.
type Action interface {
	fmt.Stringer
	// IsIrreversible says that it cannot be undone by a later pass; it is checked against a live read before.
	IsIrreversible() bool
}

// CreateRecord creates the term record, which decides where the data of the Cluster comes from, or names an instance in
// an empty one.
type CreateRecord struct {
	// Record to be written; one with a resource version exists already.
	Record *v1.ClusterTerm
	// Volumes that existed when it was decided; the decision falls with them.
	Volumes []string
}

// Apply writes an object as it should be.
type Apply struct {
	Object build.Object
	// New: the object was not there when last seen.
	New bool
	// Why, for people; empty where there is nothing to say.
	Why string
	// ResourceVersion that the decision stands on; empty where that does not matter.
	ResourceVersion string
	// Drifted: we want the same as before, but the live object was changed by hand.
	Drifted bool
	// Replacement is the Live object with what we want in it, where applying may not be enough; both are nil if it is.
	Live, Replacement build.Object
	// Grows: a volume becomes larger.
	Grows bool
}

// PatchMetadata brings metadata up to date on an object whose content is not ours to write.
type PatchMetadata struct {
	Object          build.Object
	Labels          map[string]string
	Annotations     map[string]string
	OwnerReferences []metav1.OwnerReference
}

// Delete removes an object that is no longer wanted and holds no data.
type Delete struct {
	Object build.Object
}

// DeletePod stops an instance in an orderly way.
type DeletePod struct {
	Name string
	UID  types.UID
	// GraceSeconds is how long the stop may take.
	GraceSeconds int64
	// Why, for people.
	Why string
}

// DeleteVolume deletes the volume of an instance that is no longer wanted.
type DeleteVolume struct {
	Name string
	UID  types.UID
}

// SetVolumeAside takes a volume out of the Cluster, for a recovery in place. It stays, whatever the deletion policy.
type SetVolumeAside struct {
	Name string
	UID  types.UID
	// ID of the recovery.
	ID string
	// Record that its instance stopped under, encoded.
	Record string
}

// TakeVolumeBack takes a volume that was set aside into use again.
type TakeVolumeBack struct {
	Name string
	UID  types.UID
}

// DeleteRecord deletes the term record of a Cluster that is stopped for a recovery in place, so that it can begin anew.
type DeleteRecord struct {
	Record *v1.ClusterTerm
}

// PutConfig gives an instance its configuration.
type PutConfig struct {
	Instance string
	Config   []byte
}

// Restart restarts PostgreSQL of an instance in place.
type Restart struct {
	Instance string
	Why      string
}

// Switchover asks the primary to hand over.
type Switchover struct {
	Instance string
	Request  string
	// Target is the member ID asked for, TargetName its instance; empty for any.
	Target, TargetName string
}

// IsIrreversible is false.
func (Switchover) IsIrreversible() bool { return false }

func (a Switchover) String() string {
	return fmt.Sprintf("ask %s to hand over to %s", a.Instance, firstOf(a.TargetName, "a replica"))
}

// IsIrreversible is true: the instance that it names may initialize the data.
func (CreateRecord) IsIrreversible() bool { return true }

// IsIrreversible is false.
func (Apply) IsIrreversible() bool { return false }

// IsIrreversible is false.
func (PatchMetadata) IsIrreversible() bool { return false }

// IsIrreversible is false.
func (Delete) IsIrreversible() bool { return false }

// IsIrreversible is false: the pod is made again on the same volume.
func (DeletePod) IsIrreversible() bool { return false }

// IsIrreversible is true.
func (DeleteVolume) IsIrreversible() bool { return true }

// IsIrreversible is false: it is only a label.
func (SetVolumeAside) IsIrreversible() bool { return false }

// IsIrreversible is false.
func (TakeVolumeBack) IsIrreversible() bool { return false }

// IsIrreversible is true.
func (DeleteRecord) IsIrreversible() bool { return true }

// IsIrreversible is false.
func (PutConfig) IsIrreversible() bool { return false }

// IsIrreversible is false.
func (Restart) IsIrreversible() bool { return false }

func (a CreateRecord) String() string {
	if a.Record.Spec.Bootstrap == "" {
		return "create an empty term record"
	}

	return fmt.Sprintf("create the term record with %s to bootstrap", a.Record.Spec.Bootstrap)
}

func (a Apply) String() string {
	if a.New {
		return "create " + describe(a.Object)
	}

	if a.Why != "" {
		return "update " + describe(a.Object) + ": " + a.Why
	}

	return "update " + describe(a.Object)
}

func (a PatchMetadata) String() string { return "update the metadata of " + describe(a.Object) }

func (a Delete) String() string { return "delete " + describe(a.Object) }

func (a DeletePod) String() string { return fmt.Sprintf("stop %s: %s", a.Name, a.Why) }

func (a DeleteVolume) String() string { return "delete the volume of " + a.Name }

func (a SetVolumeAside) String() string { return fmt.Sprintf("set the volume of %s aside", a.Name) }

func (a TakeVolumeBack) String() string {
	return fmt.Sprintf("take the volume of %s into use again", a.Name)
}

func (DeleteRecord) String() string { return "delete the term record, to begin anew" }

func (a PutConfig) String() string { return "configure " + a.Instance }

func (a Restart) String() string {
	return fmt.Sprintf("restart PostgreSQL of %s: %s", a.Instance, a.Why)
}

func describe(object build.Object) string {
	return KindOf(object) + " " + object.GetName()
}

// KindOf is an object's kind, also when it was read by a client that leaves it out.
func KindOf(object build.Object) string {
	switch object.(type) {
	case *corev1.Pod:
		return "Pod"
	case *corev1.PersistentVolumeClaim:
		return "PersistentVolumeClaim"
	case *v1.ClusterTerm:
		return "ClusterTerm"
	default:
		return object.GetObjectKind().GroupVersionKind().Kind
	}
}
