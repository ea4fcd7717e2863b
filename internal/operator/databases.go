package operator

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
)

// DatabaseOptions are the defaults of PostgreSQLs, MySQLs and Databases.
type DatabaseOptions struct {
	// Version is the PostgreSQL major version of those that name none; Replicas, Storage and StorageClass likewise.
	Version      string
	Replicas     int32
	Storage      string
	StorageClass string
	// Images of PostgreSQL by major version.
	Images map[string]string
	// Destination of backups for those that name none; nil for none.
	Destination *databasev1.BackupDestination
	// MySQLVersion is the release series of those that name none, MySQLImages the images by series.
	MySQLVersion string
	MySQLImages  map[string]string
	// MongoDBImage has mongodump, for dumps of MongoDBs.
	MongoDBImage string

	destination string
}

func (o *DatabaseOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.Version, "database-default-version", "18", "PostgreSQL major version of PostgreSQLs and Databases that name none")
	flags.Int32Var(&o.Replicas, "database-default-replicas", 1, "replicas of Databases with an engine that name none")
	flags.StringVar(&o.Storage, "database-default-storage", "10Gi", "size of the volumes of Databases with an engine that name none")
	flags.StringVar(&o.StorageClass, "database-default-storage-class", "",
		"storage class of PostgreSQLs, MySQLs and Databases that name none; the Kubernetes cluster's default if empty")
	flags.StringToStringVar(&o.Images, "database-image", map[string]string{"18": defaultPostgresImage},
		"PostgreSQL image of a major version, such as 17=postgres:17; may be repeated")
	flags.StringVar(&o.destination, "database-backup-destination", "",
		`where backups go of databases that name no destination, as JSON: {"bucket": …, "prefix": …, "endpoint": …, "secretName": …}`)
	flags.StringVar(&o.MySQLVersion, "mysql-default-version", "9.7", "release series of MySQLs that name none")
	flags.StringToStringVar(&o.MySQLImages, "mysql-image", map[string]string{"9.7": "mysql:9.7"},
		"MySQL image of a release series, such as 9.7=mysql:9.7; may be repeated")
	flags.StringVar(&o.MongoDBImage, "mongodb-image", "mongo:8", "image with mongodump, for dumps of MongoDBs that name none")
}

func (o *DatabaseOptions) validate() error {
	if o.Replicas < 1 {
		return fmt.Errorf("--database-default-replicas is %d; it must be at least 1", o.Replicas)
	}

	if o.destination == "" {
		return nil
	}

	o.Destination = &databasev1.BackupDestination{}
	if err := json.Unmarshal([]byte(o.destination), o.Destination); err != nil {
		return fmt.Errorf("--database-backup-destination: %w", err)
	}

	if o.Destination.Bucket == "" {
		return errors.New("--database-backup-destination names no bucket; add it, or leave the flag out")
	}

	return nil
}
