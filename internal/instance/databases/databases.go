package databases

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/caretaker-dev/caretaker/internal/instance/keeper"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// ErrNotPrimary says that this server may not be written to.
var ErrNotPrimary = errors.New("this instance is not the primary")

// RefusedError says that something cannot be as asked for, until the request or the server changes.
type RefusedError struct{ message string }

// Error is the message, with the field where one is known.
func (e *RefusedError) Error() string { return e.message }

// Connect opens a superuser's connection to a database of the local server.
type Connect func(ctx context.Context, database string) (*pgx.Conn, error)

// session is one connection and what was done so far.
type session struct {
	conn   *pgx.Conn
	report *instanceapi.DatabaseReport
}

// open connects, and takes the search path away from whoever owns the database.
func open(ctx context.Context, connect Connect, database string, report *instanceapi.DatabaseReport) (*session, error) {
	conn, err := connect(ctx, database)
	if err != nil {
		return nil, err
	}

	s := &session{conn: conn, report: report}
	if _, err := conn.Exec(ctx, "SET search_path = ''"); err != nil {
		s.close(ctx)

		return nil, fmt.Errorf("prepare the session: %w", err)
	}

	return s, nil
}

// close: the server ends the backend either way.
func (s *session) close(ctx context.Context) { _ = s.conn.Close(context.WithoutCancel(ctx)) }

// exec runs one statement; field names the wish that it comes from.
func (s *session) exec(ctx context.Context, field, statement string) error {
	_, err := s.conn.PgConn().Exec(ctx, statement).ReadAll()

	return explain(field, err)
}

// done notes a change.
func (s *session) done(format string, args ...any) {
	s.report.Done = append(s.report.Done, fmt.Sprintf(format, args...))
}

// explain sorts an error of PostgreSQL's: what it refuses will be refused again, unless the server is in trouble.
func explain(field string, err error) error {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return err
	}

	// Classes of SQLSTATE that pass: connection, transaction rollback, insufficient resources, operator intervention
	// (which a shutdown is), system error, and a database that is in use.
	for _, class := range []string{"08", "25006", "40", "53", "55006", "57", "XX"} {
		if strings.HasPrefix(answer.Code, class) {
			return fmt.Errorf("%s: %w", field, err)
		}
	}

	// A file that is missing is an extension that the image lacks.
	var message strings.Builder
	fmt.Fprintf(&message, "%s: PostgreSQL says: %s", field, answer.Message)

	for _, more := range []string{answer.Detail, answer.Hint} {
		if more != "" {
			message.WriteString("; " + more)
		}
	}

	return &RefusedError{message: message.String()}
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// literal is a string constant; the server's standard_conforming_strings may be off.
func literal(text string) string {
	quoted := "'" + strings.ReplaceAll(text, "'", "''") + "'"
	if strings.Contains(text, `\`) {
		return "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}

	return quoted
}

// mark is the comment of a role that was made for an asker.
func mark(asker string) string { return "Made by Caretaker for Database " + asker }

// Ensure brings a database to what is wished. The error is ErrNotPrimary, a *RefusedError, or one that may pass.
func Ensure(ctx context.Context, connect Connect, in instanceapi.DatabaseRequest) (instanceapi.DatabaseReport, error) {
	report := instanceapi.DatabaseReport{}

	s, err := open(ctx, connect, postgres.Superuser, &report)
	if err != nil {
		return report, err
	}
	defer s.close(ctx)

	if err := s.primary(ctx); err != nil {
		return report, err
	}

	if err := s.database(ctx, in); err != nil {
		return report, err
	}

	if len(in.Schemas)+len(in.Extensions) == 0 {
		return report, nil
	}

	inside, err := open(ctx, connect, in.Name, &report)
	if err != nil {
		return report, err
	}
	defer inside.close(ctx)

	for i, schema := range in.Schemas {
		if err := inside.schema(ctx, fmt.Sprintf("spec.schemas[%d]", i), schema); err != nil {
			return report, err
		}
	}

	for i, extension := range in.Extensions {
		if err := inside.extension(ctx, fmt.Sprintf("spec.extensions[%d]", i), extension); err != nil {
			return report, err
		}
	}

	return report, nil
}

// primary makes sure that this server is written to, and notes whose data it has.
func (s *session) primary(ctx context.Context) error {
	var inRecovery bool

	err := s.conn.QueryRow(ctx, "SELECT pg_catalog.pg_is_in_recovery(), (SELECT system_identifier::pg_catalog.text FROM pg_catalog.pg_control_system())").
		Scan(&inRecovery, &s.report.SystemID)

	switch {
	case err != nil:
		return fmt.Errorf("ask the server for its role: %w", err)
	case inRecovery:
		return ErrNotPrimary
	default:
		return nil
	}
}

// found is a database as it is.
type found struct {
	owner, encoding, collate, ctype string
	limit                           int32
}

func (s *session) find(ctx context.Context, name string) (*found, error) {
	row := s.conn.QueryRow(ctx, `SELECT pg_catalog.pg_get_userbyid(datdba)::pg_catalog.text, pg_catalog.pg_encoding_to_char(encoding)::pg_catalog.text,
		datcollate::pg_catalog.text, datctype::pg_catalog.text, datconnlimit
		FROM pg_catalog.pg_database WHERE datname = $1`, name)

	var db found

	err := row.Scan(&db.owner, &db.encoding, &db.collate, &db.ctype, &db.limit)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // there is none
	}

	if err != nil {
		return nil, fmt.Errorf("look for the database %s: %w", name, err)
	}

	return &db, nil
}

func (s *session) database(ctx context.Context, in instanceapi.DatabaseRequest) error {
	live, err := s.find(ctx, in.Name)
	if err != nil {
		return err
	}

	owner := in.Owner

	switch {
	case owner == "" && live != nil:
		owner = live.owner
	case owner == "":
		owner = in.DefaultOwner
	}

	s.report.Owner = owner

	if err := s.role(ctx, in, owner); err != nil {
		return err
	}

	if live == nil {
		if err := s.exec(ctx, "spec", createDatabase(in, owner)); err != nil {
			return err
		}

		s.done("created the database %s", in.Name)

		return nil
	}

	return s.change(ctx, in, owner, live)
}

// createDatabase copies template0 where something is to differ from the template that is copied otherwise.
func createDatabase(in instanceapi.DatabaseRequest, owner string) string {
	var statement strings.Builder
	statement.WriteString("CREATE DATABASE " + quote(in.Name) + " OWNER " + quote(owner))
	differs := false

	for _, option := range []struct{ name, value string }{
		{"ENCODING", in.Encoding}, {"LOCALE", in.Locale}, {"LC_COLLATE", in.LocaleCollate}, {"LC_CTYPE", in.LocaleCType},
	} {
		if option.value != "" {
			statement.WriteString(" " + option.name + " " + literal(option.value))
			differs = true
		}
	}

	if differs {
		statement.WriteString(" TEMPLATE template0")
	}

	if in.ConnectionLimit != nil {
		fmt.Fprintf(&statement, " CONNECTION LIMIT %d", *in.ConnectionLimit)
	}

	return statement.String()
}

// change brings a database that exists to what is wished, as far as PostgreSQL can.
func (s *session) change(ctx context.Context, in instanceapi.DatabaseRequest, owner string, live *found) error {
	collate, ctype := in.LocaleCollate, in.LocaleCType
	if collate == "" {
		collate = in.Locale
	}

	if ctype == "" {
		ctype = in.Locale
	}

	for _, fixed := range []struct{ field, want, have string }{
		{"spec.encoding", in.Encoding, live.encoding}, {"spec.localeCollate", collate, live.collate}, {"spec.localeCType", ctype, live.ctype},
	} {
		if fixed.want != "" && !strings.EqualFold(plain(fixed.want), plain(fixed.have)) {
			return &RefusedError{message: fmt.Sprintf("%s: the database %s exists with %s, and PostgreSQL cannot change it to %s; "+
				"leave the field out, or choose another spec.name", fixed.field, in.Name, fixed.have, fixed.want)}
		}
	}

	if owner != live.owner {
		if err := s.exec(ctx, "spec.owner", "ALTER DATABASE "+quote(in.Name)+" OWNER TO "+quote(owner)); err != nil {
			return err
		}

		s.done("made %s the owner of the database %s", owner, in.Name)
	}

	if in.ConnectionLimit != nil && *in.ConnectionLimit != live.limit {
		statement := fmt.Sprintf("ALTER DATABASE %s CONNECTION LIMIT %d", quote(in.Name), *in.ConnectionLimit)
		if err := s.exec(ctx, "spec.connectionLimit", statement); err != nil {
			return err
		}

		s.done("set the connection limit of the database %s to %d", in.Name, *in.ConnectionLimit)
	}

	return nil
}

// plain leaves out what spellings of one encoding or locale differ in: UTF8 is utf-8.
func plain(name string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(name)
}

// role makes the owner where it is missing. Its password is set only if it was made for the asker: others have given
// theirs away themselves.
func (s *session) role(ctx context.Context, in instanceapi.DatabaseRequest, owner string) error {
	var comment *string

	err := s.conn.QueryRow(ctx, "SELECT pg_catalog.shobj_description(oid, 'pg_authid') FROM pg_catalog.pg_roles WHERE rolname = $1", owner).Scan(&comment)

	switch {
	case errors.Is(err, pgx.ErrNoRows):
		// Both or none: a role without the mark would never get its password.
		statement := fmt.Sprintf("BEGIN; CREATE ROLE %s LOGIN; COMMENT ON ROLE %s IS %s; COMMIT", quote(owner), quote(owner), literal(mark(in.For)))
		if err := s.exec(ctx, "spec.owner", statement); err != nil {
			return err
		}

		s.done("created the role %s", owner)
		s.report.OwnerManaged = true
	case err != nil:
		return fmt.Errorf("look for the role %s: %w", owner, err)
	default:
		s.report.OwnerManaged = comment != nil && *comment == mark(in.For)
	}

	if !s.report.OwnerManaged || in.OwnerPassword == "" {
		return nil
	}

	changed, err := keeper.EnsurePasswords(ctx, s.conn, []keeper.Password{{Role: owner, Password: in.OwnerPassword}})
	if len(changed) > 0 {
		s.done("set the password of the role %s", owner)
	}

	return explain("spec.owner", err)
}

func (s *session) schema(ctx context.Context, field string, want instanceapi.DatabaseSchema) error {
	owner := want.Owner
	if owner == "" {
		owner = s.report.Owner
	}

	var live string

	err := s.conn.QueryRow(ctx, "SELECT pg_catalog.pg_get_userbyid(nspowner)::pg_catalog.text FROM pg_catalog.pg_namespace WHERE nspname = $1", want.Name).Scan(&live)
	missing := errors.Is(err, pgx.ErrNoRows)

	switch {
	case err != nil && !missing:
		return fmt.Errorf("look for the schema %s: %w", want.Name, err)
	case want.Absent && missing, !want.Absent && !missing && (live == owner || want.Owner == "" && want.Name == "public"):
		// PostgreSQL's own schema public has an owner of its own, unless another is asked for.
		return nil
	case want.Absent:
		// Not what is in it, nor what depends on it.
		if err := s.exec(ctx, field, "DROP SCHEMA "+quote(want.Name)); err != nil {
			return err
		}

		s.done("dropped the schema %s", want.Name)
	case missing:
		if err := s.exec(ctx, field, "CREATE SCHEMA "+quote(want.Name)+" AUTHORIZATION "+quote(owner)); err != nil {
			return err
		}

		s.done("created the schema %s", want.Name)
	default:
		if err := s.exec(ctx, field, "ALTER SCHEMA "+quote(want.Name)+" OWNER TO "+quote(owner)); err != nil {
			return err
		}

		s.done("made %s the owner of the schema %s", owner, want.Name)
	}

	return nil
}

func (s *session) extension(ctx context.Context, field string, want instanceapi.DatabaseExtension) error {
	var version, schema string

	err := s.conn.QueryRow(ctx, `SELECT e.extversion, n.nspname::pg_catalog.text FROM pg_catalog.pg_extension e
		JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = $1`, want.Name).Scan(&version, &schema)
	missing := errors.Is(err, pgx.ErrNoRows)

	switch {
	case err != nil && !missing:
		return fmt.Errorf("look for the extension %s: %w", want.Name, err)
	case want.Absent && missing:
		return nil
	case want.Absent:
		// Not what depends on it.
		if err := s.exec(ctx, field, "DROP EXTENSION "+quote(want.Name)); err != nil {
			return err
		}

		s.done("dropped the extension %s", want.Name)

		return nil
	case missing:
		// Its schema is the first of the search path, unless it says otherwise itself.
		if err := s.exec(ctx, field, createExtension(want)); err != nil {
			return err
		}

		s.done("created the extension %s", want.Name)

		return nil
	}

	if want.Schema != "" && want.Schema != schema {
		if err := s.exec(ctx, field+".schema", "ALTER EXTENSION "+quote(want.Name)+" SET SCHEMA "+quote(want.Schema)); err != nil {
			return err
		}

		s.done("moved the extension %s to the schema %s", want.Name, want.Schema)
	}

	if want.Version != "" && want.Version != version {
		if err := s.exec(ctx, field+".version", "ALTER EXTENSION "+quote(want.Name)+" UPDATE TO "+literal(want.Version)); err != nil {
			return err
		}

		s.done("updated the extension %s from %s to %s", want.Name, version, want.Version)
	}

	return nil
}

func createExtension(want instanceapi.DatabaseExtension) string {
	statement := "CREATE EXTENSION " + quote(want.Name)

	if want.Schema != "" {
		statement += " SCHEMA " + quote(want.Schema)
	}

	if want.Version != "" {
		statement += " VERSION " + literal(want.Version)
	}

	if want.Schema == "" {
		return "BEGIN; SET LOCAL search_path = public; " + statement + "; COMMIT"
	}

	return statement
}

// Drop drops a database, whoever is connected to it, and then the owner if it was made for the asker and nothing else is
// his. The error is ErrNotPrimary, a *RefusedError, or one that may pass.
func Drop(ctx context.Context, connect Connect, in instanceapi.DropDatabaseRequest) (instanceapi.DatabaseReport, error) {
	report := instanceapi.DatabaseReport{}

	s, err := open(ctx, connect, postgres.Superuser, &report)
	if err != nil {
		return report, err
	}
	defer s.close(ctx)

	if err := s.primary(ctx); err != nil {
		return report, err
	}

	live, err := s.find(ctx, in.Name)
	if err != nil {
		return report, err
	}

	if live != nil {
		if err := s.exec(ctx, "spec.name", "DROP DATABASE "+quote(in.Name)+" WITH (FORCE)"); err != nil {
			return report, err
		}

		s.done("dropped the database %s", in.Name)
	}

	return report, s.dropRole(ctx, in)
}

func (s *session) dropRole(ctx context.Context, in instanceapi.DropDatabaseRequest) error {
	var made bool

	err := s.conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1 AND pg_catalog.shobj_description(oid, 'pg_authid') = $2)",
		in.Owner, mark(in.For)).Scan(&made)
	if err != nil {
		return fmt.Errorf("look for the role %s: %w", in.Owner, err)
	}

	if !made {
		return nil
	}

	var refused *RefusedError

	err = s.exec(ctx, "spec.owner", "DROP ROLE "+quote(in.Owner))

	switch {
	case errors.As(err, &refused):
		// He owns something else by now: that is not ours to take away.
		s.done("left the role %s, as %s", in.Owner, refused)

		return nil
	case err != nil:
		return err
	}

	s.done("dropped the role %s", in.Owner)

	return nil
}
