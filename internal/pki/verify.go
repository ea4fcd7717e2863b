package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// VerifyChain checks that the server's certificate is of one of these CAs, whatever name it was reached by: instances are
// reached by addresses that no certificate has.
func VerifyChain(state tls.ConnectionState, roots *x509.CertPool) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the server sent no certificate")
	}

	options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, certificate := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(certificate)
	}

	if _, err := state.PeerCertificates[0].Verify(options); err != nil {
		return fmt.Errorf("the server's certificate is not of the expected CA: %w", err)
	}

	return nil
}
