package build_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/diff"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

var update = flag.Bool("update", false, "write the golden files")

// smallest is the least that a user can write.
func smallest() build.Input {
	return build.Input{
		Cluster: &v1.Cluster{
			ObjectMeta: metav1.ObjectMeta{Name: "small", Namespace: "apps", UID: "11111111-2222-3333-4444-555555555555"},
			Spec:       v1.ClusterSpec{Instances: 1, Storage: v1.StorageConfiguration{Size: "1Gi"}},
		},
		Image:    "postgres:17.5",
		Major:    17,
		Operator: build.Operator{Image: "caretaker.example/caretaker:1.0.0"},
		Members:  []string{"small-0"},
		App:      &build.Credentials{User: "app", Password: "secret", Database: "app"},
		Certificates: build.Certificates{
			CA:             map[string][]byte{"ca.crt": []byte("CA"), "ca.key": []byte("CA KEY")},
			Server:         map[string][]byte{"tls.crt": []byte("SERVER"), "tls.key": []byte("SERVER KEY")},
			Replication:    map[string][]byte{"tls.crt": []byte("CLIENT"), "tls.key": []byte("CLIENT KEY")},
			ServerCABundle: []byte("CA"), ClientCABundle: []byte("CA"),
		},
	}
}

// fullest uses every field that reaches an object.
func fullest(t *testing.T) build.Input {
	t.Helper()

	in := smallest()

	manifest, err := os.ReadFile(filepath.Join("testdata", "fullest.yaml"))
	if err != nil {
		t.Fatal(err)
	}

	cluster := &v1.Cluster{}
	if err := yaml.UnmarshalStrict(manifest, cluster); err != nil {
		t.Fatal(err)
	}

	in.Cluster = cluster
	in.Image = cluster.Spec.ImageName
	in.Members = []string{"full-0", "full-1", "full-2"}
	in.App = &build.Credentials{User: "trader", Password: "p@ss w/rd", Database: "trading"}
	in.Superuser = &build.Credentials{User: "postgres", Password: "root", Database: "postgres"}
	in.Operator.PullPolicy = "IfNotPresent"

	return in
}

func objectsOf(in build.Input) []build.Object {
	objects := append([]build.Object{build.ClusterTerm(in.Cluster, in.Members[0])}, build.All(in)...)
	for _, member := range in.Members[:1] {
		objects = append(objects, build.PersistentVolumeClaim(in, build.Volume{Instance: member}), build.Pod(in, member))
	}

	return append(objects, build.PodMonitor(in))
}

func TestObjectsAreAsTheGoldenFilesSay(t *testing.T) {
	t.Parallel()

	for name, in := range map[string]build.Input{"smallest": smallest(), "fullest": fullest(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			var got bytes.Buffer

			for _, object := range objectsOf(in) {
				u, err := diff.Unstructured(object)
				if err != nil {
					t.Fatal(err)
				}

				encoded, err := yaml.Marshal(u.Object)
				if err != nil {
					t.Fatal(err)
				}

				got.WriteString("---\n")
				got.Write(encoded)
			}

			golden := filepath.Join("testdata", name+".golden.yaml")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}

			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("objects differ from %s (-want +got); go test -update writes it:\n%s", golden, diff)
			}
		})
	}
}

// A newer operator must not restart databases: the hash of pods that exist out there must never change by itself.
func TestPodSpecHashIsTheSameForever(t *testing.T) {
	t.Parallel()

	for _, tc := range []struct {
		name, want string
		in         build.Input
	}{
		{"smallest", "a1017db57e590f2c", smallest()},
		{"fullest", "070e0f9699bfb1b2", fullest(t)},
	} {
		if got := build.PodSpecHash(tc.in); got != tc.want {
			t.Errorf("%s: hash is %s, was %s in earlier releases: every pod would be replaced by the upgrade", tc.name, got, tc.want)
		}
	}
}

func TestWhatMakesAPodOutdated(t *testing.T) {
	t.Parallel()

	for _, tc := range []struct {
		name   string
		change func(*build.Input)
		want   bool
	}{
		{"another operator image", func(in *build.Input) { in.Operator.Image = "caretaker.example/caretaker:2.0.0" }, false},
		{"more members", func(in *build.Input) { in.Members = append(in.Members, "small-1"); in.Cluster.Spec.Instances = 2 }, false},
		{"a parameter", func(in *build.Input) {
			in.Cluster.Spec.PostgreSQL.Parameters = map[string]string{"work_mem": "8MB"}
		}, false},
		{"a longer stop", func(in *build.Input) { n := int32(600); in.Cluster.Spec.StopDelay = &n }, false},
		{"inherited labels", func(in *build.Input) {
			in.Cluster.Spec.InheritedMetadata = &v1.EmbeddedMetadata{Labels: map[string]string{"team": "a"}}
		}, false},
		{"the default written out", func(in *build.Input) { on := true; in.Cluster.Spec.Affinity.EnablePodAntiAffinity = &on }, false},
		{"another image", func(in *build.Input) { in.Image = "postgres:17.6" }, true},
		{"resources", func(in *build.Input) {
			in.Cluster.Spec.Resources.Limits = corev1.ResourceList{"memory": resource.MustParse("1Gi")}
		}, true},
		{"environment", func(in *build.Input) { in.Cluster.Spec.Env = []corev1.EnvVar{{Name: "TZ", Value: "UTC"}} }, true},
		{"required anti-affinity", func(in *build.Input) { in.Cluster.Spec.Affinity.PodAntiAffinityType = "required" }, true},
		{"tolerations", func(in *build.Input) { in.Cluster.Spec.Affinity.Tolerations = []corev1.Toleration{{Key: "db"}} }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			before, after := smallest(), smallest()
			tc.change(&after)

			if got := build.PodSpecHash(before) != build.PodSpecHash(after); got != tc.want {
				t.Errorf("makes the pod outdated: %v, want %v", got, tc.want)
			}
		})
	}
}

func TestUserOfThePod(t *testing.T) {
	t.Parallel()

	own := int64(1234)

	for _, tc := range []struct {
		image string
		uid   *int64
		want  int64
	}{
		{"postgres:17", nil, 999},
		{"postgres:17-alpine", nil, 70},
		{"registry.example.com/cloudnative-pg/postgresql:16", nil, 26},
		{"registry.example.com/cloudnative-pg/postgresql:16", &own, 1234},
	} {
		in := smallest()
		in.Image, in.Cluster.Spec.PostgresUID = tc.image, tc.uid

		security := build.Pod(in, "small-0").Spec.SecurityContext
		if *security.RunAsUser != tc.want || *security.FSGroup != tc.want {
			t.Errorf("%s: runs as %d:%d, want %d", tc.image, *security.RunAsUser, *security.FSGroup, tc.want)
		}
	}
}

func TestVolumeOnlyGrows(t *testing.T) {
	t.Parallel()

	no := false

	for _, tc := range []struct {
		name, has, wanted, want string
		resize                  *bool
	}{
		{"grows", "1Gi", "2Gi", "2Gi", nil},
		{"never shrinks", "3Gi", "2Gi", "3Gi", nil},
		{"not in use, if so asked", "1Gi", "2Gi", "1Gi", &no},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			in := smallest()
			live := build.PersistentVolumeClaim(in, build.Volume{Instance: "small-0"})
			live.Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse(tc.has)
			live.Spec.VolumeName = "pv-17"

			in.Cluster.Spec.Storage.Size, in.Cluster.Spec.Storage.ResizeInUseVolumes = tc.wanted, tc.resize
			got := build.PersistentVolumeClaim(in, build.Volume{Instance: "small-0", Live: live})

			if size := got.Spec.Resources.Requests[corev1.ResourceStorage]; size.String() != tc.want {
				t.Errorf("asks for %s, want %s", size.String(), tc.want)
			}

			if got.Spec.VolumeName != "pv-17" {
				t.Errorf("volume name %q: what cannot change must stay as it is", got.Spec.VolumeName)
			}
		})
	}
}

func TestVolumeThatIsAsItShouldBeIsNotWritten(t *testing.T) {
	t.Parallel()

	in := smallest()
	live := build.PersistentVolumeClaim(in, build.Volume{Instance: "small-0"})
	live.Spec.VolumeName = "pv-17"
	live.Status.Phase = corev1.ClaimBound

	differs, err := diff.Differs(build.PersistentVolumeClaim(in, build.Volume{Instance: "small-0", Live: live}), live)
	if err != nil || differs {
		t.Errorf("a bound claim would be written again (differs %v, error %v)", differs, err)
	}
}

func TestDeletionPolicyDecidesWhoOwnsTheData(t *testing.T) {
	t.Parallel()

	for policy, want := range map[v1.DeletionPolicy]int{"": 0, v1.DeletionPolicyRetain: 0, v1.DeletionPolicyDelete: 1} {
		in := smallest()
		in.Cluster.Spec.DeletionPolicy = policy

		if got := len(build.PersistentVolumeClaim(in, build.Volume{Instance: "small-0"}).OwnerReferences); got != want {
			t.Errorf("%q: the volume has %d owners, want %d", policy, got, want)
		}

		if got := len(build.ClusterTerm(in.Cluster, "small-0").OwnerReferences); got != want {
			t.Errorf("%q: the record has %d owners, want %d", policy, got, want)
		}
	}
}

func TestWhatIsOurs(t *testing.T) {
	t.Parallel()

	cluster := smallest().Cluster
	controller := true

	for _, tc := range []struct {
		name   string
		labels map[string]string
		owner  *metav1.OwnerReference
		want   bool
	}{
		{"labels", naming.CommonLabels("small"), nil, true},
		{"a user's object", nil, nil, false},
		{"another Cluster's", naming.CommonLabels("other"), nil, false},
		{"ours without labels", nil, &metav1.OwnerReference{Kind: "Cluster", Name: "small", UID: cluster.UID, Controller: &controller}, true},
		{
			"an earlier Cluster's", naming.CommonLabels("small"),
			&metav1.OwnerReference{Kind: "Cluster", Name: "small", UID: "old", Controller: &controller}, true,
		},
		{
			"labels, but controlled by something else", naming.CommonLabels("small"),
			&metav1.OwnerReference{Kind: "Deployment", Name: "small", UID: "other", Controller: &controller}, false,
		},
	} {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Labels: tc.labels}}
		if tc.owner != nil {
			secret.OwnerReferences = []metav1.OwnerReference{*tc.owner}
		}

		if got := build.IsOurs(cluster, secret); got != tc.want {
			t.Errorf("%s: ours is %v, want %v", tc.name, got, tc.want)
		}
	}
}
