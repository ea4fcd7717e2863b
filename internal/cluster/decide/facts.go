package decide

import (
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// Which instances there shall be:
//
//	existing  = ordinals that have a volume or a pod, and the primary's (or the bootstrap instance's)
//	too few   → the lowest free ordinals are added
//	too many  → the highest are surplus, once there is a primary; one that leads is a member until it has handed over
//
// An ordinal counts as long as anything of it is left, so that a new member never meets its predecessor's leftovers. One whose
// volume was set aside is not used.

// facts are what follows from a View without a decision.
type facts struct {
	View

	// primary is the name of the instance that leads, or shall bootstrap; empty without a record.
	primary string
	// established: the primary of the record has committed in its term.
	established bool
	// recoversInPlace: the record was made for a recovery in place, and nothing has been recovered yet.
	recoversInPlace bool
	// members shall exist, in order; surplus shall go, the first first.
	members []string
	surplus []string
	// heirs are the members that stay when the primary, as one too many, must hand over; empty if it stays itself.
	heirs []string
	// image that the instances shall run.
	image string
	// pinned is the major version of the data; 0 if there is none yet, or it is not known.
	pinned int
	// major is the pinned one, or else the image's; 0 while not known.
	major int
	// input is what objects are built from.
	input build.Input
	// config is what instances shall be configured with, and hash what they answer when they are.
	config []byte
	hash   string
	// specHash is what a pod that is up to date was made from.
	specHash string
	// states of the members by name.
	states map[string]memberState
}

func newFacts(view View) facts {
	f := facts{View: view}

	if view.Record != nil {
		f.established = view.Record.Spec.Established
		f.recoversInPlace = !f.established && view.Record.Annotations[naming.AnnotationRecoverInPlace] != ""
		f.primary = view.Record.Spec.Bootstrap

		if view.Record.Spec.Primary != nil {
			f.primary = view.Record.Spec.Primary.Name
		}
	}

	f.chooseMembers()
	f.image = f.chooseImage()
	f.pinned = f.pinnedMajor()
	f.major = f.chooseMajor()
	f.input = build.Input{
		Cluster: view.Cluster, Image: f.image, Major: f.major, Operator: view.Operator, Members: f.members,
		RecoveryBackup: view.RecoveryBackup, Recovering: f.isNew(), First: f.primary,
		InPlaceBackup: view.InPlaceBackup, RecoveringInPlace: f.recoversInPlace,
		Smallest: f.smallestVolume(), App: f.appCredentials(), Superuser: f.superuserCredentials(), Certificates: view.Certificates.Certificates,
		Copies: build.CopiesSecret(view.Cluster, view.Secrets), Snapshots: snapshotMarks(view.Volumes, nil),
	}
	f.config = build.EncodedConfig(f.input)
	f.hash = instanceapi.HashBytes(f.config)
	f.specHash = build.PodSpecHash(f.input)

	f.states = map[string]memberState{}
	for _, name := range append(slices.Clone(f.members), f.surplus...) {
		f.states[name] = f.memberState(name)
	}

	return f
}

// isNew: where the data come from is as spec.bootstrap says, and they are still to be made.
func (f *facts) isNew() bool {
	last := f.Cluster.Status.RecoverInPlace

	return !f.established && !f.recoversInPlace && (last == nil || last.Step == v1.InPlaceCompleted)
}

// smallestVolume is what the smallest volume asks for; zero if there is none.
func (f *facts) smallestVolume() (smallest resource.Quantity) {
	for _, volume := range f.Volumes {
		size := volume.Spec.Resources.Requests[corev1.ResourceStorage]
		if smallest.IsZero() || size.Cmp(smallest) < 0 {
			smallest = size
		}
	}

	return smallest
}

func (f *facts) chooseMembers() {
	ordinals := map[int]bool{}

	note := func(name string) {
		if n, ok := naming.Ordinal(f.Cluster.Name, name); ok {
			ordinals[n] = true
		}
	}

	for name := range f.Volumes {
		note(name)
	}

	for name := range f.Pods {
		note(name)
	}

	note(f.primary)

	wanted := int(f.Cluster.Spec.Instances)
	for n := 0; len(ordinals) < wanted; n++ {
		if f.SetAside[naming.Instance(f.Cluster.Name, n)] == nil {
			ordinals[n] = true
		}
	}

	for _, n := range slices.Sorted(maps.Keys(ordinals)) {
		f.members = append(f.members, naming.Instance(f.Cluster.Name, n))
	}

	if !f.established || len(f.members) <= wanted {
		return
	}

	stay, surplus := f.members[:wanted:wanted], slices.Clone(f.members[wanted:])
	if slices.Contains(surplus, f.primary) {
		f.heirs = stay

		return
	}

	slices.Reverse(surplus)
	f.members, f.surplus = stay, surplus
}

// chooseImage pins the image at creation: a new default of the operator never moves an existing Cluster. The volumes
// remember it, for a Cluster that is made again on them; so do pods, for an operator that dies before its first status.
func (f *facts) chooseImage() string {
	if f.Cluster.Spec.ImageName != "" {
		return f.Cluster.Spec.ImageName
	}

	if f.Cluster.Status.Image != "" {
		return f.Cluster.Status.Image
	}

	for _, name := range slices.Sorted(maps.Keys(f.Pods)) {
		if container := postgresContainer(f.Pods[name]); container != nil {
			return container.Image
		}
	}

	for _, name := range slices.Sorted(maps.Keys(f.Volumes)) {
		if image := f.Volumes[name].Annotations[naming.AnnotationImage]; image != "" {
			return image
		}
	}

	return f.DefaultImage
}

func postgresContainer(pod *corev1.Pod) *corev1.Container {
	for i := range pod.Spec.Containers {
		if pod.Spec.Containers[i].Name == build.ContainerPostgres {
			return &pod.Spec.Containers[i]
		}
	}

	return nil
}

func (f *facts) pinnedMajor() int {
	if f.Cluster.Status.Major != 0 {
		return int(f.Cluster.Status.Major)
	}

	for _, name := range slices.Sorted(maps.Keys(f.Volumes)) {
		if major, err := strconv.Atoi(f.Volumes[name].Annotations[naming.AnnotationMajor]); err == nil {
			return major
		}
	}

	if report, ok := f.Reports[f.primary]; ok && f.established && report.Status != nil {
		return report.Status.Major
	}

	return 0
}

func (f *facts) chooseMajor() int {
	if f.pinned != 0 {
		return f.pinned
	}

	if major, ok := postgres.ParseMajorFromImage(f.image); ok {
		return major
	}

	for _, name := range slices.Sorted(maps.Keys(f.Reports)) {
		if status := f.Reports[name].Status; status != nil && status.Major != 0 {
			return status.Major
		}
	}

	return 0
}

// appCredentials are the user's where a secret is named, or else what our own secret holds, or else new.
func (f *facts) appCredentials() *build.Credentials {
	spec := f.Cluster.Spec
	secret := naming.SecretApp(f.Cluster.Name)

	if spec.Bootstrap != nil && spec.Bootstrap.PgBaseBackup != nil {
		given := spec.Bootstrap.PgBaseBackup
		if given.Owner == "" {
			return nil
		}

		return f.credentials(secret, given.Secret, build.Credentials{User: given.Owner, Database: firstOf(given.Database, given.Owner)})
	}

	if spec.Bootstrap != nil && spec.Bootstrap.Recovery != nil {
		return f.credentials(secret, spec.Bootstrap.Recovery.Secret, build.RecoveryOwner(*spec.Bootstrap.Recovery))
	}

	initdb := build.InitDB(spec)

	return f.credentials(secret, initdb.Secret, build.Credentials{User: initdb.Owner, Database: initdb.Database})
}

func (f *facts) superuserCredentials() *build.Credentials {
	if on := f.Cluster.Spec.EnableSuperuserAccess; on == nil || !*on {
		return nil
	}

	return f.credentials(naming.SecretSuperuser(f.Cluster.Name), f.Cluster.Spec.SuperuserSecret,
		build.Credentials{User: postgres.Superuser, Database: postgres.Superuser})
}

func (f *facts) credentials(secret string, users *v1.LocalObjectReference, c build.Credentials) *build.Credentials {
	if users != nil {
		c.Password = string(f.Secrets[users.Name]["password"])

		return &c
	}

	if own, ok := f.Owned[Key{"Secret", secret}].(*corev1.Secret); ok && len(own.Data["password"]) > 0 {
		c.Password = string(own.Data["password"])

		return &c
	}

	c.Password = f.NewPassword[secret]

	return &c
}

func firstOf(values ...string) string {
	for _, value := range values {
		if value != "" {
			return value
		}
	}

	return ""
}
