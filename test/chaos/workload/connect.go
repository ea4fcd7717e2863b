package workload

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The timeouts of a client.
const (
	ConnectTimeout = time.Second
	WriteTimeout   = 2 * time.Second
)

// errNoCancel is told to pgx when it wants to send a cancel request.
var errNoCancel = errors.New("this client cancels nothing")

// Endpoint is how to reach PostgreSQL.
type Endpoint struct {
	// URI or keywords, as libpq takes them.
	URI string
	// Dial makes connections; the machine's own network if nil.
	Dial pgconn.DialFunc
	// Addresses of host names that the machine cannot look up.
	Addresses map[string]string
}

// session is a connection, and who is at its other end.
type session struct {
	conn   *pgx.Conn
	system string
	server string
}

// connect opens a connection. It never sends cancel requests: a cancelled wait for replication is a commit that clients see
// though no standby has it, which voids what is tested here.
func (e Endpoint) connect(ctx context.Context) (*session, error) {
	config, err := e.config()
	if err != nil {
		return nil, err
	}

	var connected atomic.Bool

	dial := config.DialFunc
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if connected.Load() {
			return nil, errNoCancel
		}

		return dial(ctx, network, address)
	}

	ctx, cancel := context.WithTimeout(ctx, ConnectTimeout)
	defer cancel()

	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}

	connected.Store(true)

	s := &session{conn: conn}

	err = conn.QueryRow(ctx, `SELECT system_identifier::text, host(inet_server_addr()) || ' ' || pg_backend_pid() || ' ' ||
		extract(epoch FROM pg_postmaster_start_time())::bigint FROM pg_control_system()`).Scan(&s.system, &s.server)
	if err != nil {
		s.close()

		return nil, err
	}

	return s, nil
}

func (e Endpoint) config() (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(e.URI)
	if err != nil {
		return nil, fmt.Errorf("connection string: %w", err)
	}

	config.ConnectTimeout = ConnectTimeout

	// libpq's own; pgx would ask the server for them.
	for _, key := range []string{"tcp_user_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"} {
		delete(config.RuntimeParams, key)
	}

	if e.Dial != nil {
		config.DialFunc = e.Dial
	}

	config.LookupFunc = func(ctx context.Context, host string) ([]string, error) {
		if address := e.Addresses[host]; address != "" {
			return []string{address}, nil
		}

		return net.DefaultResolver.LookupHost(ctx, host)
	}

	return config, nil
}

// close does not wait for the other end, which may be gone without a word.
func (s *session) close() {
	if s != nil {
		_ = s.conn.PgConn().Conn().Close()
	}
}
