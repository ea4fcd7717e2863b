package postgres

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// DefaultPort is the port every server listens on.
const DefaultPort = 5432

// Input is everything that decides a server's parameters. The zero value of an
// optional field means "leave it to PostgreSQL" unless stated otherwise.
type Input struct {
	// Major is PostgreSQL's major version, 14 to 19.
	Major int
	// User holds postgresql.parameters of the manifest, already validated (Validate).
	// A reserved name in it is ignored here, so that a bad one never reaches a server.
	User map[string]string
	// SharedPreloadLibraries is postgresql.shared_preload_libraries of the manifest, in order.
	SharedPreloadLibraries []string
	// MemoryLimitBytes is the container's memory limit; 0 when it has none.
	MemoryLimitBytes int64
	// Storage is the volume that holds pg_wal.
	Storage Storage
	// Paths are where the server finds and puts its files.
	Paths Paths
	// ClusterName is shown in process titles; the name of this instance.
	ClusterName string
	// ArchiveCommand is run for each finished WAL segment. Empty: no archive is
	// configured, and segments are let go. archive_mode is "always" in either case,
	// since changing it would need a restart.
	ArchiveCommand string
	// RestoreCommand fetches a WAL segment from the archive. Empty: none.
	RestoreCommand string
	// PrimaryConnInfo and PrimarySlotName say where a standby streams from. They are
	// always rendered, so that an empty value takes effect on a reload.
	PrimaryConnInfo string
	PrimarySlotName string
	// SynchronousStandbyNames is "ANY W (V)" of the protocol, or empty. Always rendered.
	SynchronousStandbyNames string
	// Overrides are set last, over everything: what PID 1 needs for the moment, like
	// default_transaction_read_only on a full disk, or StandbyFloor's values.
	Overrides map[string]string
}

// Storage describes the volume that holds pg_wal.
type Storage struct {
	// Bytes is its size; 0 when it is not known.
	Bytes int64
	// WALOnly says that nothing but WAL is on it.
	WALOnly bool
	// WALSegmentBytes is initdb's --wal-segsize in bytes; 0 means the default, 16 MiB.
	WALSegmentBytes int64
}

// Paths are absolute paths inside the database's container. Empty ones are not rendered.
type Paths struct {
	// Sockets is the folder of the Unix-domain socket.
	Sockets string
	// Logs is the memory-backed folder that the logging collector writes to and PID 1
	// reads from: LogFile and PlainLogFile name the files in it.
	Logs string
	// HBA and Ident are the files of RenderHBA and RenderIdent.
	HBA   string
	Ident string
	// ServerCert, ServerKey and ClientCA are PEM files for TLS.
	ServerCert string
	ServerKey  string
	ClientCA   string
}

// PlainLogFile is the file in Paths.Logs that takes what is not in the structured
// format: the output of archive_command, of libraries, and of the dynamic linker.
const PlainLogFile = "postgres.log"

// LogFile names the file in Paths.Logs that holds the structured log: JSON lines from
// PostgreSQL 15 on, CSV on 14.
func LogFile(major int) string {
	if logDestination(major) == "csvlog" {
		return "postgres.csv"
	}
	return "postgres.json"
}

func logDestination(major int) string {
	if major == 14 {
		return "csvlog"
	}
	return "jsonlog"
}

// Settings is the complete parameter set of one server: defaults, then sizes, then the
// user's, then what is fixed, then the overrides. Names are in lower case.
func Settings(in Input) map[string]string {
	settings := defaults(in)
	maps.Copy(settings, sizes(in))
	reserved := reservedByName()
	for _, name := range slices.Sorted(maps.Keys(in.User)) {
		value, key := in.User[name], strings.ToLower(name)
		if r, ok := reserved[key]; ok && !r.accepts(value) {
			continue
		}
		settings[key] = value
	}
	maps.Copy(settings, fixed(in))
	maps.Copy(settings, fixedPaths(in.Paths))
	maps.Copy(settings, in.Overrides)
	return settings
}

// defaults are ours where PostgreSQL's would hurt failover or backup. The user may
// change each of them.
func defaults(in Input) map[string]string {
	//nolint:gosec // password_encryption is the name of a method
	return map[string]string{
		"wal_level":             "replica",
		"synchronous_commit":    "on",
		"archive_timeout":       "60s",
		"max_wal_senders":       "10",
		"max_replication_slots": "32",
		// A standby that lost its primary must find the new one fast: the term's first
		// commit waits for it. PostgreSQL's own default is 5 s.
		"wal_retrieve_retry_interval":  "100ms",
		"wal_receiver_status_interval": "1s",
		"wal_receiver_timeout":         "5s",
		"wal_sender_timeout":           "5s",
		// A client on a node that lost power is let go in 30 s, not in two hours.
		"tcp_keepalives_idle":     "15s",
		"tcp_keepalives_interval": "5s",
		"tcp_keepalives_count":    "3",
		"tcp_user_timeout":        "15s",
		// /dev/shm is memory-backed and ours; System V limits are the node's.
		"shared_memory_type":         "mmap",
		"dynamic_shared_memory_type": "posix",
		"password_encryption":        "scram-sha-256",
		"log_timezone":               "UTC",
		"log_checkpoints":            "on",
		"shared_preload_libraries":   JoinLibraries(in.SharedPreloadLibraries),
	}
}

// fixed are the parameters that failover, backup and logging stand on. Each is in
// reserved.tsv with its reason.
func fixed(in Input) map[string]string {
	archive := in.ArchiveCommand
	if archive == "" {
		archive = "true"
	}
	settings := map[string]string{
		"listen_addresses":          "*",
		"port":                      strconv.Itoa(DefaultPort),
		"cluster_name":              in.ClusterName,
		"hot_standby":               "on",
		"wal_log_hints":             "on",
		"full_page_writes":          "on",
		"fsync":                     "on",
		"restart_after_crash":       restartAfterCrash(in),
		"archive_mode":              "always",
		"archive_command":           archive,
		"restore_command":           in.RestoreCommand,
		"recovery_target_timeline":  "latest",
		"primary_conninfo":          in.PrimaryConnInfo,
		"primary_slot_name":         in.PrimarySlotName,
		"synchronous_standby_names": in.SynchronousStandbyNames,
		"ssl":                       "on",
		"logging_collector":         "on",
		"log_destination":           logDestination(in.Major),
		"log_filename":              PlainLogFile,
		"log_file_mode":             "0600",
		// PID 1 empties the files as it reads them; the collector must not rotate.
		"log_rotation_age":         "0",
		"log_rotation_size":        "0",
		"log_truncate_on_rotation": "off",
	}
	if in.Major >= 17 {
		settings["allow_alter_system"] = "off"
	}
	if in.Major >= 18 {
		settings["idle_replication_slot_timeout"] = "0"
	}
	return settings
}

// restartAfterCrash: a server that recovers from the crash of one of its processes opens
// for clients by itself, also with commits that no replica has. While commits wait for
// replicas PID 1 starts it anew instead, and opens it once they have what it recovered.
func restartAfterCrash(in Input) string {
	if in.SynchronousStandbyNames != "" {
		return "off"
	}
	return "on"
}

func fixedPaths(paths Paths) map[string]string {
	settings := map[string]string{
		"unix_socket_directories": paths.Sockets,
		"log_directory":           paths.Logs,
		"hba_file":                paths.HBA,
		"ident_file":              paths.Ident,
		"ssl_cert_file":           paths.ServerCert,
		"ssl_key_file":            paths.ServerKey,
		"ssl_ca_file":             paths.ClientCA,
	}
	maps.DeleteFunc(settings, func(_, path string) bool { return path == "" })
	return settings
}

// JoinLibraries writes a list as shared_preload_libraries wants it: commas between,
// double quotes around a name that is not a plain word.
func JoinLibraries(libraries []string) string {
	quoted := make([]string, len(libraries))
	for i, name := range libraries {
		quoted[i] = name
		if strings.ContainsAny(name, " ,\"") {
			quoted[i] = `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		}
	}
	return strings.Join(quoted, ",")
}
