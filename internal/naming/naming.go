package naming

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
)

// FieldOwner is the field manager of everything that the operator applies.
const FieldOwner = "caretaker"

// Labels and annotations of Caretaker.
const (
	LabelCluster  = "caretaker.dev/cluster"
	LabelInstance = "caretaker.dev/instance"
	LabelRole     = "caretaker.dev/role"
	// LabelPostgreSQL is the label that existing manifests select a Cluster's pods by.
	LabelPostgreSQL = "postgresql"

	// LabelAppStack and LabelEcommercePlatform are on what belongs to one directly, LabelStack on all that is below an
	// AppStack, pods included, with the part of it in LabelComponent.
	LabelAppStack          = "caretaker.dev/appstack"
	LabelEcommercePlatform = "caretaker.dev/ecommerceplatform"
	LabelStack             = "caretaker.dev/stack"
	LabelComponent         = "app.kubernetes.io/component"
	// LabelPlatform is the label that existing manifests select everything of an EcommercePlatform by.
	LabelPlatform = "platform"

	// LabelManagedBy has the value ManagedBy on everything that the operator makes; its caches hold nothing else of kinds
	// that others have, too.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	ManagedBy      = "caretaker"

	// LabelWebApp and those below have the name of the object that something belongs to, by the kind of that object.
	LabelWebApp           = "caretaker.dev/webapp"
	LabelAppConfig        = "caretaker.dev/appconfig"
	LabelPostgreSQLServer = "caretaker.dev/postgresql"
	LabelMySQL            = "caretaker.dev/mysql"
	LabelDatabase         = "caretaker.dev/database"
	LabelDump             = "caretaker.dev/dump"

	// AnnotationHibernate: "on" stops every instance and keeps the volumes.
	AnnotationHibernate = "caretaker.dev/hibernate"
	// AnnotationPaused: "true" stops reconciliation.
	AnnotationPaused = "caretaker.dev/paused"
	// AnnotationRestart: any new value restarts PostgreSQL on every instance, replicas first.
	AnnotationRestart = "caretaker.dev/restart"
	// AnnotationSwitchover: "<instance>/<nonce>" makes that instance the primary, "/<nonce>" any replica.
	AnnotationSwitchover = "caretaker.dev/switchover"
	// AnnotationReload: any new value makes every instance read its configuration and secrets again.
	AnnotationReload = "caretaker.dev/reload"
	// AnnotationBootstrapFrom names the instance whose volume is to be trusted when the term record is missing.
	AnnotationBootstrapFrom = "caretaker.dev/bootstrap-from"

	// LabelSetAside on a volume claim has the ID of the recovery in place that set it aside: it is none of the Cluster's then.
	LabelSetAside = "caretaker.dev/set-aside"
	// AnnotationSetAsideRecord on such a claim is the spec of the term record, as JSON, that its instance stopped under.
	AnnotationSetAsideRecord = "caretaker.dev/set-aside-record"
	// AnnotationRecoverInPlace on a term record has the ID of the recovery in place that made it.
	AnnotationRecoverInPlace = "caretaker.dev/recover-in-place"

	// LabelDrill, with a Cluster's name, is on the throw-away instances that prove its backups.
	LabelDrill = "caretaker.dev/drill"
	// AnnotationDrillBackup on one of those is the Backup that it restores.
	AnnotationDrillBackup = "caretaker.dev/drill-backup"
	// LabelBackup, with its name, is on the snapshots of a Backup, AnnotationBackup there says what of the archive belongs to it.
	LabelBackup      = "caretaker.dev/backup"
	AnnotationBackup = "caretaker.dev/backup"
	// AnnotationSnapshot on a volume claim that was made of a snapshot is what tells its volume from all others.
	AnnotationSnapshot = "caretaker.dev/snapshot"
	// LabelScheduledBackup, with its name, is on the Backups that a ScheduledBackup has made.
	LabelScheduledBackup = "caretaker.dev/scheduled-backup"

	// AnnotationPodSpecHash on a pod is the hash of what makes it outdated when it changes.
	AnnotationPodSpecHash = "caretaker.dev/pod-spec-hash"
	// AnnotationMounts on a pod names the versions of the mounted passwords that its kubelet was last asked to look for: it
	// looks at once when a pod changes, and within a minute or two when not.
	AnnotationMounts = "caretaker.dev/mounts"
	// AnnotationConfigHash on a cache's pod is the hash of the configuration that it was started with.
	AnnotationConfigHash = "caretaker.dev/config-hash"

	// AnnotationDatabaseHash on a pod of an application is the hash of the credentials that it was started with.
	AnnotationDatabaseHash = "caretaker.dev/database-hash"
	// AnnotationConfigVersion on the objects of an AppConfig is the version that they hold.
	AnnotationConfigVersion = "caretaker.dev/config-version"
	// AnnotationMemberID on a volume claim is the member that lives on the volume, once known.
	AnnotationMemberID = "caretaker.dev/member-id"
	// AnnotationImage and AnnotationMajor on a volume claim are the image and the major version that last ran on it, for a
	// Cluster that is made again on it.
	AnnotationImage = "caretaker.dev/image"
	AnnotationMajor = "caretaker.dev/major"
)

// FinalizerOrderedDeletion keeps an object until what belongs to it has been deleted in order.
const FinalizerOrderedDeletion = "caretaker.dev/ordered-deletion"

// Roles, the values of LabelRole.
const (
	RolePrimary = "primary"
	RoleReplica = "replica"
)

// Ports of an instance.
const (
	PortPostgreSQL = 5432
	PortStatus     = 8000
	PortMetrics    = 9187
	PortMySQL      = 3306
)

// ReplicationUser is the PostgreSQL role that replicas stream as, and the common name of its client certificate, which
// also opens the status server of an instance.
const ReplicationUser = "streaming_replica"

// FieldOwnerRollout is the field manager of the annotation that restarts the users of an AppConfig. It is not FieldOwner:
// who applies a workload as that must not take the annotation away.
const FieldOwnerRollout = "caretaker-rollout"

// FieldOwnerReplicas is the field manager of a Deployment's replicas between us, who set them so far, and an autoscaler.
const FieldOwnerReplicas = "caretaker-replicas"

// AnnotationConfig on the pods of a workload names the version of an application's configuration that they were last
// restarted for.
func AnnotationConfig(application string) string { return "caretaker.dev/config-" + application }

// ConfigOf is the ConfigMap with an application's configuration, and the Secret with what is secret of it.
func ConfigOf(application string) string { return application + "-config" }

// MaxMySQLMembers is how many members a group can have: Group Replication's own limit.
const MaxMySQLMembers = 9

// ServiceReadWrite leads to the primary.
func ServiceReadWrite(cluster string) string { return cluster + "-rw" }

// ServiceReadOnly leads to the replicas.
func ServiceReadOnly(cluster string) string { return cluster + "-ro" }

// ServiceRead leads to any instance.
func ServiceRead(cluster string) string { return cluster + "-r" }

// ServiceMembers is the headless service that gives each instance a DNS name, ready or not.
func ServiceMembers(cluster string) string { return cluster + "-members" }

// SecretApp holds the application's credentials and connection strings.
func SecretApp(cluster string) string { return cluster + "-app" }

// SecretCopies holds the credentials of the stores that a Cluster's archive is copied to.
func SecretCopies(cluster string) string { return cluster + "-copies" }

// SecretSuperuser holds the credentials of the user postgres, where asked for.
func SecretSuperuser(cluster string) string { return cluster + "-superuser" }

// SecretCA holds the Cluster's own CA and its key.
func SecretCA(cluster string) string { return cluster + "-ca" }

// SecretServer holds the server's certificate.
func SecretServer(cluster string) string { return cluster + "-server" }

// SecretReplication holds the client certificate of ReplicationUser.
func SecretReplication(cluster string) string { return cluster + "-replication" }

// ConfigMap holds the instances' configuration.
func ConfigMap(cluster string) string { return cluster + "-postgresql" }

// ServiceAccount of the Cluster's pods; also the name of its Role and RoleBinding.
func ServiceAccount(cluster string) string { return cluster }

// PodDisruptionBudget of a Cluster.
func PodDisruptionBudget(cluster string) string { return cluster }

// PodMonitor of a Cluster.
func PodMonitor(cluster string) string { return cluster }

// ClusterTerm is the name of a Cluster's term record.
func ClusterTerm(cluster string) string { return cluster }

// Instance is the name of the pod with the given ordinal, and of its volume claim.
func Instance(cluster string, ordinal int) string { return fmt.Sprintf("%s-%d", cluster, ordinal) }

// Ordinal is the number of a Cluster's instance; false if the name is not of this Cluster.
func Ordinal(cluster, instance string) (int, bool) {
	suffix, found := strings.CutPrefix(instance, cluster+"-")
	if !found {
		return 0, false
	}

	n, err := strconv.Atoi(suffix)
	if err != nil || n < 0 || strconv.Itoa(n) != suffix {
		return 0, false
	}

	return n, true
}

// DumpCronJob takes the dumps of a Backup of backup.caretaker.dev, on its schedule.
func DumpCronJob(backup string) string { return backup + "-cronjob" }

// DumpImmediateJob takes the one dump that does not wait for a schedule.
func DumpImmediateJob(backup string) string { return backup + "-immediate" }

// moment is how a time stands in names, in UTC.
const moment = "20060102150405"

// ScheduledBackup is the name of the Backup that a ScheduledBackup makes for a moment at which it is due.
func ScheduledBackup(schedule string, due time.Time) string {
	return schedule + "-" + due.UTC().Format(moment)
}

const drillInfix = "-drill-"

// Drill is the name of the pod of a Cluster's drill that is due at a moment.
func Drill(cluster string, due time.Time) string {
	return cluster + drillInfix + due.UTC().Format(moment)
}

// DrillDue is when the drill with such a pod was due; false if the name is not one.
func DrillDue(pod string) (time.Time, bool) {
	i := strings.LastIndex(pod, drillInfix)
	if i < 0 {
		return time.Time{}, false
	}

	due, err := time.Parse(moment, pod[i+len(drillInfix):])

	return due, err == nil
}

// Snapshot is the name of the snapshot that an attempt to take a Backup makes, by what tells it from all other attempts.
func Snapshot(backup, attempt string) string {
	const longest = 244 // of 253, with the hash

	sum := sha256.Sum256([]byte(attempt))

	return strings.TrimRight(backup[:min(len(backup), longest)], "-.") + "-" + hex.EncodeToString(sum[:4])
}

// InstanceHost is the DNS name of an instance within the Kubernetes cluster.
func InstanceHost(cluster, instance, namespace string) string {
	return instance + "." + ServiceMembers(cluster) + "." + namespace + ".svc"
}

// SelectorLabels select every pod of a Cluster.
func SelectorLabels(cluster string) map[string]string {
	return map[string]string{LabelCluster: cluster}
}

// RoleSelectorLabels select the pods of a Cluster that have a role.
func RoleSelectorLabels(cluster, role string) map[string]string {
	return map[string]string{LabelCluster: cluster, LabelRole: role}
}

// CommonLabels are on every object of a Cluster.
func CommonLabels(cluster string) map[string]string {
	return map[string]string{
		LabelCluster:                 cluster,
		"app.kubernetes.io/name":     "postgresql",
		"app.kubernetes.io/instance": cluster,
		"app.kubernetes.io/part-of":  cluster,
		LabelManagedBy:               ManagedBy,
	}
}

// InstanceLabels are on the pod and the volume claim of an instance. The role label is the instance's own to set.
func InstanceLabels(cluster, instance string) map[string]string {
	labels := maps.Clone(CommonLabels(cluster))
	labels[LabelInstance] = instance
	labels[LabelPostgreSQL] = cluster
	labels["app.kubernetes.io/component"] = "database"

	return labels
}
