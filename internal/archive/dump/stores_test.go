package dump

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/caretaker-dev/caretaker/internal/archive/internal/pgserver"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
	"github.com/caretaker-dev/caretaker/internal/objectstore/stores"
	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

// pod runs caretaker-archive as the operator's pods do: told by the environment, with Secrets as folders.
type pod struct {
	t       *testing.T
	program string
	// path has the database's programs.
	path string
	in   archiveapi.Dump
	// identities open what is encrypted.
	identities string
}

// buildProgram of ours that the pods run.
func buildProgram(t *testing.T) string {
	t.Helper()

	program := filepath.Join(t.TempDir(), "caretaker-archive")

	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/caretaker-dev/caretaker/cmd/caretaker-archive")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	return program
}

// run a command of it. The result is what it prints, and the error what it says of why it failed.
func (p pod) run(args ...string) (string, error) {
	p.t.Helper()

	in, err := json.Marshal(p.in)
	if err != nil {
		p.t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Minute)
	defer cancel()

	var out, said bytes.Buffer

	cmd := exec.CommandContext(ctx, p.program, args...)
	cmd.Env = []string{"PATH=" + p.path, "HOME=" + p.t.TempDir(), archiveapi.EnvDump + "=" + string(in), "CARETAKER_AGE_IDENTITIES_FILE=" + p.identities}
	cmd.Stdout, cmd.Stderr = &out, &said

	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, said.String())
	}

	return out.String(), nil
}

func (p pod) mustRun(args ...string) string {
	p.t.Helper()

	out, err := p.run(args...)
	if err != nil {
		p.t.Fatal(err)
	}

	return out
}

// dump gives the last words, also of one that fails.
func (p pod) dump() (said archiveapi.DumpResult, err error) {
	p.t.Helper()

	words := filepath.Join(p.t.TempDir(), "words")
	_, err = p.run("dump", "--json", "--termination-log="+words)

	content, readErr := os.ReadFile(words)
	if readErr != nil || json.Unmarshal(content, &said) != nil {
		p.t.Fatalf("last words %q: %v, %v", content, readErr, err)
	}

	return said, err
}

func (p pod) mustDump() archiveapi.DumpResult {
	p.t.Helper()

	said, err := p.dump()
	if err != nil || said.Error != "" || said.Warning != "" || said.ID == "" {
		p.t.Fatalf("%+v, %v", said, err)
	}

	return said
}

// objects of the store, by key.
func (p pod) objects() (objectstore.Store, map[string]int64) {
	p.t.Helper()

	config, err := WithCredentials(p.in.Store, p.in.StoreDir)
	if err != nil {
		p.t.Fatal(err)
	}

	store, err := objectstore.Open(p.t.Context(), config)
	if err != nil {
		p.t.Fatal(err)
	}

	found := map[string]int64{}

	for info, err := range store.List(p.t.Context(), "", "") {
		if err != nil {
			p.t.Fatal(err)
		}

		found[info.Key] = info.Size
	}

	return store, found
}

// storeCase is a store that dumps go to.
type storeCase struct {
	config storeconfig.Config
	// secret with its credentials, and one that it refuses; nil where there is none.
	secret, wrong map[string]string
	// refused is what it says of the wrong ones.
	refused string
	// kill the store.
	kill func()
}

func fileContent(t *testing.T, path string) string {
	t.Helper()

	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	return strings.TrimSpace(string(content))
}

// storeCases are the destinations of spec.destination.type.
func storeCases() map[string]func(t *testing.T) storeCase {
	return map[string]func(t *testing.T) storeCase{
		"volume": func(t *testing.T) storeCase { t.Helper(); return storeCase{config: stores.Dir(t)} },
		"s3": func(t *testing.T) storeCase {
			t.Helper()

			server := stores.S3(t)
			files := server.Config.Credentials
			secret := map[string]string{archiveapi.KeyAccessKeyID: fileContent(t, files.AccessKeyIDFile), archiveapi.KeyAccessSecretKey: fileContent(t, files.SecretAccessKeyFile)}

			return storeCase{
				config: server.Config, kill: server.Kill, secret: secret, wrong: with(secret, archiveapi.KeyAccessSecretKey, "wrong"), refused: "SignatureDoesNotMatch",
			}
		},
		"azure": func(t *testing.T) storeCase {
			t.Helper()

			server := stores.Azure(t)
			secret := map[string]string{archiveapi.KeyAzureAccount: server.Config.Account, archiveapi.KeyAzureKey: fileContent(t, server.Config.Credentials.AzureKeyFile)}

			return storeCase{
				config: server.Config, kill: server.Kill, secret: secret, wrong: with(secret, archiveapi.KeyAzureKey, "d3Jvbmc="), refused: "AuthorizationFailure",
			}
		},
		"gcs": func(t *testing.T) storeCase {
			t.Helper()

			server := stores.GCS(t)
			tokens := newTokens(t)

			return storeCase{
				config: server.Config, kill: server.Kill, secret: map[string]string{archiveapi.KeyGoogle: tokens.account(t, "me")},
				wrong: map[string]string{archiveapi.KeyGoogle: tokens.account(t, "stranger")}, refused: "invalid_grant",
			}
		},
	}
}

func with(secret map[string]string, key, value string) map[string]string {
	other := maps.Clone(secret)
	other[key] = value

	return other
}

// tokens stands in for Google's token endpoint. fake-gcs-server asks for no credentials; so they are refused here.
type tokens struct{ url string }

func newTokens(t *testing.T) *tokens {
	t.Helper()

	service := &tokens{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")

		// The key's ID stands in the signed request's header.
		header, _, _ := strings.Cut(r.FormValue("assertion"), ".")
		if text, err := base64.RawURLEncoding.DecodeString(header); err != nil || !strings.Contains(string(text), `"kid":"me"`) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprint(w, `{"error":"invalid_grant","error_description":"account not found"}`)

			return
		}

		_, _ = fmt.Fprint(w, `{"access_token":"token","token_type":"Bearer","expires_in":3600}`)
	}))
	t.Cleanup(server.Close)

	service.url = server.URL

	return service
}

// account is a service account's key as Google gives it.
func (s *tokens) account(t *testing.T, keyID string) string {
	t.Helper()

	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}

	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}

	account, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "test", "private_key_id": keyID, "client_email": keyID + "@test.example.com", "client_id": "1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": s.url,
	})
	if err != nil {
		t.Fatal(err)
	}

	return string(account)
}

// TestDumpsInEveryStore takes dumps of a real database by the pods' own program into each kind of store, follows the retention, reads them
// back and restores them, with the credentials of a Secret.
func TestDumpsInEveryStore(t *testing.T) {
	bin, _ := pgserver.Any(t, 18, 17, 15)
	program := buildProgram(t)

	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()

	pg := pgserver.New(t, bin)
	pg.Init()
	pg.Start(ctx)
	pg.Exec(ctx, "CREATE DATABASE app")

	app := pg.Connect(ctx, "app")
	// Noise, so that the dump has several chunks.
	const rows = "CREATE TABLE orders AS SELECT n, 'Zürich ' || n AS what, (SELECT string_agg(md5(n::text || i), '') FROM generate_series(1, 32) i) AS noise FROM generate_series(1, 10000) n"
	if _, err := app.Exec(ctx, rows); err != nil {
		t.Fatal(err)
	}

	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}

	identities := filepath.Join(t.TempDir(), "identities")
	if err := os.WriteFile(identities, []byte(identity.String()), 0o600); err != nil {
		t.Fatal(err)
	}

	for name, start := range storeCases() {
		t.Run(name, func(t *testing.T) {
			where := start(t)
			where.config.Credentials = storeconfig.Credentials{}
			where.config.Account, where.config.Prefix, where.config.Timeouts.Attempts = "", "shop/nightly", 2

			p := pod{t: t, program: program, path: bin + ":/usr/bin:/bin", identities: identities, in: archiveapi.Dump{
				Name: "shop/nightly", Store: where.config, Retention: "1",
				Source: archiveapi.DumpServer{
					Engine: archiveapi.EnginePostgreSQL, Host: "127.0.0.1", Port: int32(pg.Port), Database: "app",
					SecretDir: secretDir(t, map[string]string{"username": "postgres"}),
				},
			}}
			if where.secret != nil {
				p.in.StoreDir = secretDir(t, where.secret)
			}

			pg.Exec(ctx, "DROP DATABASE IF EXISTS copy", "CREATE DATABASE copy")

			first := p.mustDump()
			p.mustRun("dumps", "verify", first.ID)

			p.in.Recipients = []string{identity.Recipient().String()}
			second := p.mustDump()
			p.checkKept(first, second)
			p.mustRun("dumps", "verify", "latest")

			to := p.in.Source
			to.Database, p.in.Target = "copy", &to
			p.mustRun("dump-restore", "latest")

			const fingerprint = "SELECT count(*) || ' ' || md5(string_agg(o::text, ',' ORDER BY n)) FROM orders o"

			var got, want string
			if err := app.QueryRow(ctx, fingerprint).Scan(&want); err != nil {
				t.Fatal(err)
			}

			restored := pg.Connect(ctx, "copy")
			if err := restored.QueryRow(ctx, fingerprint).Scan(&got); err != nil || got != want {
				t.Errorf("restored %s, want %s: %v", got, want, err)
			}

			_ = restored.Close(ctx)

			p.checkMissingChunk(second)
			p.checkRefusals(where)
		})
	}
}

// checkKept: one dump has taken the other's place.
func (p pod) checkKept(gone, kept archiveapi.DumpResult) {
	p.t.Helper()

	if kept.Kept != 1 || kept.Deleted != 1 || kept.StoredBytes == 0 {
		p.t.Errorf("it said %+v", kept)
	}

	if out := p.mustRun("dumps"); strings.Count(out, "\n") != 2 || !strings.Contains(out, kept.ID+"  shop/nightly  postgresql  app") || !strings.Contains(out, "yes") {
		p.t.Errorf("dumps:\n%s", out)
	}

	_, found := p.objects()
	for key := range found {
		if strings.Contains(key, gone.ID) {
			p.t.Errorf("of the dump that was let go there is %s", key)
		}
	}

	if len(found) < 3 || found[manifestKey(kept.ID)] == 0 || found[chunkKey(kept.ID, 1)] == 0 {
		p.t.Errorf("the store has %v", found)
	}
}

// checkMissingChunk: a dump that lacks one is refused before anything of it is restored.
func (p pod) checkMissingChunk(dump archiveapi.DumpResult) {
	p.t.Helper()

	store, _ := p.objects()
	if err := store.Delete(p.t.Context(), chunkKey(dump.ID, 1)); err != nil {
		p.t.Fatal(err)
	}

	if _, err := p.run("dump-restore", "latest"); err == nil || !strings.Contains(err.Error(), chunkKey(dump.ID, 1)) {
		p.t.Errorf("without a chunk: %v", err)
	}
}

// checkRefusals of a store leave their words.
func (p pod) checkRefusals(where storeCase) {
	p.t.Helper()

	if where.wrong != nil {
		good := p.in.StoreDir
		p.in.StoreDir = secretDir(p.t, where.wrong)

		if said, err := p.dump(); err == nil || !strings.Contains(said.Error, where.refused) || said.ID != "" {
			p.t.Errorf("with wrong credentials: %+v, %v", said, err)
		}

		p.in.StoreDir = good
	}

	if where.kill != nil {
		where.kill()

		if said, err := p.dump(); err == nil || !strings.Contains(said.Error, "connection refused") || said.ID != "" {
			p.t.Errorf("without a store: %+v, %v", said, err)
		}
	}
}
