package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// fillUntilRefused writes as a client would, about 8 MB with each statement, until a statement fails, and prints why.
const fillUntilRefused = `for i in $(seq 1 400); do
  psql -Xq app -c "SET ROLE app" -c "INSERT INTO t (pad) SELECT repeat(md5(g::text), 30) FROM generate_series(1, 8000) g" 2>&1 || exit 0
done
echo "nothing was refused"`

// TestDiskFull fills a volume of its own by writes: no PANIC, reads go on, the status says what to do, and writes resume
// once the volume has grown, first by the user's hand, then by itself.
func TestDiskFull(t *testing.T) {
	t.Parallel()

	f := newFixture(t, "disk")
	if f.environment.expandableClass == "" {
		t.Skip("no storage class whose volumes have filesystems of their own and grow (CARETAKER_EXPANDABLE_STORAGE_CLASS)")
	}

	f.start(t, f.newCluster(1, func(spec *postgresqlv1.ClusterSpec) {
		spec.Storage.Size = "400Mi"
		spec.Storage.StorageClass = &f.environment.expandableClass
	}))
	f.sql(t, "db-0", "app", "CREATE TABLE t (id bigserial, pad text); GRANT ALL ON t, t_id_seq TO app")

	step(t, f, "it fills up", fillUp)
	step(t, f, "room can be made by hand", makeRoom)
	step(t, f, "the volume grows", growFull)
	step(t, f, "the volume grows by itself", growByItself)
}

func fillUp(t *testing.T, f *fixture) {
	t.Helper()

	out, err := f.Exec(t.Context(), f.container("db-0"), "bash", "-c", fillUntilRefused)
	if err != nil || !strings.Contains(out, "read-only transaction") && !strings.Contains(out, "terminating connection") {
		t.Fatalf("the writes ended with: %s (%v)", out, err)
	}

	f.waitCondition(t, postgresqlv1.ConditionStalled, postgresqlv1.ReasonVolumeFull, "Make spec.storage.size larger than 400Mi")
	f.sql(t, "db-0", "app", "SELECT count(*) FROM t")

	if out, err := f.trySQL(t.Context(), "db-0", "app", "INSERT INTO t (pad) VALUES ('x')"); err == nil {
		t.Errorf("a write to a full volume: %s", out)
	}

	f.neverPanicked(t)
}

// neverPanicked: PostgreSQL has not ended, and has not said the word.
func (f *fixture) neverPanicked(t *testing.T) {
	t.Helper()

	log, err := f.Clientset.CoreV1().Pods(f.namespace).GetLogs("db-0", &corev1.PodLogOptions{Container: "postgres"}).DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	if strings.Contains(string(log), `"severity":"PANIC"`) || strings.Contains(string(log), "PostgreSQL ended by itself") {
		t.Error("PostgreSQL ended for want of room")
	}
}

func makeRoom(t *testing.T, f *fixture) {
	t.Helper()

	out, err := f.Exec(t.Context(), f.container("db-0"), "psql", "-X", "app", "-c", "SET default_transaction_read_only = off",
		"-c", "TRUNCATE t", "-c", "CHECKPOINT")
	if err != nil {
		t.Fatalf("%s: %v", out, err)
	}

	f.writesResume(t)
	f.waitReady(t)
}

func (f *fixture) writesResume(t *testing.T) {
	t.Helper()
	kube.Eventually(t, readyTimeout, "writes resume", func(ctx context.Context) error {
		out, err := f.trySQL(ctx, "db-0", "app", "INSERT INTO t (pad) VALUES ('x')")
		if err != nil {
			return fmt.Errorf("%s: %w", out, err)
		}

		return nil
	})
}

func growFull(t *testing.T, f *fixture) {
	t.Helper()
	fillUp(t, f)
	f.change(t, func(c *postgresqlv1.Cluster) { c.Spec.Storage.Size = "800Mi" })
	f.writesResume(t)
	f.waitReady(t)
	kube.Eventually(t, readyTimeout, "there is room", func(ctx context.Context) error {
		cluster, err := f.get(ctx)
		if err != nil {
			return err
		}

		for _, c := range cluster.Status.Conditions {
			if c.Type == postgresqlv1.ConditionDiskSpace && c.Status == metav1.ConditionTrue {
				return nil
			}
		}

		return errors.New("the condition DiskSpace is not True: " + conditionsOf(cluster))
	})
	f.neverPanicked(t)
}

func growByItself(t *testing.T, f *fixture) {
	t.Helper()
	f.change(t, func(c *postgresqlv1.Cluster) {
		c.Spec.Storage.AutoGrow = &postgresqlv1.AutoGrowConfiguration{Limit: "1200Mi"}
	})

	// It may be full for a moment before it has grown.
	kube.Eventually(t, readyTimeout, "it has grown to the limit", func(ctx context.Context) error {
		_, err := f.trySQL(ctx, "db-0", "app", "INSERT INTO t (pad) SELECT repeat(md5(g::text), 30) FROM generate_series(1, 8000) g")

		cluster, getErr := f.get(ctx)
		if getErr != nil {
			return getErr
		}

		if cluster.Status.StorageSize != "1200Mi" {
			return fmt.Errorf("status.storageSize is %q; the last write: %w", cluster.Status.StorageSize, err)
		}

		return nil
	})
	f.writesResume(t)
	f.waitReady(t)

	if size := f.cluster(t).Spec.Storage.Size; size != "800Mi" {
		t.Errorf("spec.storage.size became %s: it is the user's", size)
	}

	f.neverPanicked(t)
}
