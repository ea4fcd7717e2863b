package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/caretaker-dev/caretaker/internal/instance/layout"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/pki"
)

// Paths of the copies.
type Paths struct {
	ServerCert, ServerKey string
	ServerCA, ClientCA    string
	ReplicaCert           string
	ReplicaKey            string
}

// Files keeps the copies current.
type Files struct {
	layout layout.Layout

	mu      sync.RWMutex
	current *material
}

// material is what was copied last, parsed.
type material struct {
	server, replica    tls.Certificate
	serverCA, clientCA *x509.CertPool
	contents           map[string]string
}

// New makes Files; nothing is read yet.
func New(l layout.Layout) *Files {
	return &Files{layout: l}
}

// Paths of the copies.
func (f *Files) Paths() Paths {
	at := func(name string) string { return filepath.Join(f.layout.TLSDir(), name) }

	return Paths{
		ServerCert: at("server.crt"), ServerKey: at("server.key"),
		ServerCA: at("server-ca.crt"), ClientCA: at("client-ca.crt"),
		ReplicaCert: at("replication.crt"), ReplicaKey: at("replication.key"),
	}
}

// sources are the mounted files, by the path of their copy.
func (f *Files) sources() map[string]string {
	certificates, paths := f.layout.CertificatesDir, f.Paths()

	return map[string]string{
		paths.ServerCert:  filepath.Join(certificates, "server", "tls.crt"),
		paths.ServerKey:   filepath.Join(certificates, "server", "tls.key"),
		paths.ReplicaCert: filepath.Join(certificates, "replication", "tls.crt"),
		paths.ReplicaKey:  filepath.Join(certificates, "replication", "tls.key"),
		paths.ServerCA:    filepath.Join(f.layout.ConfigDir, instanceapi.ServerCAKey),
		paths.ClientCA:    filepath.Join(f.layout.ConfigDir, instanceapi.ClientCAKey),
	}
}

// Sync copies what has changed and says whether anything has. On an error the copies stay as they were.
func (f *Files) Sync() (bool, error) {
	contents := map[string]string{}

	for target, source := range f.sources() {
		content, err := os.ReadFile(source) //nolint:gosec // our own paths
		if err != nil {
			return false, fmt.Errorf("read a certificate: %w", err)
		}

		contents[target] = string(content)
	}

	f.mu.Lock()
	defer f.mu.Unlock()

	if f.current != nil && equal(f.current.contents, contents) {
		return false, nil
	}

	next, err := parse(f.Paths(), contents)
	if err != nil {
		return false, err
	}

	for target, content := range contents {
		if _, err := volume.WriteFileIfChanged(target, []byte(content), 0o600); err != nil {
			return false, fmt.Errorf("copy a certificate: %w", err)
		}
	}

	f.current = next

	return true, nil
}

func equal(a, b map[string]string) bool {
	for key, value := range b {
		if a[key] != value {
			return false
		}
	}

	return len(a) == len(b)
}

func parse(paths Paths, contents map[string]string) (*material, error) {
	pair := func(cert, key, whose string) (tls.Certificate, error) {
		certificate, err := tls.X509KeyPair([]byte(contents[cert]), []byte(contents[key]))
		if err != nil {
			return tls.Certificate{}, fmt.Errorf("the %s certificate and its key: %w", whose, err)
		}

		return certificate, nil
	}

	server, err := pair(paths.ServerCert, paths.ServerKey, "server")
	if err != nil {
		return nil, err
	}

	replica, err := pair(paths.ReplicaCert, paths.ReplicaKey, "replication")
	if err != nil {
		return nil, err
	}

	next := &material{
		server: server, replica: replica,
		serverCA: x509.NewCertPool(), clientCA: x509.NewCertPool(), contents: contents,
	}

	if !next.serverCA.AppendCertsFromPEM([]byte(contents[paths.ServerCA])) {
		return nil, errors.New("the server CA holds no certificate")
	}

	if !next.clientCA.AppendCertsFromPEM([]byte(contents[paths.ClientCA])) {
		return nil, errors.New("the client CA holds no certificate")
	}

	return next, nil
}

func (f *Files) get() (*material, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()

	if f.current == nil {
		return nil, errors.New("the certificates have not been read yet")
	}

	return f.current, nil
}

// ServerConfig is for the status server: it follows the files, and asks for a client certificate without demanding one.
func (f *Files) ServerConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			now, err := f.get()
			if err != nil {
				return nil, err
			}

			return &tls.Config{
				MinVersion:   tls.VersionTLS12,
				Certificates: []tls.Certificate{now.server},
				ClientAuth:   tls.VerifyClientCertIfGiven,
				ClientCAs:    now.clientCA,
				NextProtos:   []string{"h2", "http/1.1"},
			}, nil
		},
	}
}

// ReplicaConfig is for connections to another member as a replica. The chain is verified, the host name is not, as
// sslmode=verify-ca has it: users bring server certificates whose names are those of the services.
func (f *Files) ReplicaConfig() (*tls.Config, error) {
	now, err := f.get()
	if err != nil {
		return nil, err
	}

	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		Certificates:       []tls.Certificate{now.replica},
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection verifies the chain
		VerifyConnection: func(state tls.ConnectionState) error {
			return pki.VerifyChain(state, now.serverCA)
		},
	}, nil
}
