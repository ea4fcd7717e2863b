package controllers

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/caretaker-dev/caretaker/internal/appconfig"
	"github.com/caretaker-dev/caretaker/internal/backup"
	"github.com/caretaker-dev/caretaker/internal/cluster"
	"github.com/caretaker-dev/caretaker/internal/drill"
	"github.com/caretaker-dev/caretaker/internal/instanceclient"
	"github.com/caretaker-dev/caretaker/internal/operator"
	"github.com/caretaker-dev/caretaker/internal/scheduledbackup"
	"github.com/caretaker-dev/caretaker/internal/webapp"
)

// recorder is the name that events are reported by.
const recorder = "caretaker"

// All adds every controller of the operator to a manager.
func All(o operator.Options, clk clock.Clock) operator.Setup {
	list := []struct {
		kind  string
		setup func(ctrl.Manager, operator.Options, clock.Clock) error
	}{
		{"Cluster", setupCluster},
		{"AppConfig", setupAppConfig},
		{"WebApp", setupWebApp},
		{"Backup", setupBackup},
		{"drill", setupDrill},
		{"ScheduledBackup", setupScheduledBackup},
		{"PostgreSQL", setupPostgreSQL},
		{"Database", setupDatabase},
		{"MySQL", setupMySQL},
		{"dump", setupDump},
		{"AppStack", setupAppStack},
		{"EcommercePlatform", setupEcommercePlatform},
	}

	return func(manager ctrl.Manager) error {
		for _, controller := range list {
			if err := controller.setup(manager, o, clk); err != nil {
				return fmt.Errorf("set up the %s controller: %w", controller.kind, err)
			}
		}

		return nil
	}
}

func setupCluster(manager ctrl.Manager, o operator.Options, clk clock.Clock) error {
	return cluster.SetupWithManager(manager, cluster.Options{
		DefaultImage:            o.DefaultPostgresImage,
		OperatorImage:           o.OperatorImage,
		OperatorImagePullPolicy: corev1.PullPolicy(o.OperatorImagePullPolicy),
		Clock:                   clk,
		Instances:               instanceclient.New(clk),
		Recorder:                manager.GetEventRecorder(recorder),
		Registerer:              metrics.Registry,
		MaxConcurrentReconciles: o.MaxConcurrentReconciles,
	})
}

func setupAppConfig(manager ctrl.Manager, o operator.Options, clk clock.Clock) error {
	return appconfig.SetupWithManager(manager, appconfig.Options{
		Clock:                   clk,
		Recorder:                manager.GetEventRecorder(recorder),
		Registerer:              metrics.Registry,
		MaxConcurrentReconciles: o.MaxConcurrentReconciles,
	})
}

func setupWebApp(manager ctrl.Manager, o operator.Options, clk clock.Clock) error {
	return webapp.SetupWithManager(manager, webapp.Options{
		Clock:                   clk,
		Recorder:                manager.GetEventRecorder(recorder),
		Registerer:              metrics.Registry,
		MetricsPerObject:        o.MetricsPerObject,
		MaxConcurrentReconciles: o.MaxConcurrentReconciles,
	})
}

func setupBackup(manager ctrl.Manager, _ operator.Options, clk clock.Clock) error {
	return backup.SetupWithManager(manager, backup.Options{
		Clock: clk, Instances: instanceclient.New(clk), Recorder: manager.GetEventRecorder(recorder), Registerer: metrics.Registry,
	})
}

func setupDrill(manager ctrl.Manager, o operator.Options, clk clock.Clock) error {
	return drill.SetupWithManager(manager, drill.Options{
		OperatorImage: o.OperatorImage, OperatorImagePullPolicy: corev1.PullPolicy(o.OperatorImagePullPolicy),
		Clock: clk, Recorder: manager.GetEventRecorder(recorder), Registerer: metrics.Registry,
	})
}

func setupScheduledBackup(manager ctrl.Manager, _ operator.Options, clk clock.Clock) error {
	return scheduledbackup.SetupWithManager(manager, scheduledbackup.Options{
		Clock: clk, Recorder: manager.GetEventRecorder(recorder), Registerer: metrics.Registry,
	})
}
