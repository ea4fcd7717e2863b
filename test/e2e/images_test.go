package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// TestImages changes the PostgreSQL image: to one that is not there, to another build, to another major version.
func TestImages(t *testing.T) {
	t.Parallel()

	f := newFixture(t, "images")
	f.start(t, f.newCluster(3))
	f.sql(t, f.primary(t), "app", "CREATE TABLE t AS SELECT 1 AS id")

	step(t, f, "another major is refused", otherMajor)
	step(t, f, "an image that is not there stops at the first replica", wrongImage)
	step(t, f, "another build of the same major, replicas first", rollImage)
	step(t, f, "supervised: the primary waits for the user", supervised)
}

func otherMajor(t *testing.T, f *fixture) {
	t.Helper()

	before := f.podUIDs(t)
	f.setImage(t, image("15"))
	f.waitCondition(t, postgresqlv1.ConditionStalled, postgresqlv1.ReasonMajorVersionChange, "spec.imageName")
	samePods(t, f, before)
	f.setImage(t, image(mainMajor))
	f.waitReady(t)
	samePods(t, f, before)
}

func (f *fixture) setImage(t *testing.T, name string) {
	t.Helper()
	f.change(t, func(cluster *postgresqlv1.Cluster) { cluster.Spec.ImageName = name })
}

func samePods(t *testing.T, f *fixture, before map[string]string) {
	t.Helper()

	for name, uid := range f.podUIDs(t) {
		if before[name] != uid {
			t.Errorf("pod %s was replaced", name)
		}
	}
}

func wrongImage(t *testing.T, f *fixture) {
	t.Helper()

	before, primary := f.podUIDs(t), f.primary(t)
	f.setImage(t, image(mainMajor)+".999")

	kube.Eventually(t, readyTimeout, "the status names the image that cannot be pulled", func(ctx context.Context) error {
		cluster, err := f.get(ctx)
		if err != nil {
			return err
		}

		if all := conditionsOf(cluster); !strings.Contains(all, postgresqlv1.ReasonImagePullFailed) || !strings.Contains(all, ".999") {
			return fmt.Errorf("%s", all)
		}

		return nil
	})

	kube.Always(t, 5*time.Second, "only one replica is affected", func(ctx context.Context) error {
		changed := 0

		for name, uid := range f.podUIDs(t) {
			if before[name] == uid {
				continue
			}

			changed++

			if name == primary {
				return fmt.Errorf("the primary was replaced")
			}
		}

		if changed > 1 {
			return fmt.Errorf("%d pods were replaced", changed)
		}

		_, err := f.trySQL(ctx, primary, "app", "INSERT INTO t VALUES (2)")

		return err
	})

	f.setImage(t, image(mainMajor))
	f.waitReady(t)

	if got := f.podUIDs(t)[primary]; got != before[primary] {
		t.Errorf("the primary was replaced")
	}
}

// rollImage watches the pods' ages: the primary's must be the youngest in the end, each replica was ready before the next
// pod went.
func rollImage(t *testing.T, f *fixture) {
	t.Helper()
	needImage(t, mainMajor+"-b")

	before, primary := f.podUIDs(t), f.primary(t)
	f.setImage(t, image(mainMajor+"-b"))
	f.waitReady(t)

	pods := f.pods(t)
	for name, pod := range pods {
		if string(pod.UID) == before[name] {
			t.Errorf("%s was not replaced", name)
		}

		if got := pod.Spec.Containers[0].Image; got != image(mainMajor+"-b") {
			t.Errorf("%s runs %s", name, got)
		}

		if current := pods[primary]; pod.CreationTimestamp.After(current.CreationTimestamp.Time) {
			t.Errorf("%s was replaced after the primary", name)
		}
	}

	f.waitSQL(t, f.primary(t), "postgres", "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'", "2")

	if got := f.sql(t, f.primary(t), "app", "SELECT count(*) > 0 FROM t"); got != "t" {
		t.Errorf("data is lost")
	}
}

func supervised(t *testing.T, f *fixture) {
	t.Helper()
	needImage(t, mainMajor+"-b")

	before, primary := f.podUIDs(t), f.primary(t)
	f.change(t, func(cluster *postgresqlv1.Cluster) {
		cluster.Spec.PrimaryUpdateStrategy = postgresqlv1.PrimaryUpdateSupervised
		cluster.Spec.ImageName = image(mainMajor)
	})

	kube.Eventually(t, readyTimeout, "the replicas are replaced and the status waits for the user", func(ctx context.Context) error {
		cluster, err := f.get(ctx)
		if err != nil {
			return err
		}

		if all := conditionsOf(cluster); !strings.Contains(all, postgresqlv1.ReasonWaitingForUser) {
			return fmt.Errorf("%s", all)
		}

		return nil
	})

	for name, uid := range f.podUIDs(t) {
		if (uid == before[name]) != (name == primary) {
			t.Errorf("%s: replaced is %t, though the primary alone must wait", name, uid != before[name])
		}
	}

	f.change(t, func(cluster *postgresqlv1.Cluster) {
		cluster.Spec.PrimaryUpdateStrategy = postgresqlv1.PrimaryUpdateUnsupervised
	})
	f.waitReady(t)

	if f.podUIDs(t)[primary] == before[primary] {
		t.Errorf("the primary was not replaced in the end")
	}
}

// TestMajors starts each PostgreSQL there is, in each layout and under each user that images come with.
//
//nolint:tparallel // one after the other: the machine is small
func TestMajors(t *testing.T) {
	t.Parallel()

	tags := []struct {
		tag   string
		major string
		uid   int64
	}{
		{tag: "15", major: "15"},
		{tag: "18", major: "18"},
		{tag: "17-official", major: "17", uid: 999},
		{tag: "17-cnpg", major: "17", uid: 26},
	}

	for _, tt := range tags {
		t.Run(tt.tag, func(t *testing.T) {
			needImage(t, tt.tag)

			f := newFixture(t, "major")
			f.start(t, f.newCluster(2, func(spec *postgresqlv1.ClusterSpec) {
				spec.ImageName = image(tt.tag)
				if tt.uid != 0 {
					spec.PostgresUID, spec.PostgresGID = new(tt.uid), new(tt.uid)
				}
			}))

			primary := f.primary(t)
			f.sql(t, primary, "app", "CREATE TABLE t AS SELECT 1 AS id")
			f.waitSQL(t, f.replicas(t)[0], "app", "SELECT count(*) FROM t", "1")

			if got := f.sql(t, primary, "postgres", "SHOW server_version"); !strings.HasPrefix(got, tt.major+".") {
				t.Errorf("the server is %s", got)
			}

			if cluster := f.cluster(t); fmt.Sprint(cluster.Status.Major) != tt.major || !strings.HasPrefix(cluster.Status.Version, tt.major+".") {
				t.Errorf("status says major %d, version %s", cluster.Status.Major, cluster.Status.Version)
			}

			if tt.uid != 0 {
				if got, err := f.Exec(t.Context(), f.container(primary), "id", "-u"); err != nil || got != fmt.Sprint(tt.uid) {
					t.Errorf("it runs as %s, not %d: %v", got, tt.uid, err)
				}
			}

			crossMajor(t, f, primary)
		})
	}
}

// crossMajor changes what differs between majors the most: what they log, and a parameter that needs a restart.
func crossMajor(t *testing.T, f *fixture, primary string) {
	t.Helper()

	f.setParameter(t, "max_connections", "60")

	for _, instance := range f.instances(t) {
		f.waitSQL(t, instance, "postgres", "SHOW max_connections", "60")
	}

	f.waitReady(t)
	f.sql(t, primary, "postgres", "DO $$ BEGIN RAISE WARNING 'a word for the log'; END $$")

	kube.Eventually(t, 30*time.Second, "PostgreSQL's log is in the container's", func(ctx context.Context) error {
		log, err := f.Clientset.CoreV1().Pods(f.namespace).GetLogs(primary, &corev1.PodLogOptions{Container: "postgres"}).DoRaw(ctx)
		if err == nil && !strings.Contains(string(log), "a word for the log") {
			err = fmt.Errorf("it is not")
		}

		return err
	})
}
