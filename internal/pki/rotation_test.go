package pki_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/caretaker-dev/caretaker/internal/pki"
)

// lag is how long a party may go on with what it read before: a kubelet's refresh of mounted volumes, with a margin.
const lag = 3 * time.Minute

const day = 24 * time.Hour

// state is everything that parties read.
type state struct {
	at                 time.Time
	server, client     map[string][]byte
	serverCA, clientCA []byte
	authority          map[string][]byte
}

// world applies what is planned and remembers what parties may still hold.
type world struct {
	in     pki.Input
	now    state
	past   []state
	writes int
}

// pass plans once and writes the first n of the four objects, in the order that Plan asks for.
func (w *world) pass(n int) (pki.Output, error) {
	out, err := pki.Plan(w.in)
	if err != nil {
		return out, err
	}

	expired := w.expired(w.in.OwnServer) || w.expired(w.in.OwnReplication)

	if n >= 1 {
		w.in.PublishedServerCA, w.in.PublishedClientCA = out.ServerCABundle, out.ClientCABundle
	}

	if n >= 2 && out.CA != nil {
		w.in.OwnCA = out.CA
	}

	if n >= 3 && out.Server != nil {
		w.in.OwnServer = out.Server
	}

	if n >= 4 && out.Replication != nil {
		w.in.OwnReplication = out.Replication
	}

	w.remember()

	if expired {
		w.past = nil // the operator was away for too long; nothing worked before
	}

	return out, nil
}

func (w *world) expired(data map[string][]byte) bool {
	block, _ := pem.Decode(data[pki.KeyTLSCert])
	if block == nil {
		return false
	}

	c, err := x509.ParseCertificate(block.Bytes)

	return err == nil && !w.in.Now.Before(c.NotAfter)
}

func (w *world) remember() {
	s := state{
		at: w.in.Now, server: w.in.OwnServer, client: w.in.OwnReplication,
		serverCA: w.in.PublishedServerCA, clientCA: w.in.PublishedClientCA, authority: w.in.OwnCA,
	}
	if s.server == nil || s.client == nil || same(s, w.now) {
		return
	}

	if w.now.server != nil {
		old := w.now
		old.at = w.in.Now // held until now
		w.past = append(w.past, old)
	}

	w.now = s
	w.writes++
}

func same(a, b state) bool {
	return cmp.Equal(a.server, b.server) && cmp.Equal(a.client, b.client) && cmp.Equal(a.authority, b.authority) &&
		bytes.Equal(a.serverCA, b.serverCA) && bytes.Equal(a.clientCA, b.clientCA)
}

// held are the states that a party may read now: the last one, and those that were the last one a moment ago.
func (w *world) held() []state {
	recent := []state{w.now}

	for i := len(w.past) - 1; i >= 0 && w.in.Now.Sub(w.past[i].at) <= lag; i-- {
		recent = append(recent, w.past[i])
	}

	return recent
}

// check lets every party that may exist meet every other: each file may be of another moment.
func (w *world) check(meet func(server, client map[string][]byte, serverCA, clientCA []byte) error) error {
	held := w.held()
	for i, certificates := range held {
		for j, bundles := range held {
			if err := meet(certificates.server, certificates.client, bundles.serverCA, bundles.clientCA); err != nil {
				return fmt.Errorf("at %v, certificates %d and bundles %d passes old: %w", w.in.Now, i, j, err)
			}
		}
	}

	return nil
}

func TestThreeYearsOfRotation(t *testing.T) {
	w := world{in: newInput()}
	authorities, servers := map[string]bool{}, map[string]bool{}
	end := start().AddDate(3, 0, 0)
	passes := 0

	for w.in.Now.Before(end) {
		before := w.writes

		out, err := w.pass(4)
		if err != nil {
			t.Fatal(err)
		}

		passes++

		authorities[string(out.CA[pki.KeyCAKey])] = true
		servers[string(out.Server[pki.KeyTLSCert])] = true

		err = w.check(func(server, client map[string][]byte, serverCA, clientCA []byte) error {
			return handshake(w.in.Now, server, client, serverCA, clientCA, "financial-db-rw")
		})
		if err != nil {
			t.Fatal(err)
		}

		if w.writes != before {
			w.in.Now = w.in.Now.Add(time.Minute) // watch closely what follows a write

			continue
		}

		if !out.RenewAt.After(w.in.Now) {
			t.Fatalf("at %v the next pass is wanted at %v", w.in.Now, out.RenewAt)
		}

		w.in.Now = out.RenewAt
	}

	if n := len(authorities); n < 4 || n > 6 {
		t.Errorf("%d CAs signed in three years, want a new one about every 245 days", n)
	}

	if n := len(servers); n < 18 || n > 26 {
		t.Errorf("%d server certificates in three years, want one about every 60 days", n)
	}

	if passes > 200 {
		t.Errorf("%d passes were asked for in three years", passes)
	}

	if n := bytes.Count(w.now.serverCA, []byte("BEGIN")); n > 3 {
		t.Errorf("the bundle has grown to %d certificates", n)
	}
}

// TestUserSwitchesCertificates goes from our own certificates to the user's, to another CA of the user's, and back.
func TestUserSwitchesCertificates(t *testing.T) {
	first, second := newTestCA(t, "First CA"), newTestCA(t, "Second CA")
	w := world{in: newInput()}

	steps := []struct {
		name string
		set  func(*pki.Input)
		by   *testCA
	}{
		{"own", func(*pki.Input) {}, nil},
		{"first", func(in *pki.Input) { in.UserServer = first.secret(t, nil) }, first},
		{"renewed by the same CA", func(in *pki.Input) { in.UserServer = first.secret(t, nil) }, first},
		{"second", func(in *pki.Input) { in.UserServer = second.secret(t, nil) }, second},
		{"own again", func(in *pki.Input) { in.UserServer = nil }, nil},
	}

	for _, step := range steps {
		step.set(&w.in)

		pending := 0

		for range 40 {
			out, err := w.pass(4)
			if err != nil {
				t.Fatal(err)
			}

			pending += len(out.Pending)

			err = w.check(func(server, client map[string][]byte, serverCA, clientCA []byte) error {
				return handshake(w.in.Now, server, client, serverCA, clientCA, "financial-db-rw")
			})
			if err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}

			w.in.Now = w.in.Now.Add(time.Minute)
		}

		if waits := step.name == "first" || step.name == "second"; waits != (pending > 0) {
			t.Errorf("%s: in %d passes the user was told to wait", step.name, pending)
		}

		leaf := certificate(t, w.now.server[pki.KeyTLSCert])
		if step.by != nil && leaf.CheckSignatureFrom(step.by.certificate) != nil {
			t.Errorf("%s: 40 minutes later the certificate in use is of %s", step.name, leaf.Issuer)
		}

		for _, ca := range []*testCA{first, second} {
			if ca != step.by && bytes.Contains(w.now.serverCA, ca.pem) {
				t.Errorf("%s: 40 minutes later %s is still trusted", step.name, ca.certificate.Subject)
			}
		}

		if extra := len(w.now.server); extra != 3 {
			t.Errorf("%s: 40 minutes later the secret has %d keys, want 3", step.name, extra)
		}
	}
}

// TestAnyHistory lets time pass in leaps, the operator stop between any two writes, and the user change the secrets: what
// parties hold always fits together, as long as it has not expired while the operator was away.
func TestAnyHistory(t *testing.T) {
	cas := []*testCA{newTestCA(t, "First CA"), newTestCA(t, "Second CA")}
	secrets := map[string]map[string][]byte{
		"none": nil, "empty": {}, "first": cas[0].secret(t, nil), "first renewed": cas[0].secret(t, nil), "second": cas[1].secret(t, nil),
	}
	bundles := map[string]map[string][]byte{
		"none": nil, "empty": {}, "first": {pki.KeyCACert: cas[0].pem}, "second": {pki.KeyCACert: cas[1].pem},
	}
	leaps := map[string]time.Duration{
		"0s": 0, "1s": time.Second, "1m": time.Minute, "5m": 5 * time.Minute, "9m": 9 * time.Minute, "11m": 11 * time.Minute,
		"1h": time.Hour, "1d": day, "20d": 20 * day, "61d": 61 * day, "130d": 130 * day, "400d": 400 * day,
	}

	rapid.Check(t, func(r *rapid.T) {
		w := world{in: newInput()}
		w.in.UserServer = secrets[rapid.SampledFrom([]string{"none", "first"}).Draw(r, "server at first")]

		if _, err := w.pass(4); err != nil {
			r.Fatal(err)
		}

		for range rapid.IntRange(1, 20).Draw(r, "steps") {
			switch rapid.SampledFrom([]string{"pass", "pass", "pass", "crash", "server", "replication", "lose"}).Draw(r, "step") {
			case "crash":
				if _, err := w.pass(rapid.IntRange(0, 3).Draw(r, "writes")); err != nil {
					r.Fatal(err)
				}
			case "server":
				w.in.UserServer = pick(r, "server", secrets)
			case "replication":
				w.in.UserReplication = pick(r, "replication", secrets)
				w.in.UserClientCA = pick(r, "client CA", bundles)
			case "lose":
				w.in.OwnCA = nil
			default:
				stable(r, &w)
			}

			if err := w.check(w.meet); err != nil {
				r.Fatal(err)
			}

			w.in.Now = w.in.Now.Add(pick(r, "leap", leaps))
		}
	})
}

// pick draws by name, which reads better in a failure's history than what is drawn.
func pick[V any](r *rapid.T, what string, from map[string]V) V {
	return from[rapid.SampledFrom(slices.Sorted(maps.Keys(from))).Draw(r, what)]
}

// stable makes a pass, and a second one that must not change anything but wait.
func stable(r *rapid.T, w *world) {
	if _, err := w.pass(4); err != nil {
		r.Fatal(err)
	}

	// The first pass may publish what the second notes as published; the third has nothing left to do.
	if _, err := w.pass(4); err != nil {
		r.Fatal(err)
	}

	writes := w.writes
	if _, err := w.pass(4); err != nil {
		r.Fatal(err)
	}

	if w.writes != writes {
		r.Fatalf("at %v a third pass still writes", w.in.Now)
	}
}

// meet verifies as TLS does, without its cost. An expired certificate is nobody's fault but the operator's absence.
func (w *world) meet(server, client map[string][]byte, serverCA, clientCA []byte) error {
	if err := w.verify(server[pki.KeyTLSCert], serverCA, x509.ExtKeyUsageServerAuth); err != nil {
		return fmt.Errorf("server: %w", err)
	}

	if err := w.verify(client[pki.KeyTLSCert], clientCA, x509.ExtKeyUsageClientAuth); err != nil {
		return fmt.Errorf("replication: %w", err)
	}

	return nil
}

func (w *world) verify(chain, bundle []byte, usage x509.ExtKeyUsage) error {
	block, _ := pem.Decode(chain)

	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}

	if !w.in.Now.Before(leaf.NotAfter) {
		return nil
	}

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)

	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: w.in.Now, KeyUsages: []x509.ExtKeyUsage{usage}})

	return err
}
