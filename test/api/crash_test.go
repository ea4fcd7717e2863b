package api

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/test/internal/crash"
)

// TestCrashAfterEveryWrite kills the Cluster controller after each single write of each of these scenarios.
func TestCrashAfterEveryWrite(t *testing.T) {
	t.Parallel()

	change := func(mutate func(*postgresqlv1.Cluster)) func(*testing.T) *world {
		return func(t *testing.T) *world {
			t.Helper()

			w := started(t)
			w.change(t, mutate)

			return w
		}
	}

	scenarios := map[string]func(*testing.T) *world{
		"create": func(t *testing.T) *world {
			t.Helper()

			w := newWorld(t)
			w.create(t, w.newCluster(func(spec *postgresqlv1.ClusterSpec) {
				yes := true
				spec.EnableSuperuserAccess = &yes
			}))

			return w
		},
		"scale up":   change(func(c *postgresqlv1.Cluster) { c.Spec.Instances = 5 }),
		"scale down": change(func(c *postgresqlv1.Cluster) { c.Spec.Instances = 1 }),
		"image":      change(func(c *postgresqlv1.Cluster) { c.Spec.ImageName = "postgresql:17.9" }),
		"parameters": change(func(c *postgresqlv1.Cluster) {
			c.Spec.PostgreSQL.Parameters = map[string]string{"work_mem": "8MB", "max_connections": "200"}
		}),
		"storage and services": change(func(c *postgresqlv1.Cluster) {
			c.Spec.Storage.Size = "2Gi"
			c.Spec.Managed = &postgresqlv1.ManagedConfiguration{Services: &postgresqlv1.ManagedServices{
				DisabledDefaultServices: []postgresqlv1.ServiceSelectorType{"ro", "r"},
				Additional: []postgresqlv1.ManagedService{{
					SelectorType:    "rw",
					ServiceTemplate: postgresqlv1.ServiceTemplate{Metadata: postgresqlv1.ServiceTemplateMetadata{Name: "orders"}},
				}},
			}}
		}),
		"deletionPolicy": change(func(c *postgresqlv1.Cluster) { c.Spec.DeletionPolicy = postgresqlv1.DeletionPolicyDelete }),
		"hibernate": change(func(c *postgresqlv1.Cluster) {
			metav1.SetMetaDataAnnotation(&c.ObjectMeta, naming.AnnotationHibernate, "on")
		}),
		"wake": func(t *testing.T) *world {
			t.Helper()

			w := started(t)
			w.change(t, func(c *postgresqlv1.Cluster) {
				metav1.SetMetaDataAnnotation(&c.ObjectMeta, naming.AnnotationHibernate, "on")
			})
			w.settle(t)
			w.change(t, func(c *postgresqlv1.Cluster) { delete(c.Annotations, naming.AnnotationHibernate) })

			return w
		},
		"restart by annotation": change(func(c *postgresqlv1.Cluster) {
			metav1.SetMetaDataAnnotation(&c.ObjectMeta, naming.AnnotationRestart, "1")
		}),
		"adoption": func(t *testing.T) *world {
			t.Helper()

			w := started(t)
			w.deleteCluster(t)
			w.create(t, w.newCluster())

			return w
		},
	}

	for name, start := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			crash.AfterEveryWrite(t, func(t *testing.T) crash.World {
				t.Helper()

				return start(t)
			})
		})
	}
}
