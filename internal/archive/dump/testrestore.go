package dump

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/pgconn"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

const (
	// checkTimeout of one check, and of counting.
	checkTimeout = 30 * time.Minute
	// maxRoles that are made one by one since the dump names them; each costs a restore from the beginning.
	maxRoles = 16
	// countedAtOnce are the MySQL tables that one statement counts.
	countedAtOnce = 100
)

// TestOptions of TestRestore.
type TestOptions struct {
	Scratch Scratch
	// Database that was dumped; empty for all of a MongoDB.
	Database string
	Checks   []archiveapi.DumpCheck
	// Feed writes the dump, from where it is stored.
	Feed func(ctx context.Context, w io.Writer) error
}

// TestRestore loads a dump into a throw-away server, counts what came and runs the checks. Why the dump does not count as verified is in
// the result.
func (p Programs) TestRestore(ctx context.Context, o TestOptions) archiveapi.DumpTest {
	result := archiveapi.DumpTest{Started: o.Scratch.Clock.Now().UTC()}

	if err := p.testRestore(ctx, o, &result); err != nil {
		result.Error = err.Error()
	}

	result.Completed = o.Scratch.Clock.Now().UTC()

	return result
}

func (p Programs) testRestore(ctx context.Context, o TestOptions, result *archiveapi.DumpTest) error {
	server, err := o.Scratch.ask(ctx)
	if err != nil {
		return err
	}
	defer server.close()

	result.Server = server.version
	restore := p.testMongo

	switch o.Scratch.Engine {
	case archiveapi.EnginePostgreSQL:
		restore = p.testPostgres
	case archiveapi.EngineMySQL:
		restore = p.testMySQL
	}

	return server.during(ctx, o.Scratch, func(ctx context.Context) error { return restore(ctx, o, result) })
}

// runChecks of the user's; hold says whether one is true. All of them are run, also after one that is not.
func runChecks(ctx context.Context, o TestOptions, result *archiveapi.DumpTest, holds func(ctx context.Context, sql string) (bool, error)) error {
	var failed []error

	for _, check := range o.Checks {
		ctx, cancel := context.WithTimeout(ctx, checkTimeout)
		isTrue, err := holds(ctx, check.SQL)

		cancel()

		switch {
		case err != nil:
			failed = append(failed, fmt.Errorf("check %s: %w", check.Name, err))
		case !isTrue:
			failed = append(failed, fmt.Errorf("check %s: it is not true", check.Name))
		default:
			result.Checks = append(result.Checks, check.Name)
		}
	}

	return errors.Join(failed...)
}

// testPostgres: the database comes with its own encoding, locale and settings. Owners and privileges do not, as their roles are not part of
// a dump; roles that policies and the like name are made.
func (p Programs) testPostgres(ctx context.Context, o TestOptions, result *archiveapi.DumpTest) error {
	s := server{DumpServer: archiveapi.DumpServer{Engine: o.Scratch.Engine, Host: o.Scratch.Dir, Port: scratchPort}, user: postgres.Superuser}
	c := command{
		program: "pg_restore", env: s.libpq(),
		args: []string{
			"--exit-on-error", "--create", "--clean", "--if-exists", "--no-owner", "--no-privileges", "--no-tablespaces", "--no-password", "--dbname=postgresql:///template1",
		},
	}

	for made := 0; ; made++ {
		err := p.feed(ctx, c, o.Feed)
		if err == nil {
			break
		}

		role := missingRole(err)
		if role == "" || made == maxRoles {
			return fmt.Errorf("restore: %w", remedy(err))
		}

		if err := o.Scratch.postgresExec(ctx, "CREATE ROLE "+pgx.Identifier{role}.Sanitize()); err != nil {
			return fmt.Errorf("make the role %s, which the dump names: %w", role, err)
		}
	}

	database := o.Database
	if database == "" {
		err := o.Scratch.postgresQuery(ctx, "postgres", "SELECT datname FROM pg_catalog.pg_database WHERE NOT datistemplate ORDER BY oid DESC LIMIT 1", &database)
		if err != nil {
			return err
		}
	}

	if err := o.Scratch.countPostgres(ctx, database, result); err != nil {
		return fmt.Errorf("count what came: %w", err)
	}

	return runChecks(ctx, o, result, func(ctx context.Context, sql string) (bool, error) {
		var holds *bool

		err := o.Scratch.postgresQuery(ctx, database, sql, &holds)

		return holds != nil && *holds, err
	})
}

// missingRole is the role that a restore failed over; empty if it failed otherwise.
func missingRole(err error) string {
	match := regexp.MustCompile(`ERROR:\s+role "([^"]+)" does not exist`).FindStringSubmatch(err.Error())
	if match == nil {
		return ""
	}

	return match[1]
}

// remedy for what a throw-away server lacks.
func remedy(err error) error {
	for _, known := range []struct{ says, remedy string }{
		{`extension "[^"]+" is not available|could not open extension control file`, "the image lacks an extension of the database: name one that has it in spec.source.image"},
		{`shared_preload_libraries`, "an extension of the database must be loaded when the server starts, which the throw-away one does not do: such a dump cannot be tested here"},
		{`invalid (LC_\w+ )?locale name|could not create locale|ICU is not supported`, "the image lacks the database's locale: name one that has it in spec.source.image"},
		{`unrecognized configuration parameter|unsupported version`, "pg_restore and the server of the image are not of one major version: name an image with one of them only in spec.source.image"},
		{`No space left on device|Disk quota exceeded`, "there is not enough room: raise spec.verification.size, or make room on the node"},
	} {
		if regexp.MustCompile(known.says).MatchString(err.Error()) {
			return fmt.Errorf("%w — %s", err, known.remedy)
		}
	}

	return err
}

func (s Scratch) postgresExec(ctx context.Context, statement string) error {
	conn, err := pgconn.Connect(ctx, pgconn.Local(s.Dir, scratchPort, "postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it is thrown away

	_, err = conn.Exec(ctx, statement)

	return err
}

func (s Scratch) postgresQuery(ctx context.Context, database, query string, into any) error {
	conn, err := pgconn.Connect(ctx, pgconn.Local(s.Dir, scratchPort, database))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it is thrown away

	return conn.QueryRow(ctx, query).Scan(into)
}

// countPostgres reads every row of every table. Of a partitioned table the partitions count.
func (s Scratch) countPostgres(ctx context.Context, database string, result *archiveapi.DumpTest) error {
	conn, err := pgconn.Connect(ctx, pgconn.Local(s.Dir, scratchPort, database))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it is thrown away

	rows, err := conn.Query(ctx, "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "+
		"WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')")
	if err != nil {
		return err
	}

	tables, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (pgx.Identifier, error) {
		name := make(pgx.Identifier, 2) //nolint:mnd // schema and table

		return name, row.Scan(&name[0], &name[1])
	})
	if err != nil {
		return err
	}

	for _, table := range tables {
		var count int64
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM "+table.Sanitize()).Scan(&count); err != nil {
			return err
		}

		result.Rows += count
	}

	result.Tables = int64(len(tables))

	return nil
}

// testMySQL: whoever routines, triggers and views are defined by is made, so that checks can use them.
func (p Programs) testMySQL(ctx context.Context, o TestOptions, result *archiveapi.DumpTest) error {
	database := o.Database

	if _, err := o.Scratch.mysqlQuery(ctx, "", "CREATE DATABASE "+mysqlIdentifier(database)); err != nil {
		return err
	}

	c := command{program: "mysql", args: o.Scratch.mysqlArgs("--batch", "--binary-mode", "--max-allowed-packet=1G", "--default-character-set=utf8mb4", "--database="+database)}
	if err := p.feed(ctx, c, o.Feed); err != nil {
		return fmt.Errorf("restore: %w", remedy(err))
	}

	if err := o.Scratch.makeDefiners(ctx, database); err != nil {
		return err
	}

	if err := o.Scratch.countMySQL(ctx, database, result); err != nil {
		return fmt.Errorf("count what came: %w", err)
	}

	return runChecks(ctx, o, result, func(ctx context.Context, sql string) (bool, error) {
		rows, err := o.Scratch.mysqlQuery(ctx, database, sql)
		if err != nil || len(rows) == 0 {
			return false, err
		}

		first, _, _ := strings.Cut(rows[0], "\t")
		number, err := strconv.ParseFloat(first, 64)

		return err == nil && number != 0, nil
	})
}

func (s Scratch) makeDefiners(ctx context.Context, database string) error {
	var queries []string

	for table, column := range map[string]string{"views": "table_schema", "routines": "routine_schema", "triggers": "trigger_schema", "events": "event_schema"} {
		queries = append(queries, "SELECT definer FROM information_schema."+table+" WHERE "+column+" = DATABASE()")
	}

	definers, err := s.mysqlQuery(ctx, database, strings.Join(queries, " UNION "))
	if err != nil {
		return fmt.Errorf("look for definers: %w", err)
	}

	for _, definer := range definers {
		at := strings.LastIndex(definer, "@")
		if at < 0 {
			continue
		}

		account := mysqlIdentifier(definer[:at]) + "@" + mysqlIdentifier(definer[at+1:])
		if _, err := s.mysqlQuery(ctx, database, "CREATE USER IF NOT EXISTS "+account+"; GRANT ALL ON *.* TO "+account); err != nil {
			return fmt.Errorf("make the definer %s: %w", definer, err)
		}
	}

	return nil
}

func (s Scratch) countMySQL(ctx context.Context, database string, result *archiveapi.DumpTest) error {
	tables, err := s.mysqlQuery(ctx, database, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'")
	if err != nil {
		return err
	}

	result.Tables = int64(len(tables))

	for some := range slices.Chunk(tables, countedAtOnce) {
		var counts []string
		for _, table := range some {
			counts = append(counts, "SELECT COUNT(*) AS n FROM "+mysqlIdentifier(table))
		}

		sum, err := s.mysqlQuery(ctx, database, "SELECT SUM(n) FROM ("+strings.Join(counts, " UNION ALL ")+") AS counted")
		if err != nil {
			return err
		}

		rows, err := strconv.ParseInt(strings.Join(sum, ""), 10, 64)
		if err != nil {
			return err
		}

		result.Rows += rows
	}

	return nil
}

func (s Scratch) mysqlArgs(args ...string) []string {
	return append([]string{"--no-defaults", "--protocol=SOCKET", "--socket=" + s.socket(), "--user=root"}, args...)
}

// mysqlQuery gives the rows, columns parted by tabs.
func (s Scratch) mysqlQuery(ctx context.Context, database, statements string) ([]string, error) {
	path, err := find("mysql")
	if err != nil {
		return nil, err
	}

	args := s.mysqlArgs("--batch", "--raw", "--skip-column-names", "--execute="+statements)
	if database != "" {
		args = append(args, "--database="+database)
	}

	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // a known program

	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil, failure("mysql", string(exit.Stderr), err)
	}

	text := strings.TrimSuffix(string(out), "\n")
	if err != nil || text == "" {
		return nil, err
	}

	return strings.Split(text, "\n"), nil
}

func mysqlIdentifier(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// testMongo counts what mongorestore says that it has restored. Checks are SQL, which it does not know.
func (p Programs) testMongo(ctx context.Context, o TestOptions, result *archiveapi.DumpTest) error {
	said := &bytes.Buffer{}
	log := p.Log
	p.Log = io.MultiWriter(log, said)

	c := command{program: "mongorestore", args: []string{"--archive", "--stopOnError", "--uri=mongodb://" + url.PathEscape(o.Scratch.socket())}}
	if err := p.feed(ctx, c, o.Feed); err != nil {
		return fmt.Errorf("restore: %w", remedy(err))
	}

	result.Tables = int64(len(regexp.MustCompile(`finished restoring `).FindAllIndex(said.Bytes(), -1)))

	if match := regexp.MustCompile(`(\d+) document\(s\) restored successfully`).FindSubmatch(said.Bytes()); match != nil {
		var err error
		if result.Rows, err = strconv.ParseInt(string(match[1]), 10, 64); err != nil {
			return err
		}
	}

	return nil
}
