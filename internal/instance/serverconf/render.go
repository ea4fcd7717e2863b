package serverconf

import (
	"maps"
	"strconv"
	"strings"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/instance/keeper"
	"github.com/caretaker-dev/caretaker/internal/instance/layout"
	"github.com/caretaker-dev/caretaker/internal/instance/tlsfiles"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// Input is everything that decides the configuration.
type Input struct {
	Config instanceapi.Config
	Layout layout.Layout
	TLS    tlsfiles.Paths
	// WALHelper is what archive_command runs.
	WALHelper string
	// Instance is our own name.
	Instance string
	// OSUser is the name of our uid.
	OSUser string
	Major  int
	// VolumeBytes and WALSegmentBytes; 0 if not known.
	VolumeBytes     int64
	WALSegmentBytes int64
	// Upstream is whom to stream from; nil on a primary.
	Upstream *Upstream
	// Control is what a standby's control file demands at least (postgres.StandbyFloor); nil on a primary.
	Control map[string]string
	// Member is the member ID of this volume, which standbys show as their application_name; empty: the instance's name.
	Member string
	// Sync is synchronous_standby_names, and SyncGen the number of this setting, which shows up in new connections.
	Sync    string
	SyncGen uint64
	// Closed lets only ourselves and replicas in.
	Closed bool
	// ReadOnly: new transactions are, unless they choose otherwise: the volume is nearly full.
	ReadOnly bool
	// Private keeps everyone but ourselves out: while the data of a new Cluster are made.
	Private bool
}

// Upstream is the server that a standby streams from.
type Upstream struct {
	Host string
	Port int
}

// Files are the rendered configuration.
type Files struct {
	Conf, HBA, Ident string
	// Floor are the parameters that are held above what is configured, since this standby still needs it.
	Floor map[string]string
}

// GenParameter shows which of our settings a connection has loaded.
const GenParameter = "caretaker.generation"

// applicationName by which synchronous_standby_names knows a standby: a volume, not a name that another may get.
func applicationName(in Input) string {
	if in.Member != "" {
		return in.Member
	}

	return in.Instance
}

// SlotName is the physical slot that a member's upstream keeps for it.
func SlotName(instance string) string {
	return keeper.SlotPrefix + strings.ReplaceAll(instance, "-", "_")
}

// Render makes the files.
func Render(in Input) Files {
	settings := postgres.Input{
		Major:                  in.Major,
		User:                   userParameters(in.Config),
		SharedPreloadLibraries: in.Config.SharedPreloadLibraries,
		MemoryLimitBytes:       in.Config.MemoryLimit,
		Storage:                postgres.Storage{Bytes: in.VolumeBytes, WALSegmentBytes: in.WALSegmentBytes},
		Paths: postgres.Paths{
			Sockets: in.Layout.OwnSocketDir(), Logs: in.Layout.LogDir(),
			HBA: in.Layout.HBAFile(), Ident: in.Layout.IdentFile(),
			ServerCert: in.TLS.ServerCert, ServerKey: in.TLS.ServerKey, ClientCA: in.TLS.ClientCA,
		},
		ClusterName:             in.Config.Cluster,
		SynchronousStandbyNames: in.Sync,
		Overrides:               map[string]string{},
	}

	if in.Config.Archive != nil {
		settings.ArchiveCommand = archiveapi.ArchiveCommand(in.WALHelper, in.Layout.ArchiverSocket())
	}

	if in.Upstream != nil {
		settings.PrimaryConnInfo = ConnInfo(in, *in.Upstream).String()
		if in.Config.Slots {
			settings.PrimarySlotName = SlotName(in.Instance)
		}
	}

	settings.Overrides["listen_addresses"] = in.Layout.ListenAddress
	settings.Overrides["port"] = strconv.Itoa(in.Layout.PostgresPort)

	if in.Member != "" {
		settings.Overrides[GenParameter] = strconv.FormatUint(in.SyncGen, 10)
	}

	if in.ReadOnly {
		settings.Overrides["default_transaction_read_only"] = "on"
	}

	if in.Private {
		settings.Overrides["listen_addresses"] = ""
	}

	var floor map[string]string
	if in.Control != nil {
		floor = postgres.StandbyFloor(in.Major, postgres.Settings(settings), in.Control)
		maps.Copy(settings.Overrides, floor)
	}

	return Files{
		Conf: postgres.RenderConf(postgres.Settings(settings)),
		HBA: postgres.RenderHBA(postgres.HBAInput{
			Rules: in.Config.HBA, SuperuserAccess: in.Config.SuperuserAccess, ReplicationOnly: in.Private || in.Closed,
		}),
		Ident: postgres.RenderIdent(postgres.IdentInput{OSUser: in.OSUser, Lines: in.Config.Ident}),
		Floor: floor,
	}
}

// userParameters are the user's, and what initdb would have chosen by the locale.
func userParameters(config instanceapi.Config) map[string]string {
	all := map[string]string{}
	if name := textSearch(config.Bootstrap); name != "" {
		all["default_text_search_config"] = name
	}

	for name, value := range config.Parameters {
		all[strings.ToLower(name)] = value
	}

	return all
}

// CopyConnInfo is how this instance connects to another member to copy it, or to rewind onto it. Such a session idles while
// the copy is written here: the limits that the Cluster sets for its clients would end it.
func CopyConnInfo(in Input, upstream Upstream, name string) postgres.ConnInfo {
	info := ConnInfo(in, upstream)
	info.ApplicationName, info.Options = name, "-c idle_session_timeout=0 -c statement_timeout=0"

	return info
}

// ConnInfo is how this instance connects to another member to replicate. The timeouts let go of an upstream whose node
// lost power in seconds; the kernel alone would take a quarter of an hour.
func ConnInfo(in Input, upstream Upstream) postgres.ConnInfo {
	return postgres.ConnInfo{
		Host: upstream.Host, Port: upstream.Port, User: postgres.ReplicationUser,
		SSLMode: "verify-ca", SSLRootCert: in.TLS.ServerCA, SSLCert: in.TLS.ReplicaCert, SSLKey: in.TLS.ReplicaKey,
		ApplicationName:       applicationName(in),
		ConnectTimeoutSeconds: 5, TCPUserTimeoutMillis: 5000,
		KeepalivesIdleSeconds: 5, KeepalivesIntervalSeconds: 2, KeepalivesCount: 3,
	}
}
