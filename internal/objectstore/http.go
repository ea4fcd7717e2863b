package objectstore

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

// newTransport is what all drivers talk through.
func newTransport(config storeconfig.Config) (*http.Transport, error) {
	transport := &http.Transport{}

	return transport, setTransport(transport, config)
}

// setTransport: HTTP/1.1 connections enough for parallel transfers, and limits on what an attempt may wait for before a byte
// moves. HTTP/2 would put all transfers on one connection.
func setTransport(transport *http.Transport, config storeconfig.Config) error {
	timeouts := config.Timeouts.WithDefaults()
	transport.Proxy = http.ProxyFromEnvironment
	transport.DialContext = (&net.Dialer{Timeout: min(10*time.Second, timeouts.Stall), KeepAlive: 15 * time.Second}).DialContext
	transport.TLSHandshakeTimeout = min(10*time.Second, timeouts.Stall)
	transport.ExpectContinueTimeout = time.Second
	transport.IdleConnTimeout = 60 * time.Second
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 64, 64
	transport.WriteBufferSize, transport.ReadBufferSize = 128<<10, 128<<10
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	transport.ForceAttemptHTTP2 = false
	// Objects come as they are stored; our own compression is none of the transport's business.
	transport.DisableCompression = true

	if config.CAFile == "" {
		return nil
	}

	pem, err := os.ReadFile(config.CAFile)
	if err != nil {
		return fmt.Errorf("read the store's CA: %w", err)
	}

	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}

	if !roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%w CA file %s: it holds no PEM certificate", ErrInvalid, config.CAFile)
	}

	transport.TLSClientConfig.RootCAs = roots

	return nil
}

// readValue reads a credential's file: one value, white space at its ends not counted.
func readValue(name string) (string, error) {
	if name == "" {
		return "", nil
	}

	content, err := os.ReadFile(name) //nolint:gosec // named by the configuration
	if err != nil {
		return "", fmt.Errorf("read credentials: %w", err)
	}

	value := strings.TrimSpace(string(content))
	if value == "" {
		return "", fmt.Errorf("%w credentials: %s is empty", ErrInvalid, name)
	}

	return value, nil
}

// sortStatus gives an HTTP answer's error its meaning. code is the store's own word, if it has one.
func sortStatus(status int, code string, err error) error {
	switch {
	case status == http.StatusForbidden && isQuota(code), status == http.StatusInsufficientStorage, isQuota(code):
		return fmt.Errorf("%w: %w", ErrFull, err)
	case code == "RequestTimeTooSkewed" || strings.Contains(err.Error(), "RequestTimeTooSkewed"):
		return fmt.Errorf("%w, since this machine's clock and the store's differ too much: %w", ErrDenied, err)
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fmt.Errorf("%w: %w", ErrDenied, err)
	case status == http.StatusRequestedRangeNotSatisfiable:
		return fmt.Errorf("%w range: %w", ErrInvalid, err)
	default:
		return err
	}
}

// isQuota knows the stores' words for "no more room".
func isQuota(code string) bool {
	for _, word := range []string{"QuotaExceeded", "StorageFull", "XMinioStorageFull", "AccountIsDisabled"} {
		if strings.Contains(code, word) {
			return true
		}
	}

	return false
}

// asError is errors.As that gives the value.
func asError[E error](err error) (E, bool) {
	var found E
	ok := errors.As(err, &found)

	return found, ok
}
