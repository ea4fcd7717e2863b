package mysqld

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
)

const (
	rolePrimary = "primary"
	roleReplica = "replica"
	// peerTimeout bounds a question to another member.
	peerTimeout = 3 * time.Second
)

// database is the local server, or another member.
type database struct{ *sql.DB }

func (d *database) close() {
	if d != nil {
		// Nothing is left to be done with it.
		_ = d.Close()
	}
}

func (m *member) connect() *database {
	return m.local("root", func() (string, error) {
		internal, err := readCredentials("internal", "root-password")

		return internal["root-password"], err
	})
}

func (m *member) local(login string, password func() (string, error)) *database {
	secret, err := password()
	if err != nil {
		m.Log.Error("no credentials", "error", err)
	}

	return open(login, secret, "unix", Socket, "")
}

func open(login, password, network, address, tlsName string) *database {
	config := mysql.NewConfig()
	config.User, config.Passwd, config.Net, config.Addr, config.TLSConfig = login, password, network, address, tlsName
	config.Timeout = peerTimeout
	config.Logger = &mysql.NopLogger{}
	config.InterpolateParams = true

	if tlsName != "" {
		config.TLSConfig = ""
		// Members have certificates that their servers made for themselves: who a member is, the password says.
		config.TLS = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12} //nolint:gosec // see above
	}

	connector, err := mysql.NewConnector(config)
	if err != nil {
		panic(err) // the configuration is ours
	}

	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	db.SetConnMaxIdleTime(time.Minute)

	return &database{db}
}

// membership is what the group says of a server.
type membership struct{ state, role, version string }

func (d *database) membership(ctx context.Context) (membership, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()

	var (
		seen        membership
		state, role sql.NullString
	)

	err := d.QueryRowContext(ctx, "SELECT m.MEMBER_STATE, m.MEMBER_ROLE, @@GLOBAL.version FROM (SELECT 1) one "+
		"LEFT JOIN performance_schema.replication_group_members m ON m.MEMBER_ID = @@GLOBAL.server_uuid").Scan(&state, &role, &seen.version)
	if err != nil {
		return seen, fmt.Errorf("ask for the membership: %w", err)
	}

	seen.state, seen.role = state.String, roleReplica
	if role.String == "PRIMARY" {
		seen.role = rolePrimary
	}

	return seen, nil
}

// executed is every transaction that the server has, those included that it has received and not applied yet.
func (d *database) executed(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()

	var executed string

	var received sql.NullString

	if err := d.QueryRowContext(ctx, "SELECT @@GLOBAL.gtid_executed").Scan(&executed); err != nil {
		return "", fmt.Errorf("ask for the transactions: %w", err)
	}

	err := d.QueryRowContext(ctx, "SELECT RECEIVED_TRANSACTION_SET FROM performance_schema.replication_connection_status "+
		"WHERE CHANNEL_NAME = 'group_replication_applier'").Scan(&received)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("ask for the transactions: %w", err)
	}

	all := strings.Join([]string{executed, received.String}, ",")

	return strings.Trim(strings.Join(strings.Fields(all), ""), ","), nil
}

func (d *database) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()

	_, err := d.ExecContext(ctx, "STOP GROUP_REPLICATION")

	return err //nolint:wrapcheck // the caller says what it was doing
}

// onlinePeers are the addresses of members that are in a group, and have a majority in it.
func (m *member) onlinePeers(ctx context.Context) []string {
	internal, err := readCredentials("internal", "replication-password")
	if err != nil {
		m.Log.Error("no credentials", "error", err)

		return nil
	}

	var (
		mu     sync.Mutex
		asking sync.WaitGroup
		online []string
	)

	for _, peer := range m.Peers {
		if peer == m.Instance {
			continue
		}

		asking.Go(func() {
			address := fmt.Sprintf("%s:%d", m.Host(peer), Port)

			if isOnline(ctx, address, internal["replication-password"]) {
				mu.Lock()
				defer mu.Unlock()

				online = append(online, address)
			}
		})
	}

	asking.Wait()
	slices.Sort(online)

	return online
}

func isOnline(ctx context.Context, address, password string) bool {
	ctx, cancel := context.WithTimeout(ctx, peerTimeout)
	defer cancel()

	db := open(user, password, "tcp", address, "peer")
	defer db.close()

	var reachable int

	// One that is cut off from the majority is online in its own eyes, and sees the others as unreachable.
	err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM performance_schema.replication_group_members m WHERE m.MEMBER_ID = @@GLOBAL.server_uuid "+
		"AND m.MEMBER_STATE = 'ONLINE' AND (SELECT SUM(IF(MEMBER_STATE <> 'UNREACHABLE', 1, 0)) * 2 > COUNT(*) FROM performance_schema.replication_group_members)").
		Scan(&reachable)

	return err == nil && reachable == 1
}

// join joins the group of the seeds; it returns when this member catches up, or cannot.
func (m *member) join(ctx context.Context, db *database, seeds []string) error {
	internal, err := readCredentials("internal", "replication-password")
	if err != nil {
		return err
	}

	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()

	if _, err := db.ExecContext(ctx, "SET GLOBAL group_replication_group_seeds = "+literal(strings.Join(seeds, ","))); err != nil {
		return err //nolint:wrapcheck // the caller says what it was doing
	}

	_, err = db.ExecContext(ctx, start(internal["replication-password"]))

	return err //nolint:wrapcheck // the caller says what it was doing
}

func start(password string) string {
	return "START GROUP_REPLICATION USER = " + literal(user) + ", PASSWORD = " + literal(password)
}

// begin begins a group with this member alone.
func (m *member) begin(ctx context.Context, db *database) error {
	internal, err := readCredentials("internal", "replication-password")
	if err != nil {
		return err
	}

	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()

	if _, err := db.ExecContext(ctx, "SET GLOBAL group_replication_bootstrap_group = ON"); err != nil {
		return err //nolint:wrapcheck // the caller says what it was doing
	}

	_, err = db.ExecContext(ctx, start(internal["replication-password"]))

	// Never twice by mistake.
	_, off := db.ExecContext(context.WithoutCancel(ctx), "SET GLOBAL group_replication_bootstrap_group = OFF")

	return errors.Join(err, off)
}

// application makes the application's database and user as their Secret has them. Whether the password works is tried
// first: nothing is written while it does.
func (m *member) application(ctx context.Context, db *database) error {
	app, err := readCredentials("app", "username", "password", "dbname")
	if err != nil {
		return err
	}

	if app["password"] == m.appPassword {
		return nil
	}

	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()

	login := open(app["username"], app["password"], "unix", Socket, "")
	defer login.close()

	if login.PingContext(ctx) == nil {
		m.appPassword = app["password"]

		return nil
	}

	name, secret := literal(app["username"])+"@'%'", literal(app["password"])

	for _, statement := range []string{
		"CREATE DATABASE IF NOT EXISTS " + identifier(app["dbname"]),
		"CREATE USER IF NOT EXISTS " + name + " IDENTIFIED BY " + secret,
		"ALTER USER " + name + " IDENTIFIED BY " + secret,
		"GRANT ALL ON " + identifier(app["dbname"]) + ".* TO " + name,
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("look after the user %s: %w", app["username"], err)
		}
	}

	m.appPassword = app["password"]
	m.Log.Info("made the application's database and user", "database", app["dbname"], "user", app["username"])

	return nil
}
