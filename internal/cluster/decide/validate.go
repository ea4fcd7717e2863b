package decide

import (
	"fmt"
	"slices"
	"strings"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// What CEL in the CRD cannot see is checked here, in this order. The first that finds something ends the pass before
// anything is made or changed; the message names every problem of its kind, each with its field.
//
//	bootstrap    a base backup needs its source and, until it is done, its secrets
//	image        its major must be supported, and the one of the data
//	parameters   names, types and ranges of that major
//	hba, ident   each line must parse
//	services     names must be free and different
//	secrets      those that the spec names must exist and be complete
//	copies       of the archive must be at places of their own
//	recovery     until it is done: its backup, and another place to archive to
//	certificates the user's must fit together

// problem is something that only the user can solve.
type problem struct{ reason, message string }

func (f *facts) validate() *problem {
	checks := []func(*facts) *problem{
		(*facts).checkBootstrap,
		(*facts).checkImage,
		(*facts).checkParameters,
		(*facts).checkAccess,
		(*facts).checkServices,
		(*facts).checkSecrets,
		(*facts).checkCopies,
		(*facts).checkRecovery,
	}

	// What is wrong with certificates never stops an established Cluster: it keeps the last good ones, and our own must be
	// renewed all the same.
	if !f.established {
		checks = append(checks, (*facts).checkCertificates)
	}

	for _, check := range checks {
		if found := check(f); found != nil {
			return found
		}
	}

	return nil
}

func (f *facts) checkBootstrap() *problem {
	bootstrap := f.Cluster.Spec.Bootstrap

	switch {
	case bootstrap == nil:
		return nil
	case bootstrap.PgBaseBackup != nil && build.ExternalCluster(f.Cluster.Spec, bootstrap.PgBaseBackup.Source) == nil:
		return &problem{v1.ReasonBootstrapFailed, fmt.Sprintf(
			"spec.bootstrap.pg_basebackup.source: %q is not in spec.externalClusters; add it there", bootstrap.PgBaseBackup.Source)}
	default:
		return nil
	}
}

func (f *facts) checkImage() *problem {
	if f.image == "" {
		return &problem{v1.ReasonInvalidImage, "spec.imageName: is empty and the operator has no default image; set it"}
	}

	major, known := postgres.ParseMajorFromImage(f.image)
	if !known {
		return nil
	}

	if f.pinned != 0 && major != f.pinned {
		return &problem{v1.ReasonMajorVersionChange, fmt.Sprintf(
			"spec.imageName: %s is PostgreSQL %d, but the data is of PostgreSQL %d, which another major cannot read; "+
				"set an image of PostgreSQL %d, and move to %d by way of a new Cluster",
			f.image, major, f.pinned, f.pinned, major)}
	}

	if err := postgres.Supported(major); err != nil {
		return &problem{v1.ReasonUnsupportedVersion, "spec.imageName: " + err.Error()}
	}

	return nil
}

func (f *facts) checkParameters() *problem {
	var messages []string
	for _, found := range postgres.Validate(f.major, f.Cluster.Spec.PostgreSQL.Parameters) {
		messages = append(messages, fmt.Sprintf("spec.postgresql.parameters.%s: %s", found.Name, found.Message))
	}

	if value, ok := f.Cluster.Spec.PostgreSQL.Parameters["synchronous_commit"]; ok && !waitsForReplicas(value) && len(messages) == 0 &&
		build.Acks(f.Cluster, int(f.Cluster.Spec.Instances)) > 0 {
		messages = append(messages, fmt.Sprintf("spec.postgresql.parameters.synchronous_commit: with %q no commit waits for a replica, "+
			"and a failover would lose the last ones; leave it out and SET it in the transactions, or ALTER ROLE or DATABASE … SET it for those, "+
			"that may be lost, or set spec.postgresql.synchronous.number to 0", value))
	}

	return join(v1.ReasonInvalidParameters, messages)
}

// waitsForReplicas: local and off do not wait, and remote_write is not on the replica's disk.
func waitsForReplicas(synchronousCommit string) bool {
	return slices.Contains([]string{"on", "true", "yes", "1", "t", "y", "tr", "tru", "ye", "remote_apply"}, strings.ToLower(synchronousCommit))
}

func (f *facts) checkAccess() *problem {
	var messages []string

	note := func(field string, found []postgres.LineProblem) {
		for _, p := range found {
			messages = append(messages, fmt.Sprintf("spec.postgresql.%s[%d]: %s", field, p.Line-1, p.Message))
		}
	}

	note("pg_hba", postgres.ValidateHBA(f.major, f.Cluster.Spec.PostgreSQL.PgHBA))
	note("pg_ident", postgres.ValidateIdent(f.Cluster.Spec.PostgreSQL.PgIdent))

	return join(v1.ReasonInvalidHBA, messages)
}

func (f *facts) checkServices() *problem {
	taken := build.DefaultServiceNames(f.Cluster.Name)

	for i, service := range build.AdditionalServices(f.Cluster) {
		name := service.ServiceTemplate.Metadata.Name
		if slices.Contains(taken, name) {
			return &problem{v1.ReasonInvalidService, fmt.Sprintf(
				"spec.managed.services.additional[%d].serviceTemplate.metadata.name: %q is already a service of this Cluster; choose another name", i, name)}
		}

		taken = append(taken, name)
	}

	return nil
}

// secretReference is a secret that the spec names, the keys that it must have, and whether it is needed at all now.
type secretReference struct {
	field, name string
	keys        []string
	// user that the username must be; empty where there is none.
	user string
}

func (f *facts) checkSecrets() *problem {
	return join(v1.ReasonSecretMissing, f.missingSecrets(f.secretReferences()))
}

// missingSecrets says what is missing of secrets, each with its field.
func (f *facts) missingSecrets(references []secretReference) []string {
	var messages []string

	for _, reference := range references {
		data, asked := f.Secrets[reference.name]
		if !asked {
			continue
		}

		if data == nil {
			messages = append(messages, fmt.Sprintf("%s: there is no Secret %q in namespace %s; create it with the keys %s",
				reference.field, reference.name, f.Cluster.Namespace, strings.Join(reference.keys, ", ")))

			continue
		}

		for _, key := range reference.keys {
			if len(data[key]) == 0 {
				messages = append(messages, fmt.Sprintf("%s: Secret %q has no %q; add it", reference.field, reference.name, key))
			}
		}

		if user := string(data["username"]); reference.user != "" && user != "" && user != reference.user {
			messages = append(messages, fmt.Sprintf("%s: the username in Secret %q is %q, but the user is %q; make them the same",
				reference.field, reference.name, user, reference.user))
		}
	}

	return messages
}

// secretReferences are the secrets with credentials. Those of certificates are judged as a whole, with what is in them.
func (f *facts) secretReferences() []secretReference {
	spec := f.Cluster.Spec
	keys := []string{"username", "password"}

	var references []secretReference

	add := func(field string, reference *v1.LocalObjectReference, user string) {
		if reference != nil {
			references = append(references, secretReference{field, reference.Name, keys, user})
		}
	}

	if f.superuserCredentials() != nil {
		add("spec.superuserSecret", spec.SuperuserSecret, postgres.Superuser)
	}

	if spec.Bootstrap == nil {
		return references
	}

	if spec.Bootstrap.InitDB != nil {
		add("spec.bootstrap.initdb.secret", spec.Bootstrap.InitDB.Secret, build.InitDB(spec).Owner)
	}

	if spec.Bootstrap.Recovery != nil {
		add("spec.bootstrap.recovery.secret", spec.Bootstrap.Recovery.Secret, build.RecoveryOwner(*spec.Bootstrap.Recovery).User)

		if f.isNew() {
			references = append(references, f.recoveryReferences()...)
		}
	}

	if spec.Bootstrap.PgBaseBackup != nil {
		add("spec.bootstrap.pg_basebackup.secret", spec.Bootstrap.PgBaseBackup.Secret, spec.Bootstrap.PgBaseBackup.Owner)

		if f.isNew() {
			references = append(references, externalReferences(spec)...)
		}
	}

	return references
}

// copyReferences are the secrets of the stores that the archive is copied to. They keep nothing else from going on.
func (f *facts) copyReferences() []secretReference {
	var references []secretReference
	for _, c := range build.Copies(f.Cluster) {
		references = append(references, placeReferences(c.Place)...)
	}

	return references
}

// UserSecrets are the names of the secrets with credentials that a spec refers to.
func UserSecrets(cluster *v1.Cluster, record *v1.ClusterTerm, recovery *v1.Backup) []string {
	f := facts{View: View{Cluster: cluster, Record: record, RecoveryBackup: recovery}}
	f.established = record != nil && record.Spec.Established
	f.recoversInPlace = !f.established && record != nil && record.Annotations[naming.AnnotationRecoverInPlace] != ""

	var names []string
	for _, reference := range append(f.secretReferences(), f.copyReferences()...) {
		names = append(names, reference.name)
	}

	return names
}

func externalReferences(spec v1.ClusterSpec) []secretReference {
	source := build.ExternalCluster(spec, spec.Bootstrap.PgBaseBackup.Source)
	if source == nil {
		return nil
	}

	var references []secretReference

	for _, selector := range build.ExternalSecrets(source) {
		references = append(references, secretReference{
			fmt.Sprintf("spec.externalClusters[%s].%s", source.Name, selector.Field), selector.Selector.Name, []string{selector.Selector.Key}, "",
		})
	}

	return references
}

// recoveryReferences are the secrets of the archive to recover from. One that is missing would let the first instance wait
// for it without end.
func (f *facts) recoveryReferences() []secretReference {
	place, ok := build.RecoveryPlace(f.Cluster, f.RecoveryBackup)
	if !ok {
		return nil
	}

	return placeReferences(place)
}

func placeReferences(place build.Place) []secretReference {
	var references []secretReference

	for _, secret := range place.Secrets() {
		references = append(references, secretReference{place.FieldOf(secret), secret.Selector.Name, []string{secret.Selector.Key}, ""})
	}

	return references
}

func (f *facts) checkCertificates() *problem {
	if given := f.Cluster.Spec.Certificates; given != nil {
		own := []string{naming.SecretCA(f.Cluster.Name), naming.SecretServer(f.Cluster.Name), naming.SecretReplication(f.Cluster.Name)}

		for _, user := range []struct{ field, name string }{
			{"serverTLSSecret", given.ServerTLSSecret},
			{"serverCASecret", given.ServerCASecret},
			{"clientCASecret", given.ClientCASecret},
			{"replicationTLSSecret", given.ReplicationTLSSecret},
		} {
			if slices.Contains(own, user.name) {
				return &problem{v1.ReasonInvalidCertificate, fmt.Sprintf(
					"spec.certificates.%s: Secret %q is written by the operator itself; name one of your own, or leave the field out", user.field, user.name)}
			}
		}
	}

	if len(f.Certificates.Missing) > 0 {
		return join(v1.ReasonSecretMissing, f.Certificates.Missing)
	}

	return join(v1.ReasonInvalidCertificate, f.Certificates.Problems)
}

func join(reason string, messages []string) *problem {
	if len(messages) == 0 {
		return nil
	}

	return &problem{reason, strings.Join(messages, "; ")}
}
