package api

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/plugin"
)

// TestPluginMakesBackupsAndClusters: what kubectl caretaker backup and restore make is taken by the API server.
func TestPluginMakesBackupsAndClusters(t *testing.T) {
	t.Parallel()

	w := archivingWorld(t)
	kube, err := plugin.NewKube(w.server.Config)
	if err != nil {
		t.Fatal(err)
	}

	out := &strings.Builder{}
	taking := plugin.Taking{
		API: kube, Clock: clock.RealClock{}, Out: out, Cluster: types.NamespacedName{Namespace: w.namespace, Name: "shop"}, Name: "shop",
	}

	if err := taking.Run(t.Context()); err != nil {
		t.Fatal(err)
	}

	if err := taking.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "has a Backup shop already") {
		t.Errorf("the second time: %v", err)
	}

	w.settle(t)
	w.wantTaken(t, backupReplica)

	if names, err := kube.Backups(t.Context(), w.namespace); err != nil || !slices.Equal(names, []string{"shop"}) {
		t.Errorf("for completion there are %v, %v", names, err)
	}

	// In the world of this test the backup ended a while ago, and nothing is known of the archive.
	restoration := plugin.Restoration{
		API: kube, Clock: clock.RealClock{}, Out: out, Backup: types.NamespacedName{Namespace: w.namespace, Name: "shop"},
		Cluster: "again", TargetTime: backupTime().Add(time.Hour).Format(time.RFC3339),
	}

	if err := restoration.Run(t.Context()); err != nil {
		t.Fatal(err)
	}

	again := &postgresqlv1.Cluster{}
	if !w.get(t, "again", again) {
		t.Fatal("there is no Cluster")
	}

	if recovery := again.Spec.Bootstrap.Recovery; recovery.Backup.Name != "shop" || recovery.RecoveryTarget.TargetTime != "2026-03-01 13:00:00+00" {
		t.Errorf("it is made by %+v", recovery)
	}

	if err := restoration.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "has a Cluster again already") {
		t.Errorf("the second time: %v", err)
	}

	object := w.backup(t)
	object.Status.Expired = &postgresqlv1.BackupExpired{Policy: "30d", At: metav1.NewTime(backupTime())}
	w.writeStatus(t, object)
	w.settle(t)

	if err := restoration.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot be restored (Expired): it is no longer in the store") {
		t.Errorf("of an expired one: %v", err)
	}
}
