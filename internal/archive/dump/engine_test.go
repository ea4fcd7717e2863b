package dump

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
)

// secretDir is a Secret as the kubelet mounts it.
func secretDir(t *testing.T, keys map[string]string) string {
	t.Helper()

	dir := t.TempDir()
	for key, value := range keys {
		if err := os.WriteFile(filepath.Join(dir, key), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	return dir
}

const password = `p"ass'w\ord #1`

func TestCommands(t *testing.T) {
	t.Parallel()

	dir := secretDir(t, map[string]string{"username": "me", "password": password, "host": "db.shop.svc", "port": "1234", "dbname": "app", "uri": "x://y", "ca.crt": "PEM"})

	for _, tc := range []struct {
		engine, sslMode string
		isRestore       bool
		program         string
		want            []string // each in the arguments, the environment or the file
	}{
		{
			"postgresql", "verify-full", false, "pg_dump",
			[]string{"--format=custom", "PGHOST=db.shop.svc", "PGPORT=1234", "PGUSER=me", "PGPASSWORD=" + password, "PGDATABASE=app", "PGSSLMODE=verify-full", "PGSSLROOTCERT=" + dir + "/ca.crt"},
		},
		{"postgresql", "require", true, "pg_restore", []string{"--single-transaction", "--exit-on-error", "--dbname=postgresql:///", "PGDATABASE=app"}},
		{
			"mysql", "verify-full", false, "mysqldump",
			[]string{"--single-transaction", "--skip-add-drop-table", "app", `host="db.shop.svc"`, `password="p"ass'w\\ord #1"`, `ssl-mode="VERIFY_IDENTITY"`},
		},
		{"mysql", "require", true, "mysql", []string{"--database=app", `ssl-mode="REQUIRED"`}},
		{"mongodb", "require", false, "mongodump", []string{"--archive", "--db=app", "uri: 'x://y'", "--ssl"}},
		{"mongodb", "", true, "mongorestore", []string{"--archive", "--nsFrom=source.*", "--nsTo=app.*"}},
	} {
		t.Run(tc.program, func(t *testing.T) {
			t.Parallel()

			_, c, err := prepare(archiveapi.DumpServer{Engine: tc.engine, SSLMode: tc.sslMode, SecretDir: dir}, func(s server) (command, error) {
				if tc.isRestore {
					return restoreCommand(s, "source")
				}

				return dumpCommand(s)
			})
			if err != nil || c.program != tc.program {
				t.Fatalf("%+v, %v", c, err)
			}

			all := slices.Concat(c.args, c.env, strings.Split(c.file, "\n"))
			for _, want := range tc.want {
				if !slices.Contains(all, want) {
					t.Errorf("there is no %s in\n%s", want, strings.Join(all, "\n"))
				}
			}

			for _, argument := range c.args {
				if strings.Contains(argument, "ord #1") || strings.Contains(argument, "x://y") {
					t.Errorf("everybody on the node may read %s", argument)
				}
			}
		})
	}
}

// TestGivenBeforeSecret: what the spec says counts before what the Secret says.
func TestGivenBeforeSecret(t *testing.T) {
	t.Parallel()

	s, err := resolve(archiveapi.DumpServer{Host: "a", Port: 1, Database: "b"}, Secret{"host": "x", "port": "2", "dbname": "y", "user": "me"})
	if err != nil || s.Host != "a" || s.Port != 1 || s.Database != "b" || s.user != "me" {
		t.Errorf("%+v, %v", s, err)
	}

	if _, err := resolve(archiveapi.DumpServer{}, Secret{"port": "many"}); err == nil {
		t.Error("a port that is none was taken")
	}

	if _, err := dumpCommand(server{DumpServer: archiveapi.DumpServer{Engine: "mysql"}}); err == nil || !strings.Contains(err.Error(), "spec.source.connection.database") {
		t.Errorf("no database: %v", err)
	}
}

// TestSplitMongoURI: without its database a URI still looks for its user where it did.
func TestSplitMongoURI(t *testing.T) {
	t.Parallel()

	for _, tc := range []struct{ uri, without, database string }{
		{"", "", ""},
		{"mongodb://a", "mongodb://a", ""},
		{"mongodb://me:pw@a:1,b:2/?tls=true", "mongodb://me:pw@a:1,b:2/?tls=true", ""},
		{"mongodb://a/app", "mongodb://a/", "app"},
		{"mongodb://me:pw@a:1,b:2/app", "mongodb://me:pw@a:1,b:2/?authSource=app", "app"},
		{"mongodb+srv://me:pw@a/d%C3%A9p%C3%B4t?tls=true", "mongodb+srv://me:pw@a/?tls=true&authSource=d%C3%A9p%C3%B4t", "dépôt"},
		{"mongodb://me:pw@a/app?authsource=admin", "mongodb://me:pw@a/?authsource=admin", "app"},
		{"mongodb://me@a/app?authMechanism=MONGODB-X509", "mongodb://me@a/?authMechanism=MONGODB-X509", "app"},
		{"mongodb://me:pw@a/app?authMechanism=SCRAM-SHA-256", "mongodb://me:pw@a/?authMechanism=SCRAM-SHA-256&authSource=app", "app"},
	} {
		if without, database := splitMongoURI(tc.uri); without != tc.without || database != tc.database {
			t.Errorf("%s: %s, %s", tc.uri, without, database)
		}
	}
}

// TestAllOfAMongoDBGoesIntoNoOneDatabase: mongorestore would restore all of them, each under its own name.
func TestAllOfAMongoDBGoesIntoNoOneDatabase(t *testing.T) {
	t.Parallel()

	to := server{DumpServer: archiveapi.DumpServer{Engine: archiveapi.EngineMongoDB, Database: "copy"}}
	if _, err := restoreCommand(to, ""); err == nil || !strings.Contains(err.Error(), "--nsInclude='copy.*'") {
		t.Errorf("into one: %v", err)
	}

	to.Database = ""
	if c, err := restoreCommand(to, ""); err != nil || strings.Contains(strings.Join(c.args, " "), "--ns") {
		t.Errorf("under their own names: %v, %v", c.args, err)
	}
}
