package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// organization in the subject of our own CAs; with the unit (the namespace) and the name it tells them from the user's.
const organization = "caretaker.dev"

// newCA makes a self-signed CA. Its name carries a part of its key's hash: no two CAs of a Cluster share a name, which
// spares verifiers from having to tell them apart by key.
func newCA(cluster, namespace string, now time.Time) (*issuer, error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return nil, err
	}

	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("encode the public key of a CA: %w", err)
	}

	sum := sha256.Sum256(spki)
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(sum[8:24]),
		Subject: pkix.Name{
			Organization:       []string{organization},
			OrganizationalUnit: []string{namespace},
			CommonName:         caNamePrefix(cluster) + hex.EncodeToString(sum[:4]),
		},
		NotBefore:             now.Add(-Backdate).Truncate(time.Second).UTC(),
		NotAfter:              now.Add(CALifetime).Truncate(time.Second).UTC(),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		SubjectKeyId:          sum[:20],
	}

	certificate, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}

	return &issuer{certificate: certificate, key: key, keyPEM: keyPEM}, nil
}

func caNamePrefix(cluster string) string { return cluster + " CA " }

func isOwnCA(c *x509.Certificate, cluster, namespace string) bool {
	return c.IsCA &&
		slices.Equal(c.Subject.Organization, []string{organization}) &&
		slices.Equal(c.Subject.OrganizationalUnit, []string{namespace}) &&
		strings.HasPrefix(c.Subject.CommonName, caNamePrefix(cluster))
}

// issue makes a key and a certificate for it, in the form that a secret holds.
func (i *issuer) issue(r leafRole, now time.Time) (certPEM, keyPEM []byte, err error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return nil, nil, err
	}

	end := now.Add(LeafLifetime)
	if caEnd := i.certificate.NotAfter; caEnd.Before(end) {
		end = caEnd
	}

	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: r.commonName},
		NotBefore:             now.Add(-Backdate).Truncate(time.Second).UTC(),
		NotAfter:              end.Truncate(time.Second).UTC(),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{r.usage},
	}

	for _, name := range r.dnsNames {
		if ip, err := netip.ParseAddr(name); err == nil {
			template.IPAddresses = append(template.IPAddresses, ip.AsSlice())
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}

	certificate, err := sign(template, i.certificate, key.Public(), i.key)
	if err != nil {
		return nil, nil, err
	}

	return encode([]*x509.Certificate{certificate}), keyPEM, nil
}

func sign(template, parent *x509.Certificate, public, signer any) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %s: %w", template.Subject.CommonName, err)
	}

	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the certificate of %s that was just signed: %w", template.Subject.CommonName, err)
	}

	return certificate, nil
}

func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a private key: %w", err)
	}

	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode a private key: %w", err)
	}

	return key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
