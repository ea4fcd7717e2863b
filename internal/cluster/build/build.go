package build

import (
	"maps"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/diff"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// Object is any Kubernetes object.
type Object = diff.Object

// Input is everything that the objects of a Cluster are made from.
type Input struct {
	// Cluster that the objects belong to.
	Cluster *v1.Cluster
	// Image of PostgreSQL, resolved.
	Image string
	// Major version of PostgreSQL; 0 while not known.
	Major int
	// Operator describes the operator itself.
	Operator Operator
	// Members are the names of all instances that exist or shall exist, in order.
	Members []string
	// Smallest is what the smallest of the volumes that exist asks for: growing may not have begun, or not be possible.
	// Zero if there is none.
	Smallest resource.Quantity
	// App are the application's credentials; nil if there are none to manage.
	App *Credentials
	// Superuser are the credentials of postgres; nil if access is off.
	Superuser *Credentials
	// RecoveryBackup is the Backup that bootstrap.recovery names; nil if there is none. Recovering: it is still to be done, by First.
	RecoveryBackup *v1.Backup
	Recovering     bool
	// First is the instance that makes the data, of which the others are copies; empty while it is not known.
	First string
	// Snapshots are the marks of volumes that were made of snapshots, by instance.
	Snapshots map[string]string
	// Copies are the data of the Secret with the credentials of the stores that are copied to; nil if they need none.
	Copies map[string][]byte
	// InPlaceBackup is the Backup that recoverInPlace names; nil if there is none. RecoveringInPlace: it is still to be done.
	InPlaceBackup     *v1.Backup
	RecoveringInPlace bool
	// Certificates are the contents of the TLS secrets and bundles.
	Certificates Certificates
}

// Operator is what pods need to know of the operator.
type Operator struct {
	// Image holds PID 1's binary.
	Image string
	// PullPolicy of it.
	PullPolicy string
}

// Credentials of a PostgreSQL role.
type Credentials struct {
	User, Password string
	// Database to connect to.
	Database string
}

// Certificates of a Cluster.
type Certificates struct {
	// CA, Server and Replication are the data of our own secrets; nil leaves a secret alone.
	CA, Server, Replication map[string][]byte
	// ServerCABundle verifies servers, ClientCABundle verifies clients; both PEM.
	ServerCABundle, ClientCABundle []byte
}

// All are the objects of a Cluster in the order to write them, but for the term record, volumes and pods: each only
// refers to earlier ones. The bundles go before the certificates that they verify.
func All(in Input) []Object {
	var objects []Object

	if in.Cluster.Spec.ServiceAccountName == "" {
		objects = append(objects, ServiceAccount(in))
	}

	objects = append(objects, Role(in), RoleBinding(in), ConfigMap(in))
	objects = append(objects, Secrets(in)...)
	objects = append(objects, Services(in)...)

	if pdb := PodDisruptionBudget(in); pdb != nil {
		objects = append(objects, pdb)
	}

	for _, object := range objects {
		stamp(object)
	}

	return objects
}

// stamp cannot fail for the objects of this package: they are made of plain API types.
func stamp(object Object) {
	if err := diff.Stamp(object); err != nil {
		panic(err)
	}
}

// meta is the metadata of an object that dies with its Cluster.
func meta(in Input, name string) metav1.ObjectMeta {
	m := metadata(in.Cluster, name, naming.CommonLabels(in.Cluster.Name))
	m.OwnerReferences = []metav1.OwnerReference{ownerReference(in.Cluster)}

	return m
}

// metadata puts our labels over those that the user wants inherited.
func metadata(cluster *v1.Cluster, name string, labels map[string]string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Name: name, Namespace: cluster.Namespace, Labels: map[string]string{}, Annotations: map[string]string{}}

	if inherited := cluster.Spec.InheritedMetadata; inherited != nil {
		maps.Copy(m.Labels, inherited.Labels)
		maps.Copy(m.Annotations, inherited.Annotations)
	}

	maps.Copy(m.Labels, labels)

	return m
}

// ownerReference is without blockOwnerDeletion, which would need rights on finalizers.
func ownerReference(cluster *v1.Cluster) metav1.OwnerReference {
	controller := true

	return metav1.OwnerReference{
		APIVersion: v1.GroupVersion.String(), Kind: "Cluster", Name: cluster.Name, UID: cluster.UID, Controller: &controller,
	}
}

// durableOwner is the owner of what holds data: nobody, unless the user wants it deleted with the Cluster.
func durableOwner(cluster *v1.Cluster) []metav1.OwnerReference {
	if cluster.Spec.DeletionPolicy != v1.DeletionPolicyDelete {
		return nil
	}

	return []metav1.OwnerReference{ownerReference(cluster)}
}

// IsOurs says whether an object belongs to a Cluster of this name: it has our labels, or this Cluster as its owner. The
// labels do without the UID: what a deleted Cluster of the same name left behind is taken over.
func IsOurs(cluster *v1.Cluster, object metav1.Object) bool {
	controller := metav1.GetControllerOf(object)
	if controller != nil && controller.UID == cluster.UID {
		return true
	}

	return HasLabels(cluster, object) && (controller == nil || controller.Kind == "Cluster" && controller.Name == cluster.Name)
}

// HasLabels says whether an object has the labels that the objects of a Cluster are found by.
func HasLabels(cluster *v1.Cluster, object metav1.Object) bool {
	labels := object.GetLabels()

	return labels[naming.LabelCluster] == cluster.Name && labels["app.kubernetes.io/managed-by"] == "caretaker"
}

// IsLeftover says whether an object belongs to an earlier Cluster of the same name and is about to be collected.
func IsLeftover(cluster *v1.Cluster, object metav1.Object) bool {
	controller := metav1.GetControllerOf(object)

	return controller != nil && controller.Kind == "Cluster" && controller.UID != cluster.UID
}

// enabled reads an optional switch that is on by default.
func enabled(b *bool) bool { return b == nil || *b }

// deref reads an optional number.
func deref(n *int32, otherwise int32) int32 {
	if n == nil {
		return otherwise
	}

	return *n
}
