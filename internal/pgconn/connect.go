package pgconn

import (
	"context"
	"crypto/tls"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// Params say what to connect to. Nothing is taken from the environment.
type Params struct {
	// Host name, or the folder of a Unix socket.
	Host string
	Port int
	User string
	// Database is ignored for a replication connection.
	Database string
	// TLS is required over the network; nil for the Unix socket.
	TLS *tls.Config
	// Replication opens a connection that takes replication commands.
	Replication bool
	// ApplicationName as pg_stat_activity shows it.
	ApplicationName string
	// StatementTimeout is the server's own limit; the context's should be longer. 0 for none.
	StatementTimeout time.Duration
}

// Local are the Params of the superuser over the Unix socket.
func Local(socketDir string, port int, database string) Params {
	return Params{
		Host: socketDir, Port: port, User: postgres.Superuser, Database: database, ApplicationName: "caretaker",
	}
}

// Connect opens a connection; the context bounds only that.
func Connect(ctx context.Context, p Params) (*pgx.Conn, error) {
	info := postgres.ConnInfo{Host: p.Host, Port: p.Port, User: p.User, DBName: p.Database, SSLMode: "disable"}

	config, err := pgx.ParseConfig(info.String())
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", p.Host, err)
	}

	config.TLSConfig = p.TLS
	config.Fallbacks = nil
	config.Password = ""
	config.RuntimeParams = map[string]string{"application_name": p.ApplicationName}
	if p.TLS == nil && !p.Replication {
		// Our own sessions look after the server also while clients may not write, as its volume is nearly full.
		config.RuntimeParams["default_transaction_read_only"] = "off"
	}

	// What the Cluster's configuration, or an ALTER ROLE, imposes on clients is not for us: a checkpoint takes its time.
	for _, limit := range []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"} {
		config.RuntimeParams[limit] = "0"
	}

	if p.Replication {
		config.RuntimeParams["replication"] = "true"
		// Replication commands are not known to the extended protocol.
		config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	} else if p.StatementTimeout > 0 {
		config.RuntimeParams["statement_timeout"] = strconv.FormatInt(p.StatementTimeout.Milliseconds(), 10)
	}

	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to %s:%d: %w", p.Host, p.Port, err)
	}

	return conn, nil
}
