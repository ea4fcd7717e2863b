package mysqld

import (
	"fmt"
	"strings"
)

// Paths in the pod. What is written at run time lies in volumes: the root filesystem is read-only.
const (
	VolumeDir = "/var/lib/mysql"
	DataDir   = VolumeDir + "/data"
	// SocketDir is where mysql looks for the socket.
	SocketDir = "/run/mysqld"
	Socket    = SocketDir + "/mysqld.sock"
	// RunDir is a memory-backed volume for what is generated.
	RunDir = "/opt/caretaker/run"
	// CredentialsDir holds app/{username,password,dbname} and internal/{root-password,replication-password}.
	CredentialsDir = "/opt/caretaker/credentials" //nolint:gosec // a path, not a credential
	TmpDir         = "/tmp"
)

// Port of MySQL, and of the members' talk with each other.
const Port = 3306

// user is whom members talk to each other as.
const user = "caretaker"

// Settings are what a server's configuration is made from.
type Settings struct {
	// Instance is the pod's name, Ordinal its number.
	Instance string
	Ordinal  int
	// Host is the pod's name within the Kubernetes cluster.
	Host string
	// Group is the UUID that the group has for ever.
	Group string
	// MemoryLimit of the container in bytes; 0 if there is none.
	MemoryLimit int64
}

const (
	mebibyte = 1 << 20
	gibibyte = 1 << 30
	// Of a small container, MySQL itself needs more than half.
	smallShare, largeShare = 4, 2
	minPool                = 64 * mebibyte
	defaultPool            = 128 * mebibyte
	// minCache is the least that Group Replication takes for messages; its default of 1 GiB suits large servers only.
	minCache, maxCache = 128 * mebibyte, gibibyte
)

func (s Settings) pool() int64 {
	switch {
	case s.MemoryLimit <= 0:
		return defaultPool
	case s.MemoryLimit < 2*gibibyte:
		return max(minPool, s.MemoryLimit/smallShare)
	default:
		return s.MemoryLimit / largeShare
	}
}

func (s Settings) cache() int64 { return min(maxCache, max(minCache, s.MemoryLimit/8)) } //nolint:mnd // an eighth

// File is my.cnf. Members talk over MySQL's own port, so that TLS and a password guard that, too.
func (s Settings) File() string {
	lines := []string{
		"[mysqld]",
		"datadir=" + DataDir,
		"socket=" + Socket,
		"pid-file=" + RunDir + "/mysqld.pid",
		"init-file=" + RunDir + "/init.sql",
		"tmpdir=" + TmpDir,
		"secure-file-priv=NULL",
		fmt.Sprintf("port=%d", Port),
		"mysqlx=OFF",
		"skip-name-resolve=ON",
		fmt.Sprintf("server-id=%d", s.Ordinal+1),
		"report-host=" + s.Host,
		"require-secure-transport=ON",
		"# Nothing but the group lets writes in.",
		"super-read-only=ON",
		"gtid-mode=ON",
		"enforce-gtid-consistency=ON",
		"log-bin=binlog",
		"log-error-verbosity=2",
		fmt.Sprintf("innodb-buffer-pool-size=%d", s.pool()),
		"# A commit that was acknowledged is on disk.",
		"innodb-flush-log-at-trx-commit=1",
		"sync-binlog=1",
		"plugin-load-add=group_replication.so",
		"plugin-load-add=mysql_clone.so",
		"loose-group-replication-group-name=" + s.Group,
		"loose-group-replication-start-on-boot=OFF",
		"loose-group-replication-bootstrap-group=OFF",
		"loose-group-replication-single-primary-mode=ON",
		"loose-group-replication-communication-stack=MYSQL",
		fmt.Sprintf("loose-group-replication-local-address=%s:%d", s.Host, Port),
		"loose-group-replication-ssl-mode=REQUIRED",
		"loose-group-replication-recovery-use-ssl=ON",
		fmt.Sprintf("loose-group-replication-message-cache-size=%d", s.cache()),
		"# A member that is lost is expelled after 5 + 2 seconds; one without a majority gives up after 30.",
		"loose-group-replication-member-expel-timeout=2",
		"loose-group-replication-unreachable-majority-timeout=30",
		"loose-group-replication-exit-state-action=READ_ONLY",
		"# A new primary has applied what it has received before it lets clients see or write anything.",
		"loose-group-replication-consistency=BEFORE_ON_PRIMARY_FAILOVER",
	}

	return strings.Join(append(lines, ""), "\n")
}

// InitFile is run at each start, and not replicated: it makes the users that are ours have the passwords of their Secret.
func InitFile(rootPassword, replicationPassword string) string {
	root, member := literal(rootPassword), literal(replicationPassword)
	lines := []string{
		"SET SESSION SQL_LOG_BIN=0;",
		"CREATE USER IF NOT EXISTS 'root'@'localhost' IDENTIFIED BY " + root + ";",
		"ALTER USER 'root'@'localhost' IDENTIFIED BY " + root + ";",
		"CREATE USER IF NOT EXISTS '" + user + "'@'%' IDENTIFIED BY " + member + " REQUIRE SSL;",
		"ALTER USER '" + user + "'@'%' IDENTIFIED BY " + member + " REQUIRE SSL;",
		"GRANT REPLICATION SLAVE, BACKUP_ADMIN, CONNECTION_ADMIN, GROUP_REPLICATION_STREAM ON *.* TO '" + user + "'@'%';",
		"GRANT SELECT ON performance_schema.* TO '" + user + "'@'%';",
	}

	return strings.Join(append(lines, ""), "\n")
}

// literal is a string constant.
func literal(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}

// identifier is a quoted name.
func identifier(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }
