package e2e

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// TestCopy makes a Cluster from a running server: here, from another Cluster.
func TestCopy(t *testing.T) {
	t.Parallel()

	f := newFixture(t, "copy")
	f.name = "origin"

	f.start(t, f.newCluster(1, func(spec *postgresqlv1.ClusterSpec) {
		spec.Bootstrap = &postgresqlv1.BootstrapConfiguration{InitDB: &postgresqlv1.BootstrapInitDB{
			Database: "shop", Owner: "keeper",
			PostInitSQL:            []string{"CREATE ROLE copier LOGIN REPLICATION PASSWORD 'copied'"},
			PostInitApplicationSQL: []string{"CREATE TABLE goods AS SELECT generate_series(1, 500) AS id", "GRANT SELECT ON goods TO keeper"},
		}}
		// A standby starts only with values at least as high as those of the server it was copied from.
		spec.PostgreSQL.Parameters = map[string]string{"max_connections": "123"}
		spec.PostgreSQL.PgHBA = []string{"hostssl replication copier all scram-sha-256"}
	}))

	system := f.cluster(t).Status.SystemID
	f.setSecret(t, "copier", map[string]string{"password": "copied"})

	f.name = "db"
	f.start(t, f.newCluster(2, func(spec *postgresqlv1.ClusterSpec) {
		spec.Bootstrap = &postgresqlv1.BootstrapConfiguration{PgBaseBackup: &postgresqlv1.BootstrapPgBaseBackup{
			Source: "origin", Database: "shop", Owner: "keeper",
		}}
		spec.ExternalClusters = []postgresqlv1.ExternalCluster{{
			Name: "origin",
			ConnectionParameters: map[string]string{
				"host": naming.ServiceReadWrite("origin"), "user": "copier", "dbname": "postgres", "sslmode": "verify-full",
			},
			Password: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "copier"}, Key: "password"},
			SSLRootCert: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: naming.SecretCA("origin")}, Key: "ca.crt",
			},
		}}
	}))

	f.waitSQL(t, f.replicas(t)[0], "shop", "SELECT count(*) FROM goods", "500")

	if got := f.cluster(t).Status.SystemID; got != system {
		t.Errorf("the copy's system ID is %s, the origin's %s", got, system)
	}

	c := f.newClient(t)
	rw := c.newConnection(t, naming.ServiceReadWrite(f.name))

	kube.Eventually(t, readyTimeout, "the owner gets into the copy with the copy's own password", func(ctx context.Context) error {
		got, err := c.try(ctx, rw, "SELECT current_user || count(*) FROM goods")
		if err == nil && got != "keeper500" {
			err = fmt.Errorf("%s", got)
		}

		return err
	})
}
