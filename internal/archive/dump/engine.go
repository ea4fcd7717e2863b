package dump

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
)

// Secret is what a server is logged in to with, by key: username, password, host, port, dbname, uri, ca.crt.
type Secret map[string]string

// Keys of a Secret. Those that the operator writes for applications are the same.
const (
	keyUsername = "username"
	keyUser     = "user"
	keyPassword = "password"
	keyHost     = "host"
	keyPort     = "port"
	keyDatabase = "dbname"
	keyURI      = "uri"
	keyCA       = "ca.crt"
)

// ReadSecret reads the files of a mounted Secret; none without a folder.
func ReadSecret(dir string) (Secret, error) {
	secret := Secret{}
	if dir == "" {
		return secret, nil
	}

	for _, key := range []string{keyUsername, keyUser, keyPassword, keyHost, keyPort, keyDatabase, keyURI, keyCA} {
		content, err := os.ReadFile(filepath.Join(dir, key)) //nolint:gosec // a folder that the operator mounts
		if os.IsNotExist(err) {
			continue
		}

		if err != nil {
			return nil, fmt.Errorf("read the credentials of the database: %w", err)
		}

		secret[key] = strings.TrimRight(string(content), "\n")
	}

	return secret, nil
}

// server is where to, with what is known from the secret filled in.
type server struct {
	archiveapi.DumpServer

	user, password, uri, caFile string
}

// resolve takes from the secret what is not given. A database is not taken from it where the whole server is meant.
func resolve(given archiveapi.DumpServer, secret Secret) (server, error) {
	s := server{DumpServer: given, user: secret[keyUsername], password: secret[keyPassword]}

	if s.user == "" {
		s.user = secret[keyUser]
	}

	if s.Host == "" {
		s.Host = secret[keyHost]
	}

	if s.Port == 0 && secret[keyPort] != "" {
		port, err := strconv.ParseInt(secret[keyPort], 10, 32)
		if err != nil {
			return s, fmt.Errorf("the key %s of the Secret: %w", keyPort, err)
		}

		s.Port = int32(port)
	}

	if s.Database == "" {
		s.Database = secret[keyDatabase]
	}

	// The other engines' URIs are for applications.
	if given.Engine == archiveapi.EngineMongoDB {
		var database string

		s.uri, database = splitMongoURI(secret[keyURI])
		s.Database = cmp.Or(s.Database, database)
	}

	if secret[keyCA] != "" && given.SecretDir != "" {
		s.caFile = filepath.Join(given.SecretDir, keyCA)
	}

	return s, nil
}

// splitMongoURI takes the database out of a URI, in which mongorestore would take it for what to restore of a dump, and would leave out
// all else without a word. What the URI's user is looked for in by default stays the same.
func splitMongoURI(uri string) (without, database string) {
	scheme, rest, _ := strings.Cut(uri, "://")
	hosts, path, _ := strings.Cut(rest, "/")
	name, options, _ := strings.Cut(path, "?")

	database, err := url.PathUnescape(name)
	if err != nil || name == "" {
		return uri, ""
	}

	known := "&" + strings.ToLower(options)
	isByPassword := !strings.Contains(known, "&authmechanism=") || strings.Contains(known, "&authmechanism=scram")

	if strings.Contains(hosts, "@") && isByPassword && !strings.Contains(known, "&authsource=") {
		options = strings.TrimPrefix(options+"&authSource="+name, "&")
	}

	return strings.TrimSuffix(scheme+"://"+hosts+"/?"+options, "?"), database
}

// command is a program and how it is told what to do: what is secret is in env or file, never in args, which everybody on the node may
// read.
type command struct {
	program string
	args    []string
	// env is beside that of our own process.
	env []string
	// file is written where only its owner may read it; configFlag and its path are the first argument then.
	file, configFlag string
}

// dumpCommand writes a dump of the server's database to its standard output.
func dumpCommand(s server) (command, error) {
	switch s.Engine {
	case archiveapi.EnginePostgreSQL:
		// Not compressed by pg_dump: zstd, which compresses all chunks, is faster and smaller than its gzip.
		return command{program: "pg_dump", args: []string{"--format=custom", "--compress=0", "--no-password"}, env: s.libpq()}, nil
	case archiveapi.EngineMySQL:
		if s.Database == "" {
			return command{}, fmt.Errorf("which database? Name it in spec.source.connection.database, or in the key %s of the Secret", keyDatabase)
		}

		// Without DROP TABLE: a restore over tables that are there fails, and loses nothing. GTIDs and masking policies are the
		// server's own, and an application's user may not read the latter. What is loose, not every version knows.
		return s.mysql("mysqldump", "--single-transaction", "--quick", "--routines", "--triggers", "--events", "--hex-blob", "--no-tablespaces",
			"--skip-add-drop-table", "--set-gtid-purged=OFF", "--loose-column-statistics=0", "--loose-skip-masking-policies",
			"--default-character-set=utf8mb4", "--", s.Database), nil
	case archiveapi.EngineMongoDB:
		c := s.mongo("mongodump", "--archive")
		if s.Database != "" {
			c.args = append(c.args, "--db="+s.Database)
		}

		return c, nil
	default:
		return command{}, fmt.Errorf("engine %q is not known: use postgresql, mysql or mongodb", s.Engine)
	}
}

// restoreCommand reads a dump of a database from its standard input. It adds to what is there, and replaces nothing.
func restoreCommand(s server, dumped string) (command, error) {
	switch s.Engine {
	case archiveapi.EnginePostgreSQL:
		// All or nothing. Everything else about the server is in the environment.
		return command{
			program: "pg_restore", args: []string{"--exit-on-error", "--single-transaction", "--no-password", "--dbname=postgresql:///"}, env: s.libpq(),
		}, nil
	case archiveapi.EngineMySQL:
		if s.Database == "" {
			s.Database = dumped
		}

		// In binary mode nothing in a dump is taken for a command to the client itself.
		return s.mysql("mysql", "--batch", "--binary-mode", "--max-allowed-packet=1G", "--default-character-set=utf8mb4", "--database="+s.Database), nil
	case archiveapi.EngineMongoDB:
		if dumped == "" && s.Database != "" {
			return command{}, fmt.Errorf("the dump is of all databases, which are restored under their own names: name no database to restore to, "+
				"not in the Secret either; the argument --nsInclude='%s.*' after -- restores one alone", s.Database)
		}

		c := s.mongo("mongorestore", "--archive", "--stopOnError")
		if s.Database != "" && s.Database != dumped {
			c.args = append(c.args, "--nsFrom="+dumped+".*", "--nsTo="+s.Database+".*")
		}

		return c, nil
	default:
		return command{}, fmt.Errorf("engine %q is not known: use postgresql, mysql or mongodb", s.Engine)
	}
}

// libpq is the server in libpq's environment. What is empty stays as our own environment has it.
func (s server) libpq() []string {
	env := []string{"PGAPPNAME=caretaker dump", "PGCONNECT_TIMEOUT=10"}

	for _, variable := range [][2]string{
		{"PGHOST", s.Host},
		{"PGPORT", s.port()},
		{"PGUSER", s.user},
		{"PGPASSWORD", s.password},
		{"PGDATABASE", s.Database},
		{"PGSSLMODE", s.SSLMode},
		{"PGSSLROOTCERT", s.caFile},
	} {
		if variable[1] != "" {
			env = append(env, variable[0]+"="+variable[1])
		}
	}

	return env
}

func (s server) port() string {
	if s.Port == 0 {
		return ""
	}

	return strconv.Itoa(int(s.Port))
}

// mysql has the server in an options file. By hand, without a Secret, the user's own options files count.
func (s server) mysql(program string, args ...string) command {
	modes := map[string]string{
		"disable": "DISABLED", "prefer": "PREFERRED", "require": "REQUIRED", "verify-ca": "VERIFY_CA", "verify-full": "VERIFY_IDENTITY",
	}

	var file strings.Builder

	for _, option := range [][2]string{
		{"host", s.Host},
		{"port", s.port()},
		{"user", s.user},
		{"password", s.password},
		{"ssl-mode", modes[s.SSLMode]},
		{"ssl-ca", s.caFile},
	} {
		if option[1] != "" {
			fmt.Fprintf(&file, "%s=\"%s\"\n", option[0], mysqlOption(option[1]))
		}
	}

	c := command{program: program, args: args}
	if file.Len() > 0 {
		c.file, c.configFlag = "[client]\n"+file.String(), "--defaults-file="
		// By host "localhost" it would look for a socket.
		c.args = append([]string{"--protocol=TCP"}, args...)
	}

	return c
}

// mysqlOption escapes a value between double quotes in an options file, where quotes inside need no escape.
func mysqlOption(value string) string {
	return strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(value)
}

// mongo has what is secret in a configuration file.
func (s server) mongo(program string, args ...string) command {
	c := command{program: program, args: args, configFlag: "--config="}

	switch {
	case s.uri != "":
		c.file = "uri: " + yamlString(s.uri) + "\n"
	case s.password != "":
		c.file = "password: " + yamlString(s.password) + "\n"
	}

	if s.uri == "" {
		for _, flag := range [][2]string{{"--host=", s.Host}, {"--port=", s.port()}, {"--username=", s.user}} {
			if flag[1] != "" {
				c.args = append(c.args, flag[0]+flag[1])
			}
		}

		if s.user != "" {
			c.args = append(c.args, "--authenticationDatabase=admin")
		}
	}

	switch s.SSLMode {
	case "require":
		c.args = append(c.args, "--ssl", "--sslAllowInvalidCertificates", "--sslAllowInvalidHostnames")
	case "verify-ca":
		c.args = append(c.args, "--ssl", "--sslAllowInvalidHostnames")
	case "verify-full":
		c.args = append(c.args, "--ssl")
	}

	if s.caFile != "" && strings.HasPrefix(s.SSLMode, "verify") {
		c.args = append(c.args, "--sslCAFile="+s.caFile)
	}

	return c
}

// yamlString is a value between single quotes.
func yamlString(value string) string { return "'" + strings.ReplaceAll(value, "'", "''") + "'" }
