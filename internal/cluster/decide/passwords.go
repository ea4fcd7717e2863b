package decide

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// Passwords reach PostgreSQL through mounted Secrets, and the primary's PID 1 says which are in force. While those are
// not the ones that the Secrets hold, the Cluster is not ready: a client would be refused. The kubelet looks at mounted
// Secrets only every minute or so, but at once when the pod changes; so the pod is given an annotation.
func (p *planner) passwords() {
	report, pod := p.states[p.primary].report, p.Pods[p.primary]
	// An instance that does not say what is in force is of an earlier version.
	if !p.established || report == nil || report.State != instanceapi.StateRunning || pod.DeletionTimestamp != nil ||
		report.PasswordsHash == "" || report.PasswordsHash == p.passwordsHash() {
		return
	}

	if versions := p.secretVersions(); versions != "" && pod.Annotations[naming.AnnotationMounts] != versions {
		p.act(PatchMetadata{
			Object: pod, OwnerReferences: build.Pod(p.input, p.primary).OwnerReferences,
			Annotations: map[string]string{naming.AnnotationMounts: versions},
		})
	}

	p.wait(v1.ReasonConfiguring, fmt.Sprintf("Applying the passwords to %s (%s)", p.primary, p.readiness()))
}

// passwordsHash is of what the primary should have in force.
func (f *facts) passwordsHash() string {
	byRole := map[string]string{postgres.Superuser: ""}
	for _, login := range []*build.Credentials{f.input.App, f.input.Superuser} {
		if login != nil {
			byRole[login.User] = login.Password
		}
	}

	return instanceapi.HashPasswords(byRole)
}

// secretVersions are the versions of the Secrets with passwords, as they were last seen; empty if one is not there yet.
func (f *facts) secretVersions() string {
	var versions []string

	for name, login := range map[string]*build.Credentials{
		naming.SecretApp(f.Cluster.Name): f.input.App, naming.SecretSuperuser(f.Cluster.Name): f.input.Superuser,
	} {
		if login == nil {
			continue
		}

		secret, ok := f.Owned[Key{"Secret", name}].(*corev1.Secret)
		if !ok || string(secret.Data["password"]) != login.Password {
			return ""
		}

		versions = append(versions, secret.ResourceVersion)
	}

	slices.Sort(versions)

	return strings.Join(versions, ".")
}
