package pki_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/pki"
)

const (
	cluster   = "financial-db"
	namespace = "production"
)

func start() time.Time { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) }

// testCA stands for the user's CA.
type testCA struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

func newTestCA(t *testing.T, name string) *testCA {
	t.Helper()

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}

	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: start().Add(-time.Hour), NotAfter: start().AddDate(20, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}

	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}

	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}

	return &testCA{certificate: c, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// secret is a kubernetes.io/tls secret as cert-manager writes it.
func (ca *testCA) secret(t *testing.T, change func(*x509.Certificate)) map[string][]byte {
	t.Helper()

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}

	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: naming.ReplicationUser},
		NotBefore: start().Add(-time.Hour), NotAfter: start().AddDate(10, 0, 0),
		DNSNames:    pki.DNSNames(cluster, namespace),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}

	der, err := x509.CreateCertificate(rand.Reader, template, ca.certificate, key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}

	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}

	return map[string][]byte{
		pki.KeyTLSCert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pki.KeyTLSKey:  pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
		pki.KeyCACert:  ca.pem,
	}
}

func without(data map[string][]byte, key string) map[string][]byte {
	rest := map[string][]byte{}

	for k, v := range data {
		if k != key {
			rest[k] = v
		}
	}

	return rest
}

func newInput() pki.Input {
	return pki.Input{Cluster: cluster, Namespace: namespace, DNSNames: pki.DNSNames(cluster, namespace), Now: start()}
}

func plan(t *testing.T, in pki.Input) pki.Output {
	t.Helper()

	out, err := pki.Plan(in)
	if err != nil {
		t.Fatalf("Plan: %v", err)
	}

	return out
}

// observe puts what was planned where the next pass finds it.
func observe(in pki.Input, out pki.Output) pki.Input {
	in.PublishedServerCA, in.PublishedClientCA = out.ServerCABundle, out.ClientCABundle

	if out.CA != nil {
		in.OwnCA = out.CA
	}

	if out.Server != nil {
		in.OwnServer = out.Server
	}

	if out.Replication != nil {
		in.OwnReplication = out.Replication
	}

	return in
}

func certificate(t *testing.T, data []byte) *x509.Certificate {
	t.Helper()

	block, _ := pem.Decode(data)
	if block == nil {
		t.Fatalf("no certificate in %q", data)
	}

	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}

	return c
}

// handshake is a real one: the client checks the server's name, the server the client's certificate.
func handshake(now time.Time, server, client map[string][]byte, serverCA, clientCA []byte, host string) error {
	serverPair, err := tls.X509KeyPair(server[pki.KeyTLSCert], server[pki.KeyTLSKey])
	if err != nil {
		return err
	}

	clientPair, err := tls.X509KeyPair(client[pki.KeyTLSCert], client[pki.KeyTLSKey])
	if err != nil {
		return err
	}

	roots, clients := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(serverCA)
	clients.AppendCertsFromPEM(clientCA)

	a, b := net.Pipe()
	defer closeAll(a, b)

	clock := func() time.Time { return now }
	accepted := make(chan error, 1)

	go func() {
		accepted <- tls.Server(a, &tls.Config{
			Certificates: []tls.Certificate{serverPair}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert,
			Time: clock, SessionTicketsDisabled: true,
		}).Handshake()
		closeAll(a)
	}()

	conn := tls.Client(b, &tls.Config{RootCAs: roots, ServerName: host, Time: clock, Certificates: []tls.Certificate{clientPair}})
	dialed := conn.Handshake()

	closeAll(b)

	return errors.Join(dialed, <-accepted)
}

func closeAll(connections ...io.Closer) {
	for _, c := range connections {
		_ = c.Close()
	}
}

func TestNewClusterGetsEverythingAtOnce(t *testing.T) {
	in := newInput()
	in.DNSNames = pki.DNSNames(cluster, namespace, "db.example.org", "192.0.2.7")
	out := plan(t, in)

	for _, host := range []string{
		"financial-db-rw", "financial-db-ro.production", "financial-db-r.production.svc",
		"financial-db-rw.production.svc.cluster.local", "financial-db-2.financial-db-members.production.svc",
		"db.example.org", "192.0.2.7",
	} {
		if err := handshake(in.Now, out.Server, out.Replication, out.ServerCABundle, out.ClientCABundle, host); err != nil {
			t.Errorf("handshake with %s: %v", host, err)
		}
	}

	if err := handshake(in.Now, out.Server, out.Replication, out.ServerCABundle, out.ClientCABundle, "other-rw"); err == nil {
		t.Error("a certificate of another host name was accepted")
	}

	if got := certificate(t, out.Replication[pki.KeyTLSCert]).Subject.CommonName; got != naming.ReplicationUser {
		t.Errorf("replication certificate is for %q", got)
	}

	if len(out.Problems)+len(out.Warnings) > 0 {
		t.Errorf("problems %v, warnings %v", out.Problems, out.Warnings)
	}

	ends := map[pki.Role]time.Duration{}
	for _, c := range out.Certificates {
		ends[c.Role] = c.NotAfter.Sub(in.Now)
	}

	want := map[pki.Role]time.Duration{
		pki.RoleCA: pki.CALifetime, pki.RoleServer: pki.LeafLifetime, pki.RoleReplication: pki.LeafLifetime,
	}
	if diff := cmp.Diff(want, ends); diff != "" {
		t.Errorf("ends (-want +got):\n%s", diff)
	}

	if wait := out.RenewAt.Sub(in.Now); wait < 50*24*time.Hour || wait > 61*24*time.Hour {
		t.Errorf("renewal in %v, want about 60 days", wait)
	}
}

func TestSatisfiedInputChangesNothing(t *testing.T) {
	in := newInput()
	first := plan(t, in)

	in = observe(in, first)
	in.Now = in.Now.Add(30 * 24 * time.Hour)

	if diff := cmp.Diff(first, plan(t, in)); diff != "" {
		t.Errorf("second pass differs (-first +second):\n%s", diff)
	}
}

func TestNameChangeReissuesAtOnce(t *testing.T) {
	in := newInput()
	first := plan(t, in)
	in = observe(in, first)
	in.DNSNames = pki.DNSNames(cluster, namespace, "db.example.org")
	out := plan(t, in)

	if err := certificate(t, out.Server[pki.KeyTLSCert]).VerifyHostname("db.example.org"); err != nil {
		t.Error(err)
	}

	if diff := cmp.Diff(first.Replication, out.Replication); diff != "" {
		t.Errorf("the replication certificate was replaced too:\n%s", diff)
	}

	if diff := cmp.Diff(out, plan(t, observe(in, out))); diff != "" {
		t.Errorf("not stable (-want +got):\n%s", diff)
	}
}

func TestNamesAreComparedInOneSpelling(t *testing.T) {
	in := newInput()
	in.DNSNames = append(in.DNSNames, "DB.Example.Org", "0:0:0:0:0:0:0:1", "::ffff:192.0.2.1", in.DNSNames[0])
	out := plan(t, in)

	if diff := cmp.Diff(out, plan(t, observe(in, out))); diff != "" {
		t.Errorf("not stable (-want +got):\n%s", diff)
	}
}

func TestProblems(t *testing.T) {
	ca, other := newTestCA(t, "Example CA"), newTestCA(t, "Another CA")
	good := ca.secret(t, nil)
	mixed := ca.secret(t, nil)
	mixed[pki.KeyTLSKey] = good[pki.KeyTLSKey]

	otherCA := ca.secret(t, nil)
	otherCA[pki.KeyCACert] = other.pem

	tests := map[string]struct {
		change  func(*pki.Input)
		field   string
		message string
	}{
		"server secret missing": {
			func(in *pki.Input) { in.UserServer = map[string][]byte{} },
			"spec.certificates.serverTLSSecret", "no such secret in the namespace production",
		},
		"server secret without CA": {
			func(in *pki.Input) { in.UserServer = without(good, pki.KeyCACert) },
			"spec.certificates.serverTLSSecret", "name its secret in spec.certificates.serverCASecret",
		},
		"server key missing": {
			func(in *pki.Input) { in.UserServer = without(good, pki.KeyTLSKey) },
			"spec.certificates.serverTLSSecret", "its key under tls.key",
		},
		"server key of another certificate": {
			func(in *pki.Input) { in.UserServer = mixed },
			"spec.certificates.serverTLSSecret", "does not match",
		},
		"server certificate expired": {
			func(in *pki.Input) {
				in.UserServer = ca.secret(t, func(c *x509.Certificate) { c.NotAfter = start().Add(-time.Minute) })
			},
			"spec.certificates.serverTLSSecret", "ended at 2026-11-20T11:59:00Z; replace it",
		},
		"server certificate not yet valid": {
			func(in *pki.Input) {
				in.UserServer = ca.secret(t, func(c *x509.Certificate) { c.NotBefore = start().Add(time.Hour) })
			},
			"spec.certificates.serverTLSSecret", "not valid before 2026-11-20T13:00:00Z",
		},
		"server certificate of another CA": {
			func(in *pki.Input) { in.UserServer = otherCA },
			"spec.certificates.serverTLSSecret", "cannot be verified with its CA",
		},
		"server certificate for clients": {
			func(in *pki.Input) {
				in.UserServer = ca.secret(t, func(c *x509.Certificate) {
					c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
				})
			},
			"spec.certificates.serverTLSSecret", "for use as a server certificate",
		},
		"server CA secret missing": {
			func(in *pki.Input) { in.UserServer, in.UserServerCA = good, map[string][]byte{} },
			"spec.certificates.serverCASecret", "no such secret",
		},
		"server CA alone": {
			func(in *pki.Input) { in.UserServerCA = good },
			"spec.certificates.serverCASecret", "only together with spec.certificates.serverTLSSecret",
		},
		"client CA secret missing": {
			func(in *pki.Input) { in.UserClientCA = map[string][]byte{} },
			"spec.certificates.clientCASecret", "no such secret",
		},
		"replication secret missing": {
			func(in *pki.Input) { in.UserReplication = map[string][]byte{} },
			"spec.certificates.replicationTLSSecret", "no such secret",
		},
		"client CA is no CA": {
			func(in *pki.Input) { in.UserClientCA = map[string][]byte{pki.KeyCACert: good[pki.KeyTLSCert]} },
			"spec.certificates.clientCASecret", "no CA certificate",
		},
		"replication certificate without CA": {
			func(in *pki.Input) { in.UserReplication = without(good, pki.KeyCACert) },
			"spec.certificates.replicationTLSSecret", "spec.certificates.clientCASecret",
		},
		"replication certificate of another user": {
			func(in *pki.Input) {
				in.UserReplication = ca.secret(t, func(c *x509.Certificate) { c.Subject.CommonName = "app" })
			},
			"spec.certificates.replicationTLSSecret", `"app" but must be "streaming_replica"`,
		},
		"name that is none": {
			func(in *pki.Input) { in.DNSNames = append(in.DNSNames, "no name") },
			"spec.certificates.serverAltDNSNames", `"no name" is neither`,
		},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			in := newInput()
			running := plan(t, in)

			for _, before := range []pki.Input{in, observe(in, running)} {
				test.change(&before)
				out := plan(t, before)

				if len(out.Problems) != 1 || out.Problems[0].Field != test.field || !strings.Contains(out.Problems[0].Message, test.message) {
					t.Fatalf("problems %q, want one of %s with %q", out.Problems, test.field, test.message)
				}

				if before.OwnServer == nil {
					continue
				}

				if err := handshake(in.Now, out.Server, out.Replication, out.ServerCABundle, out.ClientCABundle, "financial-db-rw"); err != nil {
					t.Errorf("what runs does not go on: %v", err)
				}
			}
		})
	}
}

func TestUserServerAlone(t *testing.T) {
	ca := newTestCA(t, "Example CA")
	in := newInput()
	in.UserServer = ca.secret(t, nil)
	out := plan(t, in)

	if len(out.Problems)+len(out.Warnings) > 0 {
		t.Fatalf("problems %v, warnings %v", out.Problems, out.Warnings)
	}

	if err := handshake(in.Now, out.Server, out.Replication, ca.pem, out.ClientCABundle, "financial-db-rw.production.svc"); err != nil {
		t.Errorf("a client that knows the user's CA only: %v", err)
	}

	if err := handshake(in.Now, out.Server, out.Replication, out.ServerCABundle, out.ClientCABundle, "financial-db-rw"); err != nil {
		t.Errorf("our own bundle: %v", err)
	}

	if diff := cmp.Diff(out, plan(t, observe(in, out))); diff != "" {
		t.Errorf("not stable (-want +got):\n%s", diff)
	}
}

func TestUserServerWithoutOurNamesIsAWarning(t *testing.T) {
	in := newInput()
	in.UserServer = newTestCA(t, "Example CA").secret(t, func(c *x509.Certificate) { c.DNSNames = []string{"db.example.org"} })
	out := plan(t, in)

	if len(out.Problems) > 0 || len(out.Warnings) != 1 || !strings.Contains(out.Warnings[0].Message, "financial-db-rw.production.svc") {
		t.Errorf("problems %v, warnings %v", out.Problems, out.Warnings)
	}

	if out.Server == nil {
		t.Error("the certificate is not used")
	}
}

func TestIntermediateCA(t *testing.T) {
	root := newTestCA(t, "Root")

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}

	template := &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "Intermediate"},
		NotBefore: start().Add(-time.Hour), NotAfter: start().AddDate(5, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}

	der, err := x509.CreateCertificate(rand.Reader, template, root.certificate, key.Public(), root.key)
	if err != nil {
		t.Fatal(err)
	}

	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}

	intermediate := &testCA{certificate: c, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	secret := intermediate.secret(t, nil)
	secret[pki.KeyTLSCert] = append(secret[pki.KeyTLSCert], intermediate.pem...)
	secret[pki.KeyCACert] = root.pem

	in := newInput()
	in.UserServer = secret
	out := plan(t, in)

	if len(out.Problems) > 0 {
		t.Fatalf("problems %v", out.Problems)
	}

	if err := handshake(in.Now, out.Server, out.Replication, root.pem, out.ClientCABundle, "financial-db-rw"); err != nil {
		t.Error(err)
	}
}

func TestClientCABundle(t *testing.T) {
	ca := newTestCA(t, "Example CA")

	in := newInput()
	in.UserClientCA = map[string][]byte{pki.KeyCACert: ca.pem}
	out := plan(t, in)

	if err := handshake(in.Now, out.Server, ca.secret(t, nil), out.ServerCABundle, out.ClientCABundle, "financial-db-rw"); err != nil {
		t.Errorf("a client of the user's CA: %v", err)
	}

	if err := handshake(in.Now, out.Server, out.Replication, out.ServerCABundle, out.ClientCABundle, "financial-db-rw"); err != nil {
		t.Errorf("our replication certificate beside it: %v", err)
	}

	in.UserReplication = ca.secret(t, nil)
	out = plan(t, in)

	if diff := cmp.Diff(string(ca.pem), string(out.ClientCABundle)); diff != "" {
		t.Errorf("with the user's replication certificate, the user's CA alone makes clients:\n%s", diff)
	}

	if err := handshake(in.Now, out.Server, out.Replication, out.ServerCABundle, out.ClientCABundle, "financial-db-rw"); err != nil {
		t.Errorf("the user's replication certificate: %v", err)
	}
}

func TestNothingOfOursWhenTheUserBringsAll(t *testing.T) {
	ca := newTestCA(t, "Example CA")
	in := newInput()
	in.UserServer, in.UserReplication, in.UserClientCA = ca.secret(t, nil), ca.secret(t, nil), map[string][]byte{pki.KeyCACert: ca.pem}
	out := plan(t, in)

	if out.CA != nil {
		t.Error("a CA of our own was made though nobody needs it")
	}

	if err := handshake(in.Now, out.Server, out.Replication, out.ServerCABundle, out.ClientCABundle, "financial-db-rw"); err != nil {
		t.Error(err)
	}
}

func TestBrokenUserSecretKeepsTheLastGoodOne(t *testing.T) {
	ca := newTestCA(t, "Example CA")
	in := newInput()
	in.UserServer = ca.secret(t, nil)
	in = observe(in, plan(t, in))
	before := in.OwnServer
	in.UserServer = map[string][]byte{}
	out := plan(t, in)

	if len(out.Problems) != 1 {
		t.Fatalf("problems %v", out.Problems)
	}

	if diff := cmp.Diff(before[pki.KeyTLSCert], out.Server[pki.KeyTLSCert]); diff != "" {
		t.Errorf("the certificate in use was taken away:\n%s", diff)
	}

	if err := handshake(in.Now, out.Server, out.Replication, out.ServerCABundle, out.ClientCABundle, "financial-db-rw"); err != nil {
		t.Error(err)
	}
}

func TestBrokenOwnSecretsAreMadeAnew(t *testing.T) {
	good := observe(newInput(), plan(t, newInput()))

	for name, damage := range map[string]func(*pki.Input){
		"CA lost":     func(in *pki.Input) { in.OwnCA = nil },
		"CA key lost": func(in *pki.Input) { in.OwnCA = without(in.OwnCA, pki.KeyCAKey) },
		"CA garbage": func(in *pki.Input) {
			in.OwnCA = map[string][]byte{pki.KeyCACert: []byte("x"), pki.KeyCAKey: []byte("y")}
		},
		"server lost":         func(in *pki.Input) { in.OwnServer = nil },
		"server key lost":     func(in *pki.Input) { in.OwnServer = without(in.OwnServer, pki.KeyTLSKey) },
		"replication garbage": func(in *pki.Input) { in.OwnReplication = map[string][]byte{pki.KeyTLSCert: []byte("x")} },
		"config map lost":     func(in *pki.Input) { in.PublishedServerCA, in.PublishedClientCA = nil, nil },
		"all lost": func(in *pki.Input) {
			in.OwnCA, in.OwnServer, in.OwnReplication, in.PublishedServerCA, in.PublishedClientCA = nil, nil, nil, nil, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := good
			damage(&in)

			for range 40 {
				out := plan(t, in)
				if err := handshake(in.Now, out.Server, out.Replication, out.ServerCABundle, out.ClientCABundle, "financial-db-rw"); err != nil {
					t.Fatalf("at %v: %v", in.Now, err)
				}

				if out.CA == nil || out.CA[pki.KeyCAKey] == nil {
					t.Fatal("no CA")
				}

				in = observe(in, out)
				in.Now = in.Now.Add(time.Minute)
			}

			last := plan(t, in)
			if diff := cmp.Diff(last, plan(t, observe(in, last))); diff != "" {
				t.Errorf("not stable (-want +got):\n%s", diff)
			}

			signer := certificate(t, last.CA[pki.KeyCACert])
			if err := certificate(t, last.Server[pki.KeyTLSCert]).CheckSignatureFrom(signer); err != nil {
				t.Errorf("in the end the first CA of the bundle should have signed the server's certificate: %v", err)
			}
		})
	}
}
