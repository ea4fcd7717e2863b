package provision

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// StatementError says which statement failed while the data of a new Cluster were made.
type StatementError struct {
	// Field of the spec that it came from; empty for our own.
	Field string
	// Statement that failed, shortened.
	Statement string
	// SQLState of the failure, if the server gave one.
	SQLState string
	Err      error
}

// Error names the statement and its SQLSTATE.
func (e *StatementError) Error() string {
	where := "statement"
	if e.Field != "" {
		where = e.Field
	}

	return fmt.Sprintf("%s %q failed (SQLSTATE %s): %v", where, e.Statement, e.SQLState, e.Err)
}

// Unwrap gives the cause.
func (e *StatementError) Unwrap() error { return e.Err }

// maxStatement is how much of a statement goes into a message.
const maxStatement = 120

func execute(ctx context.Context, conn *pgx.Conn, field, statement string) error {
	// The simple protocol takes several statements at once, and those that may not run in a transaction.
	_, err := conn.PgConn().Exec(ctx, statement).ReadAll()
	if err == nil {
		return nil
	}

	short := strings.Join(strings.Fields(statement), " ")
	if len(short) > maxStatement {
		short = short[:maxStatement] + "…"
	}

	failed := &StatementError{Field: field, Statement: short, Err: err}

	if server, ok := errors.AsType[*pgconn.PgError](err); ok {
		failed.SQLState, failed.Err = server.Code, errors.New(server.Message)
	}

	return failed
}

// Connect opens a superuser's connection to a database of the server that is being populated.
type Connect func(ctx context.Context, database string) (*pgx.Conn, error)

// Roles makes what replication needs, where it is missing: the role, and its right to what pg_rewind calls.
func Roles(ctx context.Context, conn *pgx.Conn) error {
	name := pgx.Identifier{postgres.ReplicationUser}.Sanitize()

	var exists bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1)",
		postgres.ReplicationUser).Scan(&exists); err != nil {
		return fmt.Errorf("look for the role %s: %w", postgres.ReplicationUser, err)
	}

	verb := "CREATE"
	if exists {
		verb = "ALTER"
	}

	statements := []string{verb + " ROLE " + name + " WITH LOGIN REPLICATION"}
	for _, function := range rewindFunctions() {
		statements = append(statements, "GRANT EXECUTE ON FUNCTION pg_catalog."+function+" TO "+name)
	}

	return execute(ctx, conn, "", strings.Join(statements, "; "))
}

// rewindFunctions are what pg_rewind calls on its source (PostgreSQL documentation, pg_rewind, Notes).
func rewindFunctions() []string {
	return []string{
		"pg_ls_dir(text, boolean, boolean)",
		"pg_stat_file(text, boolean)",
		"pg_read_binary_file(text)",
		"pg_read_binary_file(text, bigint, bigint, boolean)", //nolint:dupword // a signature
	}
}

// Populate makes the roles and the application's database of a new Cluster, and runs the user's statements.
func Populate(ctx context.Context, connect Connect, in instanceapi.InitDB) error {
	conn, err := connect(ctx, postgres.Superuser)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the server is stopped next

	if err := Roles(ctx, conn); err != nil {
		return err
	}

	if err := application(ctx, conn, in); err != nil {
		return err
	}

	for i, statement := range in.PostInitSQL {
		if err := execute(ctx, conn, fmt.Sprintf("postInitSQL[%d]", i), statement); err != nil {
			return err
		}
	}

	return postInitApplication(ctx, connect, in)
}

func application(ctx context.Context, conn *pgx.Conn, in instanceapi.InitDB) error {
	if in.Database == "" || in.Owner == "" {
		return nil
	}

	owner, database := pgx.Identifier{in.Owner}.Sanitize(), pgx.Identifier{in.Database}.Sanitize()
	if in.Owner != postgres.Superuser {
		if err := execute(ctx, conn, "", "CREATE ROLE "+owner+" WITH LOGIN"); err != nil {
			return err
		}
	}

	return execute(ctx, conn, "", "CREATE DATABASE "+database+" OWNER "+owner)
}

func postInitApplication(ctx context.Context, connect Connect, in instanceapi.InitDB) error {
	if len(in.PostInitApplicationSQL) == 0 {
		return nil
	}

	conn, err := connect(ctx, in.Database)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the server is stopped next

	for i, statement := range in.PostInitApplicationSQL {
		if err := execute(ctx, conn, fmt.Sprintf("postInitApplicationSQL[%d]", i), statement); err != nil {
			return err
		}
	}

	return nil
}
