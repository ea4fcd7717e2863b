package controllers

import (
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	backupv1 "github.com/caretaker-dev/caretaker/api/backup/v1"
	"github.com/caretaker-dev/caretaker/internal/database"
	"github.com/caretaker-dev/caretaker/internal/dump"
	"github.com/caretaker-dev/caretaker/internal/dump/decide"
	"github.com/caretaker-dev/caretaker/internal/instanceclient"
	"github.com/caretaker-dev/caretaker/internal/mysql"
	"github.com/caretaker-dev/caretaker/internal/operator"
	"github.com/caretaker-dev/caretaker/internal/postgresql"
	"github.com/caretaker-dev/caretaker/internal/postgresql/shortform"
)

func serverDefaults(o operator.Options) shortform.Defaults {
	return shortform.Defaults{Version: o.Databases.Version, Images: o.Databases.Images, StorageClass: o.Databases.StorageClass}
}

func setupPostgreSQL(manager ctrl.Manager, o operator.Options, clk clock.Clock) error {
	return postgresql.SetupWithManager(manager, postgresql.Options{
		Defaults:                postgresql.Defaults{Defaults: serverDefaults(o), Destination: o.Databases.Destination},
		Clock:                   clk,
		Recorder:                manager.GetEventRecorder(recorder),
		Registerer:              metrics.Registry,
		MaxConcurrentReconciles: o.MaxConcurrentReconciles,
	})
}

func setupDatabase(manager ctrl.Manager, o operator.Options, clk clock.Clock) error {
	return database.SetupWithManager(manager, database.Options{
		Defaults:                database.Defaults{Defaults: serverDefaults(o), Replicas: o.Databases.Replicas, Storage: o.Databases.Storage},
		Instances:               instanceclient.New(clk),
		Clock:                   clk,
		Recorder:                manager.GetEventRecorder(recorder),
		Registerer:              metrics.Registry,
		MaxConcurrentReconciles: o.MaxConcurrentReconciles,
	})
}

func setupDump(manager ctrl.Manager, o operator.Options, clk clock.Clock) error {
	return dump.SetupWithManager(manager, dump.Options{
		Defaults: decide.Defaults{
			Images: map[backupv1.SourceType]string{
				backupv1.SourcePostgreSQL: o.Databases.Images[o.Databases.Version],
				backupv1.SourceMySQL:      o.Databases.MySQLImages[o.Databases.MySQLVersion],
				backupv1.SourceMongoDB:    o.Databases.MongoDBImage,
			},
			OperatorImage: o.OperatorImage, PullPolicy: o.OperatorImagePullPolicy,
		},
		Clock:                   clk,
		Recorder:                manager.GetEventRecorder(recorder),
		Registerer:              metrics.Registry,
		MaxConcurrentReconciles: o.MaxConcurrentReconciles,
	})
}

func setupMySQL(manager ctrl.Manager, o operator.Options, clk clock.Clock) error {
	return mysql.SetupWithManager(manager, mysql.Options{
		Defaults: mysql.Defaults{
			Version: o.Databases.MySQLVersion, Images: o.Databases.MySQLImages, StorageClass: o.Databases.StorageClass,
			Destination: o.Databases.Destination, OperatorImage: o.OperatorImage, PullPolicy: o.OperatorImagePullPolicy,
		},
		Clock:                   clk,
		Recorder:                manager.GetEventRecorder(recorder),
		Registerer:              metrics.Registry,
		MaxConcurrentReconciles: o.MaxConcurrentReconciles,
	})
}
