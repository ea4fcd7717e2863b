package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/caretaker-dev/caretaker/internal/pki"
)

func TestVerifyChain(t *testing.T) {
	t.Parallel()

	now := time.Now()
	ours, theirs := planned(t, now), planned(t, now)

	block, _ := pem.Decode(ours.Server["tls.crt"])
	if block == nil {
		t.Fatal("no server certificate")
	}

	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}

	for _, tc := range []struct {
		name  string
		shown []*x509.Certificate
		ca    []byte
		want  string
	}{
		{"of our CA, by any name", []*x509.Certificate{certificate}, ours.ServerCABundle, ""},
		{"of another CA", []*x509.Certificate{certificate}, theirs.ServerCABundle, "not of the expected CA"},
		{"none", nil, ours.ServerCABundle, "no certificate"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(tc.ca)

			err := pki.VerifyChain(tls.ConnectionState{PeerCertificates: tc.shown}, roots)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func planned(t *testing.T, now time.Time) pki.Output {
	t.Helper()

	out, err := pki.Plan(pki.Input{Cluster: "demo", Namespace: "test", DNSNames: pki.DNSNames("demo", "test"), Now: now})
	if err != nil {
		t.Fatal(err)
	}

	return out
}
