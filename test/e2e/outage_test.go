package e2e

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

const (
	// outage is how long the store is down; CARETAKER_E2E_OUTAGE=1h is what is asked of a release.
	outage = 2 * time.Minute
	// toldWithin is how soon the condition says so.
	toldWithin = time.Minute
	// paceOfWrites in the outage: each ends a segment, 16 MiB that wait on the volume.
	paceOfWrites = 10 * time.Second
)

// TestOutage stops the store for long, and changes the primary meanwhile: PostgreSQL goes on, the Cluster says so within a minute,
// and afterwards the archive gets everything by itself, so that a moment in the middle of the outage can be reached.
func TestOutage(t *testing.T) {
	longOnly(t)
	t.Parallel()

	o := &outageTest{duration: outage}

	if text := os.Getenv("CARETAKER_E2E_OUTAGE"); text != "" {
		duration, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("CARETAKER_E2E_OUTAGE: %v", err)
		}

		o.duration = duration
	}

	o.backupTest = newFixture(t, "outage").startArchiving(t, func(spec *postgresqlv1.ClusterSpec) {
		spec.Storage.Size = "10Gi"
	})

	step(t, o, "WAL is archived, and a backup is taken", func(t *testing.T, o *outageTest) {
		t.Helper()
		o.write(t, "CREATE TABLE ledger (n int)")
		o.waitArchiving(t, metav1.ConditionTrue, "s3://backups/financial-db")
		o.takeBackup(t, "first")
	})
	step(t, o, "the store goes, and the Cluster says so", func(t *testing.T, o *outageTest) {
		t.Helper()
		o.began = time.Now()
		o.scaleS3(t, s3Name, 0)
		o.writeOn(t)
		o.waitArchiving(t, metav1.ConditionFalse, "PostgreSQL goes on")

		told := time.Since(o.began)
		t.Logf("the condition said so after %s", told.Round(time.Second))

		if told > toldWithin {
			t.Errorf("the condition said so after %s, not within %s", told, toldWithin)
		}
	})
	step(t, o, "PostgreSQL goes on", func(t *testing.T, o *outageTest) {
		t.Helper()
		o.writeUntil(t, o.duration/3)
		o.rememberMoment(t)
		o.rows = o.written
		o.writeUntil(t, o.duration/2)
	})
	step(t, o, "another primary, which has all that is not in the archive", func(t *testing.T, o *outageTest) {
		t.Helper()
		switchesOver(t, o.backupTest)
		o.writeUntil(t, o.duration)

		if err := ready(o.cluster(t)); err != nil {
			t.Errorf("a lost store made the Cluster unready: %v", err)
		}

		o.terminal(t).run(t, `
			kubectl get clusters,backups
			kubectl describe cluster db`)
		// The new primary did not see the changes before it, and has their segments.
		lost := regexp.MustCompile(`nothing arrives for (\d+)([sm]),(?s:.*) changes of the\s+last (\d+)([sm]) are not in it yet \(RPO\)`)
		printed := o.terminal(t).run(t, "kubectl caretaker status db")

		if found := lost.FindStringSubmatch(printed); found == nil || inSeconds(t, found[3], found[4]) < inSeconds(t, found[1], found[2])/2 {
			t.Errorf("what would be lost is told as %q", found)
		}
	})
	step(t, o, "the store is back, and the archive gets everything by itself", func(t *testing.T, o *outageTest) {
		t.Helper()
		o.scaleS3(t, s3Name, 1)

		began := time.Now()
		segment := o.write(t, "SELECT pg_walfile_name(pg_current_wal_lsn())")
		o.writeOn(t)
		kube.Eventually(t, readyTimeout+o.duration/4, segment+" is in the archive", func(ctx context.Context) error {
			got, err := o.trySQL(ctx, o.primary(t), "app", "SELECT last_archived_wal FROM pg_stat_archiver")
			if err == nil && got < segment {
				err = fmt.Errorf("%q is", got)
			}

			return err
		})
		t.Logf("after an outage of %s and %d rows the archive had everything %s after the store was asked to come back",
			o.duration, o.written, time.Since(began).Round(time.Second))
		o.waitArchiving(t, metav1.ConditionTrue, "s3://backups/financial-db")
	})
	step(t, o, "a moment in the outage is reached from the backup before it", func(t *testing.T, o *outageTest) {
		t.Helper()
		o.terminal(t).run(t, fmt.Sprintf("kubectl caretaker restore first --to-cluster restored --target-time '%s' --instances 1", o.before))

		o.name = "restored"
		o.waitReadyWithin(t, readyTimeout+o.duration/4)
		o.waitSQL(t, o.primary(t), "app", "SELECT count(*) || ' ' || max(n) FROM ledger", fmt.Sprintf("%d %d", o.rows, o.rows))
	})
}

// inSeconds is a number of minutes or seconds.
func inSeconds(t *testing.T, number, unit string) float64 {
	t.Helper()

	duration, err := time.ParseDuration(number + unit)
	if err != nil {
		t.Fatal(err)
	}

	return duration.Seconds()
}

type outageTest struct {
	*backupTest

	duration time.Duration
	began    time.Time
	// written rows, and how many there were at the moment to recover to.
	written, rows int
}

// writeOn writes a row and ends the segment.
func (o *outageTest) writeOn(t *testing.T) {
	t.Helper()

	o.written++
	o.write(t, fmt.Sprintf("INSERT INTO ledger VALUES (%d)", o.written))
	o.write(t, "SELECT pg_switch_wal()")
}

// writeUntil goes on at a quiet pace until the outage has lasted so long.
func (o *outageTest) writeUntil(t *testing.T, lasted time.Duration) {
	t.Helper()

	pace := time.NewTicker(paceOfWrites)
	defer pace.Stop()

	for time.Since(o.began) < lasted {
		o.writeOn(t)
		<-pace.C
	}
}
