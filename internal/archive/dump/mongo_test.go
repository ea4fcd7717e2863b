package dump

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/storeconfig"
	"github.com/caretaker-dev/caretaker/internal/testport"
)

// The versions in use; hack/mongo.sh builds the same.
const (
	ferretVersion     = "v1.24.2"
	mongoToolsVersion = "100.18.0"
)

// mongoPrograms are FerretDB, a server that speaks MongoDB's protocol, and the folder of MongoDB's own programs. They take minutes to build, so
// that the test is skipped unless CARETAKER_REQUIRE_MONGO=1 asks for it.
func mongoPrograms(t *testing.T) (ferret, tools string) {
	t.Helper()

	if os.Getenv("CARETAKER_REQUIRE_MONGO") != "1" {
		t.Skip("set CARETAKER_REQUIRE_MONGO=1 after hack/mongo.sh, which takes minutes")
	}

	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}

	cache = filepath.Join(cache, "caretaker", "mongo")
	ferret, tools = filepath.Join(cache, "ferretdb-"+ferretVersion), filepath.Join(cache, "mongo-tools-"+mongoToolsVersion)

	for _, path := range []string{ferret, tools} {
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("%s is not there: run hack/mongo.sh", path)
		}
	}

	return ferret, tools
}

func TestTheScriptBuildsTheseVersions(t *testing.T) {
	t.Parallel()

	script := fileContent(t, "../../../hack/mongo.sh")
	for _, line := range []string{"FERRETDB=" + ferretVersion, "MONGO_TOOLS=" + mongoToolsVersion} {
		if !strings.Contains(script, "\n"+line+"\n") {
			t.Errorf("hack/mongo.sh does not say %s", line)
		}
	}
}

// mongo is a server with one user, shop, in the database admin, and what looks at it.
type mongo struct {
	t       *testing.T
	tools   string
	address string
	port    int32
	process *exec.Cmd
	output  bytes.Buffer
}

// ferretArgs are those of every FerretDB: it keeps what it has in a folder, and reports to nobody.
func ferretArgs(dir string) []string {
	return []string{"--handler=sqlite", "--sqlite-url=file:" + dir + "/", "--state-dir=" + dir, "--telemetry=disable", "--debug-addr=-", "--log-level=error"}
}

func newMongo(t *testing.T, ferret, tools string) *mongo {
	t.Helper()

	address := testport.Address(t)
	_, port, _ := net.SplitHostPort(address)
	number, _ := strconv.ParseInt(port, 10, 32)

	m := &mongo{t: t, tools: tools, address: address, port: int32(number)}

	m.process = exec.Command(ferret, append(ferretArgs(t.TempDir()), "--listen-addr="+address,
		"--test-enable-new-auth", "--setup-database=admin", "--setup-username=shop", "--setup-password="+password)...)
	m.process.Stdout, m.process.Stderr = &m.output, &m.output
	m.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}

	if err := m.process.Start(); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(m.kill)

	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		_, err := m.tool("", "mongoexport", "--db=admin", "--collection=none")
		if err == nil {
			return m
		}

		if time.Now().After(deadline) {
			t.Fatalf("the server does not answer: %v", err)
		}
	}
}

func (m *mongo) kill() {
	_ = m.process.Process.Kill()
	_ = m.process.Wait()
}

// tool of MongoDB's, with input.
func (m *mongo) tool(in, name string, args ...string) (string, error) {
	var out, said bytes.Buffer

	cmd := exec.CommandContext(m.t.Context(), filepath.Join(m.tools, name), append([]string{
		"--host=" + m.address, "--username=shop", "--password=" + password, "--authenticationDatabase=admin",
	}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &out, &said

	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, said.String())
	}

	return out.String(), nil
}

// load documents, a line of JSON each.
func (m *mongo) load(database, collection, documents string) {
	m.t.Helper()

	if _, err := m.tool(documents, "mongoimport", "--db="+database, "--collection="+collection); err != nil {
		m.t.Fatal(err)
	}
}

// documents of a collection.
func (m *mongo) documents(database, collection string) string {
	m.t.Helper()

	out, err := m.tool("", "mongoexport", "--db="+database, "--collection="+collection, "--sort={_id:1}")
	if err != nil {
		m.t.Fatal(err)
	}

	return out
}

// TestMongoDB dumps and restores with MongoDB's own programs. The server is FerretDB, which is not MongoDB.
func TestMongoDB(t *testing.T) {
	ferret, tools := mongoPrograms(t)
	program := buildProgram(t)
	m := newMongo(t, ferret, tools)

	var orders strings.Builder
	for n := range 2000 {
		fmt.Fprintf(&orders, "{\"_id\": %d, \"what\": \"Zürich %d\", \"at\": {\"$date\": \"2026-11-01T02:00:00Z\"}, \"lines\": [{\"n\": 1.5}, null]}\n", n, n)
	}

	m.load("app", "orders", orders.String())
	m.load("app", "customers", `{"_id": "a", "name": "Ä"}`)
	m.load("other", "things", `{"_id": 1}`)

	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}

	identities := filepath.Join(t.TempDir(), "identities")
	if err := os.WriteFile(identities, []byte(identity.String()), 0o600); err != nil {
		t.Fatal(err)
	}

	p := pod{t: t, program: program, path: tools, identities: identities, in: archiveapi.Dump{
		Name: "shop/nightly", Retention: "7", Recipients: []string{identity.Recipient().String()},
		Store: storeconfig.Config{Type: storeconfig.TypeDir, Bucket: t.TempDir()},
		Source: archiveapi.DumpServer{
			Engine: archiveapi.EngineMongoDB, Host: "127.0.0.1", Port: m.port, Database: "app", SSLMode: "prefer",
			SecretDir: secretDir(t, map[string]string{"username": "shop", "password": password}),
		},
	}}

	t.Run("one database", func(t *testing.T) { p.t, m.t = t, t; p.mongoDatabase(m) })
	t.Run("by URI", func(t *testing.T) { p.t, m.t = t, t; p.mongoURI(m) })
	t.Run("test restore", func(t *testing.T) { p.t, m.t = t, t; p.mongoTestRestore(ferret) })
	t.Run("all of it", func(t *testing.T) { p.t, m.t = t, t; p.mongoServer(m, newMongo(t, ferret, tools)) })
	t.Run("failures", func(t *testing.T) { p.t, m.t = t, t; p.mongoFailures(m) })
}

// restoreTo another database of the same server.
func (p pod) restoreTo(database string) error {
	to := p.in.Source
	to.Database, p.in.Target = database, &to

	_, err := p.run("dump-restore", "latest")

	return err
}

// mongoDatabase is dumped, read back, and restored beside itself; what is there stays.
func (p pod) mongoDatabase(m *mongo) {
	p.t.Helper()

	p.mustDump()
	p.mustRun("dumps", "verify", "latest")

	if out := p.mustRun("dumps", "--json"); !strings.Contains(out, "mongodump version: "+mongoToolsVersion) {
		p.t.Errorf("who dumped it is not in the manifest: %s", out)
	}

	if err := p.restoreTo("copy"); err != nil {
		p.t.Fatal(err)
	}

	for _, collection := range []string{"orders", "customers"} {
		if got, want := m.documents("copy", collection), m.documents("app", collection); got != want || want == "" {
			p.t.Errorf("%s: restored\n%.500s\nwant\n%.500s", collection, got, want)
		}
	}

	if got := m.documents("copy", "things"); got != "" {
		p.t.Errorf("another database's came, too: %s", got)
	}

	m.load("occupied", "orders", `{"_id": 7, "what": "mine"}`)

	if err := p.restoreTo("occupied"); err == nil || !strings.Contains(err.Error(), "duplicate key") {
		p.t.Errorf("a restore over documents that are there: %v", err)
	}

	if got := m.documents("occupied", "orders"); !strings.Contains(got, `"mine"`) {
		p.t.Errorf("what was there is gone: %.500s", got)
	}
}

// mongoURI: the Secret has nothing but a URI, and the database stands in that.
func (p pod) mongoURI(m *mongo) {
	p.t.Helper()

	secret := func(database string) string {
		return secretDir(p.t, map[string]string{"uri": "mongodb://shop:" + uriPassword + "@" + m.address + "/" + database + "?authSource=admin"})
	}
	p.in.Source = archiveapi.DumpServer{Engine: archiveapi.EngineMongoDB, SecretDir: secret("app")}

	p.mustDump()

	p.in.Target = &archiveapi.DumpServer{Engine: archiveapi.EngineMongoDB, SecretDir: secret("by-uri")}
	p.mustRun("dump-restore", "latest")

	if got, want := m.documents("by-uri", "orders"), m.documents("app", "orders"); got != want || want == "" {
		p.t.Errorf("restored\n%.500s\nwant\n%.500s", got, want)
	}
}

// mongoServer dumps all databases, and restores them on another server. FerretDB cannot take MongoDB's users.
func (p pod) mongoServer(m, other *mongo) {
	p.t.Helper()

	p.in.Source.Database = ""

	if said := p.mustDump(); said.Database != "" {
		p.t.Errorf("it said %+v", said)
	}

	if err := p.restoreTo("one"); err == nil || !strings.Contains(err.Error(), "the dump is of all databases") {
		p.t.Errorf("all databases into one: %v", err)
	}

	to := p.in.Source
	to.Port, p.in.Target = other.port, &to
	p.mustRun("dump-restore", "latest", "--", "--nsExclude=admin.*")

	for database, collection := range map[string]string{"app": "orders", "other": "things"} {
		if got, want := other.documents(database, collection), m.documents(database, collection); got != want || want == "" {
			p.t.Errorf("%s: restored\n%.500s\nwant\n%.500s", database, got, want)
		}
	}
}

// uriPassword is the password as a URI has it.
const uriPassword = `p%22ass%27w%5Cord%20%231`

// mongoTestRestore: a script stands in for mongod. That its own flags are right, it does not show.
func (p pod) mongoTestRestore(ferret string) {
	p.t.Helper()

	scripts := p.t.TempDir()
	script := `#!/bin/sh
[ "$1" = --version ] && exec echo "db version by a script"
case "$1 $2" in "--dbpath="*" --bind_ip="*) ;; *) echo "called with $*" >&2; exit 1 ;; esac
data=${1#--dbpath=} socket=${2#--bind_ip=}
set -- ` + "'" + strings.Join(ferretArgs("@"), "' '") + "'" + `
for argument; do shift; set -- "$@" "$(printf %s "$argument" | sed "s|@|$data|")"; done
exec ` + ferret + ` "$@" --listen-addr= --listen-unix="$socket"
`

	if err := os.WriteFile(filepath.Join(scripts, "mongod"), []byte(script), 0o755); err != nil {
		p.t.Fatal(err)
	}

	p.path = scripts + ":" + p.path + ":/usr/bin:/bin"

	dir, err := os.MkdirTemp("", "scratch-")
	if err != nil {
		p.t.Fatal(err)
	}

	p.t.Cleanup(func() { _ = os.RemoveAll(dir) })

	if out := p.mustRun("dumps", "test-restore", "latest", "--tmp", dir); !strings.Contains(out, "restored into a throw-away server (db version by a script): 2 tables, 2001 rows") {
		p.t.Errorf("it said %s", out)
	}
}

// mongoFailures say what is wrong.
func (p pod) mongoFailures(m *mongo) {
	p.t.Helper()

	good := p.in.Source.SecretDir
	p.in.Source.SecretDir = secretDir(p.t, map[string]string{"username": "shop", "password": "wrong"})

	if said, err := p.dump(); err == nil || !strings.Contains(said.Error, "mongodump failed") || !strings.Contains(said.Error, "auth") || said.ID != "" {
		p.t.Errorf("a wrong password: %+v, %v", said, err)
	}

	if err := p.restoreTo("never"); err == nil || !strings.Contains(err.Error(), "mongorestore failed") || !strings.Contains(err.Error(), "auth") {
		p.t.Errorf("a wrong password at the restore: %v", err)
	}

	p.in.Source.SecretDir = good

	m.kill()

	if said, err := p.dump(); err == nil || !strings.Contains(said.Error, "connection refused") || said.ID != "" {
		p.t.Errorf("no server: %+v, %v", said, err)
	}
}
