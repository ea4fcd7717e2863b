package instanceclient

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/pki"
)

const (
	dialTimeout = time.Second
	// idleTimeout closes a connection that was not used; it is longer than the operator's quiet interval, so that a
	// poll does not pay for a handshake.
	idleTimeout = 90 * time.Second
	// forgetAfter drops the transport of a target that was not called: pods come and go under new addresses.
	forgetAfter = 10 * time.Minute
)

// transports keeps one HTTP transport per address, for as long as the credentials stay the same.
type transports struct {
	clock clock.PassiveClock

	mu        sync.Mutex
	byAddress map[string]*entry
}

type entry struct {
	transport   *http.Transport
	credentials [sha256.Size]byte
	used        time.Time
}

func newTransports(clk clock.PassiveClock) *transports {
	return &transports{clock: clk, byAddress: map[string]*entry{}}
}

func (t *transports) get(target Target) (*http.Transport, error) {
	t.mu.Lock()
	defer t.mu.Unlock()

	now := t.clock.Now()
	t.forget(now)

	credentials := fingerprint(target)
	if e, ok := t.byAddress[target.Address]; ok {
		if e.credentials == credentials {
			e.used = now

			return e.transport, nil
		}

		e.transport.CloseIdleConnections()
		delete(t.byAddress, target.Address)
	}

	config, err := tlsConfig(target)
	if err != nil {
		return nil, err
	}

	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig:     config,
		TLSHandshakeTimeout: callTimeout,
		IdleConnTimeout:     idleTimeout,
		MaxIdleConnsPerHost: 1,
	}
	t.byAddress[target.Address] = &entry{transport: transport, credentials: credentials, used: now}

	return transport, nil
}

// forget drops what was not used for long.
func (t *transports) forget(now time.Time) {
	for address, e := range t.byAddress {
		if now.Sub(e.used) > forgetAfter {
			e.transport.CloseIdleConnections()
			delete(t.byAddress, address)
		}
	}
}

func fingerprint(target Target) [sha256.Size]byte {
	h := sha256.New()
	for _, part := range [][]byte{target.ServerCA, target.ClientCert, target.ClientKey} {
		sum := sha256.Sum256(part)
		h.Write(sum[:])
	}

	return [sha256.Size]byte(h.Sum(nil))
}

func tlsConfig(target Target) (*tls.Config, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(target.ServerCA) {
		return nil, errors.New("the server CA holds no certificate")
	}

	certificate, err := tls.X509KeyPair(target.ClientCert, target.ClientKey)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}

	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{certificate},
		// Not a gap: VerifyConnection checks the chain. What is skipped is the host name, see the package comment.
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection verifies the chain
		VerifyConnection: func(state tls.ConnectionState) error {
			return pki.VerifyChain(state, roots)
		},
	}, nil
}
