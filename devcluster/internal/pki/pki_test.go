package pki

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
)

func TestIssue(t *testing.T) {
	dir := t.TempDir()
	authority, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	server := Identity{
		File: "server", CommonName: "kube-apiserver",
		DNSNames: []string{"kubernetes.default.svc"}, Addresses: []string{"10.96.0.1"},
	}
	if err := authority.Issue(server, Identity{File: "admin", CommonName: "admin", Organization: "system:masters"}); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	ca, err := os.ReadFile(authority.Cert("ca"))
	if err != nil || !pool.AppendCertsFromPEM(ca) {
		t.Fatalf("the authority's certificate cannot be read: %v", err)
	}
	tests := []struct {
		file, host string
		usage      x509.ExtKeyUsage
		valid      bool
	}{
		{"server", "kubernetes.default.svc", x509.ExtKeyUsageServerAuth, true},
		{"server", "10.96.0.1", x509.ExtKeyUsageServerAuth, true},
		{"server", "10.96.0.2", x509.ExtKeyUsageServerAuth, false},
		{"admin", "", x509.ExtKeyUsageClientAuth, true},
		{"admin", "", x509.ExtKeyUsageServerAuth, false},
	}
	for _, test := range tests {
		pair, err := tls.LoadX509KeyPair(authority.Cert(test.file), authority.Key(test.file))
		if err != nil {
			t.Fatal(err)
		}
		_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: test.host, KeyUsages: []x509.ExtKeyUsage{test.usage}})
		if (err == nil) != test.valid {
			t.Errorf("%s for %q: %v, want valid: %v", test.file, test.host, err, test.valid)
		}
	}
}

func TestReopenKeepsWhatThereIs(t *testing.T) {
	dir, identity := t.TempDir(), Identity{File: "admin", CommonName: "admin"}
	var contents [2]string
	for i := range contents {
		authority, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := authority.Issue(identity); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(authority.Cert("admin"))
		if err != nil {
			t.Fatal(err)
		}
		contents[i] = string(content)
	}
	if contents[0] != contents[1] {
		t.Error("a certificate is made anew although it is there")
	}
}
