package instanceapi

// Paths in the database container. What is written at run time lies in volumes: the root filesystem is read-only.
const (
	// BinDir is where the init container puts PID 1's binary, and the passwd and group entries of the pod's user.
	BinDir = "/opt/caretaker/bin"
	// Binary is PID 1.
	Binary = BinDir + "/caretaker-instance"
	// PasswdFile and GroupFile are mounted over /etc/passwd and /etc/group.
	PasswdFile = BinDir + "/passwd"
	GroupFile  = BinDir + "/group"

	// ConfigDir is where the Cluster's ConfigMap is mounted.
	ConfigDir = "/opt/caretaker/config"
	// ConfigKey is the key, and the file, of the Config.
	ConfigKey = "config.json"
	// ServerCAKey is the CA bundle that the server's certificate is verified with; ClientCAKey the one for clients'
	// certificates. They are keys of the same ConfigMap.
	ServerCAKey = "server-ca.crt"
	ClientCAKey = "client-ca.crt"

	// CertificatesDir holds server/{tls.crt,tls.key} and replication/{tls.crt,tls.key}, mounted from Secrets.
	CertificatesDir = "/opt/caretaker/certificates"
	// CredentialsDir holds app/{username,password} and superuser/{username,password}, mounted from Secrets; each is
	// optional.
	CredentialsDir = "/opt/caretaker/credentials" //nolint:gosec // a path, not a credential
	// ExternalDir holds <external cluster>/{password,tls.crt,tls.key,ca.crt}, mounted from Secrets; each is optional.
	ExternalDir = "/opt/caretaker/external"
	// ProjectedDir is where spec.projectedVolumeTemplate is mounted.
	ProjectedDir = "/projected"

	// VolumeDir is the mount point of the data volume.
	VolumeDir = "/var/lib/postgresql/data"
	// DataDir is PGDATA.
	DataDir = VolumeDir + "/pgdata"
	// StateDir is our own folder on the data volume: the member ID, the lock.
	StateDir = VolumeDir + "/caretaker"

	// SocketDir is a memory-backed volume for PostgreSQL's Unix socket, which psql looks for there.
	SocketDir = "/run/postgresql"
	// RunDir is a memory-backed volume for PID 1: copies of certificates, generated configuration, server logs.
	RunDir = "/opt/caretaker/run"
	// TmpDir is an ordinary temporary volume.
	TmpDir = "/tmp"
	// ShmDir is a memory-backed volume for parallel queries.
	ShmDir = "/dev/shm"
)

// Environment of PID 1.
const (
	EnvCluster   = "CARETAKER_CLUSTER"
	EnvPodName   = "POD_NAME"
	EnvNamespace = "POD_NAMESPACE"
	EnvPodUID    = "POD_UID"
	EnvPodIP     = "POD_IP"
	EnvNodeName  = "NODE_NAME"
	// EnvSnapshot is set where the pod's volume was made of a snapshot, to something that is this volume's alone.
	EnvSnapshot = "CARETAKER_SNAPSHOT"
	// EnvMemoryLimit of the container in bytes, and EnvMySQLGroup, the UUID of the group, are for MySQL.
	EnvMemoryLimit = "CARETAKER_MEMORY_LIMIT"
	EnvMySQLGroup  = "CARETAKER_MYSQL_GROUP"
)

// Paths of the status server (HTTPS on naming.PortStatus). Healthz, Readyz and Startupz need no client certificate:
// they are for the kubelet. The others demand one that the client CA has signed for naming.ReplicationUser.
const (
	// PathHealthz answers 200 while PID 1 itself works (liveness).
	PathHealthz = "/healthz"
	// PathReadyz answers 200 while the instance serves as its role should (readiness).
	PathReadyz = "/readyz"
	// PathStartupz answers 200 as soon as PID 1 has taken charge (startup).
	PathStartupz = "/startupz"
	// PathStatus: GET → Status.
	PathStatus = "/v1/status"
	// PathConfig: PUT Config → 204 when it was written and PostgreSQL has been told to reload; 422 with a message when
	// it cannot be used.
	PathConfig = "/v1/config"
	// PathRestart: POST RestartRequest → 202; PostgreSQL is restarted in place, in an orderly way.
	PathRestart = "/v1/restart"
	// PathMessage: POST a message of the protocol between the instances → 204.
	PathMessage = "/v1/ha/message"
	// PathSwitchover: POST SwitchoverRequest → 202; the primary hands over in an orderly way.
	PathSwitchover = "/v1/switchover"
	// PathDatabase: POST DatabaseRequest → 200 DatabaseReport, when the database is as asked for; 409 by an instance that
	// is not the primary; 422 with PostgreSQL's message when it cannot be as asked for.
	PathDatabase = "/v1/database"
	// PathDropDatabase: POST DropDatabaseRequest → 200 DatabaseReport, when it is gone; 409 and 422 likewise.
	PathDropDatabase = "/v1/database/drop"
)
