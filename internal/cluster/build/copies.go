package build

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// defaultCopyInterval is that of the CRD, for those who build objects without an API server.
const defaultCopyInterval = 5 * time.Minute

// Copy is a further store that the archive is brought to.
type Copy struct {
	Place

	Given v1.ArchiveCopy
}

// Copies of a Cluster's archive. The folder of a copy is the archive's unless it names another, so that the copy of a Cluster that
// was recovered under another name does not get into that of the first one.
func Copies(cluster *v1.Cluster) []Copy {
	own, archives := OwnPlace(cluster)
	if !archives {
		return nil
	}

	var copies []Copy

	for _, given := range cluster.Spec.Backup.Copies {
		store := given.ObjectStore
		copies = append(copies, Copy{
			Place: Place{Field: "spec.backup.copies[" + given.Name + "].objectStore", Store: &store, Cluster: own.Server()}, Given: given,
		})
	}

	return copies
}

// Interval between two turns.
func (c Copy) Interval() time.Duration {
	if c.Given.Interval == nil {
		return defaultCopyInterval
	}

	return c.Given.Interval.Duration
}

// filePrefix of the keys in the Secret of copies: it has the credentials of all of them.
func (c Copy) filePrefix() string { return c.Given.Name + "." }

// CopiesSecret is the data of the Secret with the copies' credentials, from the user's Secrets. What is missing there is left out,
// and reported. Pods mount this one Secret, and not the user's: so they need not be made again when copies change.
func CopiesSecret(cluster *v1.Cluster, users map[string]map[string][]byte) map[string][]byte {
	var data map[string][]byte

	for _, c := range Copies(cluster) {
		for _, secret := range c.Secrets() {
			if value := users[secret.Selector.Name][secret.Selector.Key]; len(value) > 0 {
				if data == nil {
					data = map[string][]byte{}
				}

				data[c.filePrefix()+secret.File] = value
			}
		}
	}

	return data
}

// LacksCopies says whether a pod was made by a version that knew no copies, and cannot see credentials that it would need.
func LacksCopies(in Input, pod *corev1.Pod) bool {
	if len(in.Copies) == 0 {
		return false
	}

	for _, volume := range pod.Spec.Volumes {
		if volume.Name == volumeCopies {
			return false
		}
	}

	return true
}

func copies(cluster *v1.Cluster) []instanceapi.Copy {
	var all []instanceapi.Copy

	for _, c := range Copies(cluster) {
		to := c.Archive(instanceapi.CopiesDir, "")
		to.Prefix, to.Retention = c.filePrefix(), c.Given.RetentionPolicy

		all = append(all, instanceapi.Copy{Name: c.Given.Name, To: to, IntervalSeconds: int(c.Interval().Seconds())})
	}

	return all
}

// CheckCopies says what is wrong with a copy's place; empty if nothing is.
func CheckCopies(cluster *v1.Cluster) string {
	own, archives := OwnPlace(cluster)
	if !archives {
		return ""
	}

	known := []Place{own}

	for _, c := range Copies(cluster) {
		for _, other := range known {
			if c.IsSame(other) {
				return fmt.Sprintf("%s: is the same place as %s (folder %s); name another bucket or path, or leave this copy out",
					c.Field, other.Field, c.Server())
			}
		}

		known = append(known, c.Place)
	}

	return ""
}
