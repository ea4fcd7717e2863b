package pki

import (
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"slices"
	"time"
)

const pemCertificate = "CERTIFICATE"

// decode is every certificate of a PEM file, in order. What cannot be read is left out.
func decode(data []byte) []*x509.Certificate {
	var certificates []*x509.Certificate

	for {
		var block *pem.Block

		block, data = pem.Decode(data)
		if block == nil {
			return certificates
		}

		if block.Type != pemCertificate {
			continue
		}

		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			certificates = append(certificates, c)
		}
	}
}

func encode(certificates []*x509.Certificate) []byte {
	var data []byte

	for _, c := range certificates {
		data = append(data, pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: c.Raw})...)
	}

	return data
}

func decodeKey(data []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("no PEM block")
	}

	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err //nolint:wrapcheck // only asked whether it is nil
	}

	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("not a signing key")
	}

	return signer, nil
}

func samePublicKey(a, b crypto.PublicKey) bool {
	key, ok := a.(interface {
		Equal(other crypto.PublicKey) bool
	})

	return ok && key.Equal(b)
}

func contains(list []*x509.Certificate, c *x509.Certificate) bool {
	return slices.ContainsFunc(list, c.Equal)
}

func intersects(a, b []*x509.Certificate) bool {
	return slices.ContainsFunc(a, func(c *x509.Certificate) bool { return contains(b, c) })
}

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)

	return hex.EncodeToString(sum[:])
}

// anchorsOf are those of the candidates that a chain leads to, each by itself.
func anchorsOf(chain, candidates []*x509.Certificate, usage x509.ExtKeyUsage, now time.Time) []*x509.Certificate {
	if len(chain) == 0 {
		return nil
	}

	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}

	var anchors []*x509.Certificate

	for _, candidate := range candidates {
		roots := x509.NewCertPool()
		roots.AddCert(candidate)

		options := x509.VerifyOptions{
			Roots: roots, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage},
		}
		if _, err := chain[0].Verify(options); err == nil {
			anchors = append(anchors, candidate)
		}
	}

	return anchors
}

// keyMatches says whether a certificate and a key, as a secret holds them, belong together.
func keyMatches(certPEM, keyPEM []byte) error {
	_, err := tls.X509KeyPair(certPEM, keyPEM)

	return err //nolint:wrapcheck // the caller puts it into a sentence
}
