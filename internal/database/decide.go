package database

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/postgresql/shortform"
)

// Finalizer keeps a Database until what it stands for is dropped; only under the reclaim policy delete.
const Finalizer = "postgresql.caretaker.dev/database"

const (
	// verifyInterval is how often a database is looked at although nothing has changed.
	verifyInterval = 5 * time.Minute
	// retryInterval is how long what only the user can change is left alone.
	retryInterval = time.Minute
)

// Defaults are the operator's configuration.
type Defaults struct {
	shortform.Defaults

	// Replicas and Storage of a Cluster of its own, if the Database says nothing.
	Replicas int32
	Storage  string
}

// View is one snapshot of a Database and of what it goes by.
type View struct {
	Now      time.Time
	Object   *v1.Database
	Defaults Defaults
	// Cluster that the database is in, or its own; nil if there is none.
	Cluster *v1.Cluster
	// Others are the namespace's Databases.
	Others []v1.Database
	// Secret with the owner's credentials; nil if there is none.
	Secret *corev1.Secret
	// ClusterSecret is that of the Cluster's own application; nil if there is none.
	ClusterSecret *corev1.Secret
	// NewPassword for a role that needs one.
	NewPassword string
	// Known is what the primary has told, and to which request; nil if it was not asked yet.
	Known *Known
}

// Known is what the primary has told.
type Known struct {
	// Hash of the request.
	Hash string
	// At is when.
	At     time.Time
	Report instanceapi.DatabaseReport
}

// Plan is what is to be done, one step of it at a time, and what is to be told.
type Plan struct {
	// Finalize adds the finalizer, Release removes it; nothing else is done in that pass.
	Finalize, Release bool
	// Drop asks the primary to drop the database.
	Drop *instanceapi.DropDatabaseRequest
	// Ask asks the primary to bring the database about; Hash is what its answer is remembered by.
	Ask  *instanceapi.DatabaseRequest
	Hash string
	// Changes to make once there is nothing to ask.
	Changes []owned.Change
	Outcome conditions.Outcome
	Status  v1.DatabaseStatus
	After   time.Duration
}

func (v View) owner() owned.Owner {
	return owned.Owner{
		Object: v.Object, GVK: v1.GroupVersion.WithKind("Database"), Label: naming.LabelDatabase,
		Application: "postgresql", Labels: shortform.InheritedLabels(v.Object.Labels),
	}
}

// Decide is pure and total.
func Decide(v View) Plan {
	switch {
	case v.Object.Spec.Cluster == nil:
		return v.ownCluster()
	case v.Object.DeletionTimestamp != nil:
		return v.deletion()
	default:
		return v.logical()
	}
}

// ownCluster: deleting the Database deletes its Cluster, with its volumes or without.
func (v View) ownCluster() Plan {
	spec := v.Object.Spec
	if v.Object.DeletionTimestamp != nil {
		return Plan{Status: v.Object.Status}
	}

	wish := shortform.Wish{
		Owner:   v.owner(),
		Version: spec.Version, Image: spec.Image, Instances: v.Defaults.Replicas, Storage: spec.Storage, Resources: spec.Resources,
		DeletionPolicy: v1.DeletionPolicyRetain,
	}

	if spec.Replicas != nil {
		wish.Instances = *spec.Replicas
	}

	if wish.Storage == "" {
		wish.Storage = v.Defaults.Storage
		// A changed default must not shrink what exists, nor grow it by surprise.
		if v.Cluster != nil && wish.Owner.IsOurs(v.Cluster) {
			wish.Storage = v.Cluster.Spec.Storage.Size
		}
	}

	if spec.ReclaimPolicy == v1.DatabaseReclaimDelete {
		wish.DeletionPolicy = v1.DeletionPolicyDelete
	}

	compiled := wish.Decide(v.Defaults.Defaults, v.Cluster)

	status := v1.DatabaseStatus{ObservedGeneration: v.Object.Generation}
	if cluster := compiled.Cluster; cluster != nil {
		app := build.InitDB(cluster.Spec)
		status.Cluster, status.ReadyReplicas = cluster.Name, cluster.Status.ReadyInstances
		status.Database, status.Owner = app.Database, app.Owner
		status.Endpoint, status.SecretName = endpoint(cluster), naming.SecretApp(cluster.Name)
	}

	return Plan{Changes: compiled.Changes, Outcome: compiled.Outcome, Status: status}
}

func endpoint(cluster *v1.Cluster) string {
	return fmt.Sprintf("%s.%s.svc:%d", naming.ServiceReadWrite(cluster.Name), cluster.Namespace, naming.PortPostgreSQL)
}

// name of the database in PostgreSQL.
func name(object *v1.Database) string {
	if object.Spec.Name != "" {
		return object.Spec.Name
	}

	return object.Name
}

// deletion: under the policy delete the database is dropped first, unless its Cluster goes as well.
func (v View) deletion() Plan {
	plan := Plan{Status: v.Object.Status}
	plan.Status.ObservedGeneration = v.Object.Generation

	switch {
	case !slices.Contains(v.Object.Finalizers, Finalizer):
		return plan
	case v.Object.Spec.ReclaimPolicy != v1.DatabaseReclaimDelete, v.Cluster == nil, v.Cluster.DeletionTimestamp != nil, v.duplicate() != "":
		plan.Release = true

		return plan
	case v.Cluster.Status.Primary == "":
		plan.Outcome = conditions.Outcome{Kind: conditions.Waiting, Reason: v1.ReasonDeleting, Message: fmt.Sprintf(
			"Waiting for a primary of Cluster %s, to drop the database; set spec.databaseReclaimPolicy to retain to let go without", v.Cluster.Name)}
		plan.After = retryInterval

		return plan
	default:
		owner := v.Object.Status.Owner
		if owner == "" {
			owner = v.request().DefaultOwner
		}

		plan.Drop = &instanceapi.DropDatabaseRequest{For: v.Object.Name, Name: name(v.Object), Owner: owner}
		plan.Outcome = conditions.Outcome{Kind: conditions.Waiting, Reason: v1.ReasonDeleting, Message: "Waiting: dropping the database"}

		return plan
	}
}

// logical decides on a database in an existing Cluster, in this order:
//
//	the finalizer     before there is anything that it is needed for, and only where it is needed
//	the Cluster       it must exist, and have a primary
//	the name          of two Databases that mean the same one, the older has it
//	the request       asked when it, or the password, differs from what was answered before, and now and then
//	the Secret        once it is known whose role the owner is
func (v View) logical() Plan {
	plan := Plan{Status: v1.DatabaseStatus{ObservedGeneration: v.Object.Generation, Cluster: v.Object.Spec.Cluster.Name, Database: name(v.Object)}}
	has, wants := slices.Contains(v.Object.Finalizers, Finalizer), v.Object.Spec.ReclaimPolicy == v1.DatabaseReclaimDelete

	if plan.Finalize, plan.Release = wants && !has, has && !wants; plan.Finalize || plan.Release {
		return plan
	}

	if v.Cluster == nil || v.Cluster.DeletionTimestamp != nil {
		return plan.wait(v1.ReasonClusterMissing, fmt.Sprintf("Waiting for Cluster %s, which does not exist in namespace %s", v.Object.Spec.Cluster.Name, v.Object.Namespace))
	}

	if other := v.duplicate(); other != "" {
		return plan.stall(v1.ReasonDatabaseConflict, fmt.Sprintf(
			"spec.name: the database %s of Cluster %s is looked after by Database %s; choose another spec.name", name(v.Object), v.Cluster.Name, other))
	}

	plan.Status.Endpoint = endpoint(v.Cluster)
	request := v.request()
	plan.Hash = hash(request, v.Cluster.Status.SystemID)

	known := v.Known != nil && v.Known.Hash == plan.Hash
	if known {
		plan.Status.Owner = v.Known.Report.Owner
	}

	if !known && v.Cluster.Status.Primary == "" {
		return plan.wait(v1.ReasonWaitingForPrimary, "Waiting for Cluster "+v.Cluster.Name+": "+readyMessage(v.Cluster))
	}

	if !known || v.Now.Sub(v.Known.At) >= verifyInterval && v.Cluster.Status.Primary != "" {
		plan.Ask = &request
	}

	if !known {
		return plan.wait(v1.ReasonConfiguringDatabase, "Waiting for "+v.Cluster.Status.Primary+" to bring the database about")
	}

	return v.credentials(plan)
}

func (p Plan) wait(reason, message string) Plan {
	p.Outcome = conditions.Outcome{Kind: conditions.Waiting, Reason: reason, Message: message}

	return p
}

func (p Plan) stall(reason, message string) Plan {
	p.Outcome = conditions.Outcome{Kind: conditions.Stalled, Reason: reason, Message: message}

	return p
}

func readyMessage(cluster *v1.Cluster) string {
	if ready := meta.FindStatusCondition(cluster.Status.Conditions, v1.ConditionReady); ready != nil {
		return ready.Message
	}

	return "it has no primary yet"
}

// duplicate is an older Database that means the same database; empty if there is none.
func (v View) duplicate() string {
	for i := range v.Others {
		other := &v.Others[i]

		if other.UID == v.Object.UID || other.Spec.Cluster == nil || other.Spec.Cluster.Name != v.Object.Spec.Cluster.Name ||
			name(other) != name(v.Object) {
			continue
		}

		a, b := other.CreationTimestamp, v.Object.CreationTimestamp
		if a.Before(&b) || a.Equal(&b) && other.Name < v.Object.Name {
			return other.Name
		}
	}

	return ""
}

// request is what the primary is asked for.
func (v View) request() instanceapi.DatabaseRequest {
	spec := v.Object.Spec
	request := instanceapi.DatabaseRequest{
		For: v.Object.Name, Name: name(v.Object), Owner: spec.Owner, DefaultOwner: defaultOwner(v.Object),
		Encoding: spec.Encoding, Locale: spec.Locale, LocaleCollate: spec.LocaleCollate, LocaleCType: spec.LocaleCType,
		ConnectionLimit: spec.ConnectionLimit,
	}

	// A password that the Cluster sets is not ours to set.
	if owner := v.knownOwner(); v.Secret != nil && (owner == "" || owner != clusterOwner(v.Cluster)) {
		request.OwnerPassword = string(v.Secret.Data["password"])
	}

	for _, s := range spec.Schemas {
		request.Schemas = append(request.Schemas, instanceapi.DatabaseSchema{Name: s.Name, Owner: s.Owner, Absent: s.Ensure == v1.EnsureAbsent})
	}

	for _, e := range spec.Extensions {
		request.Extensions = append(request.Extensions, instanceapi.DatabaseExtension{
			Name: e.Name, Version: e.Version, Schema: e.Schema, Absent: e.Ensure == v1.EnsureAbsent,
		})
	}

	return request
}

// defaultOwner has the database's name, unless that is reserved for roles.
func defaultOwner(object *v1.Database) string {
	owner := name(object)
	if owner == "streaming_replica" || strings.HasPrefix(owner, "pg_") {
		return object.Name
	}

	return owner
}

func (v View) knownOwner() string {
	if v.Known != nil {
		return v.Known.Report.Owner
	}

	return v.Object.Status.Owner
}

// clusterOwner is the role whose password the Cluster itself sets.
func clusterOwner(cluster *v1.Cluster) string {
	if cluster == nil {
		return ""
	}

	if bootstrap := cluster.Spec.Bootstrap; bootstrap != nil && bootstrap.InitDB == nil {
		if bootstrap.PgBaseBackup != nil {
			return bootstrap.PgBaseBackup.Owner
		}

		return ""
	}

	return build.InitDB(cluster.Spec).Owner
}

func hash(request instanceapi.DatabaseRequest, systemID string) string {
	encoded, err := json.Marshal(request)
	if err != nil {
		panic(err) // plain strings and numbers
	}

	sum := sha256.Sum256(append(encoded, systemID...))

	return hex.EncodeToString(sum[:])
}

// credentials makes the Secret of an owner whose password is known: one that was made for this Database, or the Cluster's
// own. Others have their passwords from elsewhere.
func (v View) credentials(plan Plan) Plan {
	report := v.Known.Report
	plan.After = max(time.Second, verifyInterval-v.Now.Sub(v.Known.At))
	password := ""

	switch {
	case report.Owner == clusterOwner(v.Cluster) && v.ClusterSecret != nil:
		password = string(v.ClusterSecret.Data["password"])
	case report.OwnerManaged && v.Secret != nil && len(v.Secret.Data["password"]) > 0:
		password = string(v.Secret.Data["password"])
	case report.OwnerManaged:
		password = v.NewPassword
	}

	var wanted []owned.Object

	message := fmt.Sprintf("Database %s, owner %s, in Cluster %s", plan.Status.Database, report.Owner, v.Cluster.Name)

	if password == "" {
		message += "; the owner's password is not looked after here"
	} else {
		wanted = []owned.Object{v.secret(build.Credentials{User: report.Owner, Password: password, Database: plan.Status.Database})}
		plan.Status.SecretName = secretName(v.Object)
	}

	live := owned.Objects{}
	if v.Secret != nil {
		live[owned.Key{Kind: "Secret", Name: v.Secret.Name}] = v.Secret
	}

	plan.Changes = owned.Changes(wanted, live, nil)
	plan.Outcome = conditions.Outcome{Kind: conditions.Done, Reason: v1.ReasonReady, Message: message}

	return plan
}

func secretName(object *v1.Database) string { return naming.SecretApp(object.Name) }

func (v View) secret(credentials build.Credentials) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: v.owner().Meta(secretName(v.Object)),
		Type:       corev1.SecretTypeBasicAuth,
		Data:       build.ConnectionData(v.Cluster, &credentials),
	}
}
