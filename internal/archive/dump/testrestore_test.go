package dump

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archive/internal/pgserver"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
)

// notAsRoot gives a PATH on which the server's programs give up root's rights, which PostgreSQL insists on, and a folder that is theirs.
func notAsRoot(t *testing.T, bin string) (path, dir string) {
	t.Helper()

	// Short, as paths of sockets must be.
	dir, err := os.MkdirTemp("", "scratch-") //nolint:usetesting // t.TempDir's are too long
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = os.RemoveAll(dir) })

	if os.Getuid() != 0 {
		return bin + ":/usr/bin:/bin", dir
	}

	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skip("running as root, and there is no user nobody to run PostgreSQL as")
	}

	uid, _ := strconv.Atoi(nobody.Uid)
	if err := os.Chown(dir, uid, -1); err != nil {
		t.Fatal(err)
	}

	scripts := t.TempDir()

	for _, program := range []string{"initdb", "postgres"} {
		script := fmt.Sprintf("#!/bin/sh\nexec setpriv --reuid=%d --clear-groups %s/%s \"$@\"\n", uid, bin, program)
		if err := os.WriteFile(filepath.Join(scripts, program), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}

	return scripts + ":" + bin + ":/usr/bin:/bin", dir
}

// serve throw-away servers as the container beside a dump does.
func serve(t *testing.T, s Scratch) {
	t.Helper()

	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)

	go func() { served <- s.Serve(ctx, io.Discard) }()

	t.Cleanup(func() {
		cancel()

		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// TestTestRestore restores dumps of a real database into throw-away servers, good ones and others.
func TestTestRestore(t *testing.T) {
	bin, _ := pgserver.Any(t, 18, 17, 15)
	path, dir := notAsRoot(t, bin)
	t.Setenv("PATH", path)

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()

	pg := pgserver.New(t, bin)
	pg.Init()
	pg.Start(ctx)
	pg.Exec(ctx, "CREATE ROLE shop LOGIN", "CREATE ROLE \"Büro\"", "CREATE DATABASE app OWNER shop TEMPLATE template0 ENCODING LATIN1 LOCALE 'C'", "ALTER DATABASE app SET search_path = sales")

	app := pg.Connect(ctx, "app")
	for _, statement := range []string{
		"CREATE SCHEMA sales AUTHORIZATION shop", "SET ROLE shop", "SET search_path = sales",
		"CREATE TABLE orders (id int PRIMARY KEY, what text)", "INSERT INTO orders SELECT n, 'x' FROM generate_series(1, 1000) n",
		"CREATE TABLE parts (n int) PARTITION BY RANGE (n)", "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100)", "INSERT INTO parts SELECT generate_series(1, 10)",
		// Roles that a restore without owners and privileges names nevertheless.
		"ALTER TABLE orders ENABLE ROW LEVEL SECURITY", "CREATE POLICY own ON orders TO \"Büro\", shop USING (true)", "GRANT SELECT ON orders TO \"Büro\"",
	} {
		if _, err := app.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}

	store, _ := newStore(t)
	programs := Programs{Log: io.Discard}
	source := archiveapi.DumpServer{Engine: archiveapi.EnginePostgreSQL, Host: "127.0.0.1", Port: int32(pg.Port), Database: "app", SecretDir: secretDir(t, map[string]string{"username": "postgres"})}

	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}

	taken, err := Take(ctx, TakeOptions{
		Store: store, About: Manifest{Name: "shop/nightly", Engine: source.Engine, Database: "app"}, Clock: clock.RealClock{}, Recipients: []age.Recipient{identity.Recipient()},
		Produce: func(ctx context.Context, w io.Writer) error { return programs.Dump(ctx, source, w) },
	})
	if err != nil {
		t.Fatal(err)
	}

	// Whoever took the dump can read it back without an identity.
	m, err := Reload(ctx, store, taken)
	if err != nil {
		t.Fatal(err)
	}

	scratch := Scratch{Engine: source.Engine, Dir: dir, Clock: clock.RealClock{}}

	// What a container that was killed has left does not matter.
	if err := os.WriteFile(filepath.Join(dir, controlSocket), nil, 0o600); err != nil {
		t.Fatal(err)
	}

	serve(t, scratch)

	o := TestOptions{
		Scratch: scratch, Database: "app",
		Checks: []archiveapi.DumpCheck{
			{Name: "orders", SQL: "SELECT count(*) = 1000 FROM orders"},
			{Name: "encoding", SQL: "SELECT pg_encoding_to_char(encoding) = 'LATIN1' FROM pg_database WHERE datname = current_database()"},
		},
		Feed: func(ctx context.Context, w io.Writer) error { return Read(ctx, store, m, nil, w) },
	}

	good := programs.TestRestore(ctx, o)
	if good.Error != "" || good.Tables != 2 || good.Rows != 1010 || fmt.Sprint(good.Checks) != "[orders encoding]" || !strings.Contains(good.Server, "postgres (PostgreSQL)") {
		t.Errorf("%+v", good)
	}

	// The next one finds nothing of it.
	o.Checks = append(o.Checks, archiveapi.DumpCheck{Name: "many", SQL: "SELECT count(*) > 1000 FROM orders"}, archiveapi.DumpCheck{Name: "typo", SQL: "SELECT true FROM order_s"})
	if bad := programs.TestRestore(ctx, o); !strings.Contains(bad.Error, "check many: it is not true") || !strings.Contains(bad.Error, `check typo: ERROR: relation "order_s" does not exist`) ||
		fmt.Sprint(bad.Checks) != "[orders encoding]" || bad.Completed.Before(bad.Started) {
		t.Errorf("%+v", bad)
	}

	o.Checks = nil
	o.Feed = func(ctx context.Context, w io.Writer) error {
		m.Chunks[0].SHA256 = "0"

		return Read(ctx, store, m, nil, w)
	}

	if bad := programs.TestRestore(ctx, o); !strings.Contains(bad.Error, "is damaged: its checksum is not the manifest's") {
		t.Errorf("a damaged dump: %+v", bad)
	}

	o.Feed = func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, "this is no dump")

		return err
	}

	if bad := programs.TestRestore(ctx, o); !strings.Contains(bad.Error, "restore: pg_restore failed") {
		t.Errorf("no dump: %+v", bad)
	}

	for deadline := time.Now().Add(time.Minute); ; time.Sleep(scratchPoll) {
		left, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}

		if len(left) == 1 {
			break // the socket that is listened on
		}

		if time.Now().After(deadline) {
			t.Fatalf("left behind: %v", left)
		}
	}
}

// TestTestRestoreWithoutAServer: an image with clients alone, one whose server cannot start, and a server that takes too much room.
func TestTestRestoreWithoutAServer(t *testing.T) {
	bin, _ := pgserver.Any(t, 18, 17, 15)

	for name, tc := range map[string]struct {
		path    string
		scripts map[string]string
		max     int64
		want    string
	}{
		"no mysqld":     {path: "/nowhere", want: "there is no mysqld on this image, so that no dump can be restored to test it: name an image that has the server"},
		"it fails":      {scripts: map[string]string{"mysqld": "echo out of luck >&2; exit 3"}, want: "mysqld failed: exit status 3: out of luck"},
		"too much room": {max: 1 << 20, want: "the restored dump takes more room than 1.0Mi: raise spec.verification.size"},
	} {
		t.Run(name, func(t *testing.T) {
			path, dir := notAsRoot(t, bin)
			s := Scratch{Engine: archiveapi.EngineMySQL, Dir: dir, MaxBytes: tc.max, Clock: clock.RealClock{}}

			if tc.max > 0 {
				s.Engine = archiveapi.EnginePostgreSQL
			}

			if tc.path != "" {
				path = tc.path
			}

			for program, script := range tc.scripts {
				scripts := t.TempDir()
				path = scripts + ":" + path

				if err := os.WriteFile(filepath.Join(scripts, program), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
					t.Fatal(err)
				}
			}

			t.Setenv("PATH", path)
			serve(t, s)

			result := Programs{Log: io.Discard}.TestRestore(t.Context(), TestOptions{Scratch: s, Database: "app", Feed: func(ctx context.Context, _ io.Writer) error {
				<-ctx.Done() // until the program that is fed has ended

				return ctx.Err()
			}})
			if !strings.Contains(result.Error, tc.want) {
				t.Errorf("it said %q, want %q", result.Error, tc.want)
			}
		})
	}
}

func TestMissingRole(t *testing.T) {
	t.Parallel()

	for said, want := range map[string]string{
		`pg_restore: error: could not execute query: ERROR:  role "auditor" does not exist`: "auditor",
		`ERROR:  relation "roles" does not exist`:                                           "",
	} {
		if got := missingRole(fmt.Errorf("%s", said)); got != want {
			t.Errorf("%s: %q", said, got)
		}
	}
}

// TestRemedies: what an image lacks is told with what to do.
func TestRemedies(t *testing.T) {
	t.Parallel()

	for said, want := range map[string]string{
		`ERROR:  extension "postgis" is not available`:                                "the image lacks an extension of the database",
		`could not open extension control file "/usr/share/postgis.control": No such`: "the image lacks an extension of the database",
		`timescaledb must be loaded via shared_preload_libraries`:                     "must be loaded when the server starts",
		`ERROR:  invalid locale name: "de_CH.UTF-8"`:                                  "the image lacks the database's locale",
		`ERROR:  invalid LC_COLLATE locale name: "de_CH.UTF-8"`:                       "the image lacks the database's locale",
		`ERROR:  unrecognized configuration parameter "transaction_timeout"`:          "not of one major version",
	} {
		if err := remedy(fmt.Errorf("%s", said)); !strings.Contains(err.Error(), want) {
			t.Errorf("%v", err)
		}
	}
}
