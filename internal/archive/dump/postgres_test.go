package dump

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archive/internal/pgserver"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
)

// TestPostgreSQL dumps a real database, restores it into others, and breaks what can break on the way.
func TestPostgreSQL(t *testing.T) {
	bin, _ := pgserver.Any(t, 18, 17, 15)
	t.Setenv("PATH", bin)

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()

	pg := pgserver.New(t, bin)
	pg.Init()

	// Over TCP only with the password, so that it is seen to arrive.
	hba := strings.ReplaceAll("local * * trust\nhost * * 127.0.0.1/32 scram-sha-256\n", "*", "all")
	if err := os.WriteFile(filepath.Join(pg.DataDir, "pg_hba.conf"), []byte(hba), 0o600); err != nil {
		t.Fatal(err)
	}

	pg.Start(ctx)
	pg.Exec(ctx, `CREATE ROLE shop LOGIN PASSWORD 'p"ass''w\ord #1'`, "CREATE DATABASE app OWNER shop", "CREATE DATABASE copy OWNER shop", "CREATE DATABASE broken OWNER shop")

	server := archiveapi.DumpServer{
		Engine: archiveapi.EnginePostgreSQL, Host: "127.0.0.1", Port: int32(pg.Port), Database: "app",
		SecretDir: secretDir(t, map[string]string{"username": "shop", "password": password}),
	}
	query := func(database, statement string) string {
		t.Helper()

		conn := pg.Connect(ctx, database)
		defer conn.Close(ctx) //nolint:errcheck // the test goes on

		var value string
		if err := conn.QueryRow(ctx, statement).Scan(&value); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}

		return value
	}

	app := pg.Connect(ctx, "app")
	for _, statement := range []string{
		"SET ROLE shop",
		"CREATE TABLE orders (id int PRIMARY KEY, what text NOT NULL, blob text)",
		// Noise, so that the dump has several chunks.
		"INSERT INTO orders SELECT n, 'Zürich ' || n, (SELECT string_agg(md5(n::text || i), '') FROM generate_series(1, 32) i) FROM generate_series(1, 10000) n",
		"CREATE VIEW recent AS SELECT * FROM orders WHERE id > 9990",
	} {
		if _, err := app.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}

	const fingerprint = "SELECT count(*) || ' ' || md5(string_agg(o::text, ',' ORDER BY id)) FROM orders o"

	store, dir := newStore(t)
	programs := Programs{Log: io.Discard}

	source, err := programs.Describe(ctx, server)
	if err != nil || !strings.HasPrefix(source.Program, "pg_dump (PostgreSQL)") || source.Database != "app" {
		t.Fatalf("%+v, %v", source, err)
	}

	m, err := Take(ctx, TakeOptions{
		Store: store, About: Manifest{Name: "shop/nightly", Engine: source.Engine, Database: source.Database}, Clock: clock.RealClock{},
		Produce: func(ctx context.Context, w io.Writer) error { return programs.Dump(ctx, server, w) },
	})
	if err != nil || len(m.Chunks) < 2 || m.StoredBytes >= m.DataBytes {
		t.Fatalf("%+v, %v", m, err)
	}

	restore := func(database string, extra ...string) error {
		to := server
		to.Database = database

		return programs.Restore(ctx, to, m.Database, extra, func(ctx context.Context, w io.Writer) error { return Read(ctx, store, m, nil, w) })
	}

	if err := restore("copy"); err != nil {
		t.Fatal(err)
	}

	want := query("app", fingerprint)
	if got := query("copy", fingerprint); got != want {
		t.Errorf("restored %s, want %s", got, want)
	}

	if got := query("copy", "SELECT count(*)::text FROM recent"); got != "10" {
		t.Errorf("the view shows %s rows", got)
	}

	// What is there already stays.
	if err := restore("copy"); err == nil || !strings.Contains(err.Error(), "already exists") {
		t.Errorf("a restore over tables that are there: %v", err)
	}

	if got := query("copy", fingerprint); got != want {
		t.Errorf("after that it is %s, want %s", got, want)
	}

	// A damaged chunk in the middle of a restore: nothing of it stays.
	file := filepath.Join(dir, chunkKey(m.ID, len(m.Chunks)-1))

	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	content[len(content)/2] ^= 1
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}

	if _, ok := errors.AsType[*DamagedError](restore("broken")); !ok {
		t.Error("a damaged dump was restored")
	}

	if got := query("broken", "SELECT count(*)::text FROM pg_class WHERE relname = 'orders'"); got != "0" {
		t.Error("something of a damaged dump stayed")
	}

	failures(t, programs, server)
}

// failures say what is wrong, and what to do.
func failures(t *testing.T, programs Programs, server archiveapi.DumpServer) {
	t.Helper()

	wrong := server
	wrong.SecretDir = secretDir(t, map[string]string{"username": "shop", "password": "wrong"})

	if err := programs.Dump(t.Context(), wrong, io.Discard); err == nil || !strings.Contains(err.Error(), "password authentication failed") {
		t.Errorf("a wrong password: %v", err)
	}

	mysql := server
	mysql.Engine = archiveapi.EngineMySQL

	if _, err := programs.Describe(t.Context(), mysql); err == nil || err.Error() != "there is no mysqldump on this image: name one that has it in spec.source.image" {
		t.Errorf("no mysqldump: %v", err)
	}

	if err := failure("pg_dump", "pg_dump: error: aborting because of server version mismatch", errors.New("exit status 1")); !strings.Contains(err.Error(), "a newer one, in spec.source.image") {
		t.Errorf("an old pg_dump: %v", err)
	}
}
