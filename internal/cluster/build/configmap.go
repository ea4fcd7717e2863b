package build

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// Defaults of spec.bootstrap.initdb. The CRD has the same, but they only apply where the user wrote the section.
const (
	defaultDatabase       = "app"
	defaultEncoding       = "UTF8"
	defaultLocale         = "C"
	defaultWalSegmentSize = 16

	defaultSmartShutdownTimeout = 10
	defaultStopDelay            = 120
	defaultStartDelay           = 3600
)

// ConfigMap carries the instances' configuration and the CA bundles.
func ConfigMap(in Input) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: meta(in, naming.ConfigMap(in.Cluster.Name)),
		Data: map[string]string{
			instanceapi.ConfigKey:   string(EncodedConfig(in)),
			instanceapi.ServerCAKey: string(in.Certificates.ServerCABundle),
			instanceapi.ClientCAKey: string(in.Certificates.ClientCABundle),
		},
	}
}

// EncodedConfig is the instances' configuration as it is stored and sent.
func EncodedConfig(in Input) []byte {
	encoded, err := Config(in).Encode()
	if err != nil {
		// Strings, numbers and lists of them always encode.
		panic(err)
	}

	return encoded
}

// Config is what the operator asks of every instance.
func Config(in Input) instanceapi.Config {
	spec := in.Cluster.Spec

	config := instanceapi.Config{
		Cluster:                in.Cluster.Name,
		Namespace:              in.Cluster.Namespace,
		Major:                  in.Major,
		Parameters:             spec.PostgreSQL.Parameters,
		SharedPreloadLibraries: spec.PostgreSQL.SharedPreloadLibraries,
		HBA:                    spec.PostgreSQL.PgHBA,
		Ident:                  spec.PostgreSQL.PgIdent,
		Members:                in.Members,
		Slots:                  slots(spec.ReplicationSlots),
		HA:                     failover(in),
		Bootstrap:              bootstrap(in),
		Archive:                archive(in.Cluster),
		Copies:                 copies(in.Cluster),
		SuperuserAccess:        spec.EnableSuperuserAccess != nil && *spec.EnableSuperuserAccess,
		SmartShutdownTimeout:   int(deref(spec.SmartShutdownTimeout, defaultSmartShutdownTimeout)),
		StopTimeout:            int(StopDelay(in.Cluster)),
		StartTimeout:           int(deref(spec.StartDelay, defaultStartDelay)),
		ReloadNonce:            in.Cluster.Annotations[naming.AnnotationReload],
		RestartNonce:           in.Cluster.Annotations[naming.AnnotationRestart],
	}

	size := StorageSize(in.Cluster)
	if !in.Smallest.IsZero() && in.Smallest.Cmp(size) < 0 {
		size = in.Smallest
	}

	config.StorageBytes = size.Value()

	if limit, ok := spec.Resources.Limits[corev1.ResourceMemory]; ok {
		config.MemoryLimit = limit.Value()
	}

	return config
}

// StopDelay is how long, in seconds, an orderly stop may take.
func StopDelay(cluster *v1.Cluster) int32 { return deref(cluster.Spec.StopDelay, defaultStopDelay) }

func slots(configuration *v1.ReplicationSlotsConfiguration) bool {
	return configuration == nil || configuration.HighAvailability == nil || enabled(configuration.HighAvailability.Enabled)
}

func bootstrap(in Input) instanceapi.Bootstrap {
	spec := in.Cluster.Spec

	if in.RecoveringInPlace {
		if recovery := recoverInPlace(in); recovery != nil {
			return instanceapi.Bootstrap{Recovery: recovery}
		}
	}

	if spec.Bootstrap != nil && spec.Bootstrap.Recovery != nil {
		return instanceapi.Bootstrap{Recovery: recovery(in)}
	}

	if spec.Bootstrap != nil && spec.Bootstrap.PgBaseBackup != nil {
		return instanceapi.Bootstrap{PgBaseBackup: pgBaseBackup(spec)}
	}

	given := InitDB(spec)

	return instanceapi.Bootstrap{InitDB: &instanceapi.InitDB{
		Database:               given.Database,
		Owner:                  given.Owner,
		Encoding:               given.Encoding,
		Locale:                 given.Locale,
		LocaleCType:            given.LocaleCType,
		LocaleCollate:          given.LocaleCollate,
		DataChecksums:          enabled(given.DataChecksums),
		WalSegmentSizeMB:       int(given.WalSegmentSize),
		PostInitSQL:            given.PostInitSQL,
		PostInitApplicationSQL: given.PostInitApplicationSQL,
	}}
}

// recovery keeps whose password is managed when where it came from is not known any more.
func recovery(in Input) *instanceapi.Recovery {
	if found := Recovery(in.Cluster, in.RecoveryBackup); found != nil && in.Recovering {
		return found
	}

	owner := RecoveryOwner(*in.Cluster.Spec.Bootstrap.Recovery)

	return &instanceapi.Recovery{Database: owner.Database, Owner: owner.User}
}

// InitDB is spec.bootstrap.initdb with its defaults.
func InitDB(spec v1.ClusterSpec) v1.BootstrapInitDB {
	initdb := v1.BootstrapInitDB{}
	if spec.Bootstrap != nil && spec.Bootstrap.InitDB != nil {
		initdb = *spec.Bootstrap.InitDB
	}

	initdb.Database = or(initdb.Database, defaultDatabase)
	initdb.Owner = or(initdb.Owner, defaultDatabase)
	initdb.Encoding = or(initdb.Encoding, defaultEncoding)
	initdb.Locale = or(initdb.Locale, defaultLocale)

	if initdb.WalSegmentSize == 0 {
		initdb.WalSegmentSize = defaultWalSegmentSize
	}

	return initdb
}

func pgBaseBackup(spec v1.ClusterSpec) *instanceapi.PgBaseBackup {
	given := spec.Bootstrap.PgBaseBackup

	config := &instanceapi.PgBaseBackup{Source: given.Source, Database: given.Database, Owner: given.Owner}
	if source := ExternalCluster(spec, given.Source); source != nil {
		config.ConnectionParameters = source.ConnectionParameters
	}

	return config
}

// ExternalCluster finds an entry of spec.externalClusters; nil if there is none of that name.
func ExternalCluster(spec v1.ClusterSpec, name string) *v1.ExternalCluster {
	for i := range spec.ExternalClusters {
		if spec.ExternalClusters[i].Name == name {
			return &spec.ExternalClusters[i]
		}
	}

	return nil
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}

	return value
}
