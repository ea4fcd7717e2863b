package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const validity = 10 * 365 * 24 * time.Hour

// Identity is who a certificate is for.
type Identity struct {
	// File is the name of the files <File>.crt and <File>.key.
	File string
	// CommonName and Organization are the user and group at the API server.
	CommonName, Organization string
	// DNSNames and Addresses are set for servers.
	DNSNames  []string
	Addresses []string
}

// Authority signs certificates, which are kept with its own in one folder.
type Authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Open loads the authority of the folder, or makes one.
func Open(dir string) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	authority := &Authority{dir: dir}
	certPEM, err := os.ReadFile(authority.Cert("ca"))
	if errors.Is(err, os.ErrNotExist) {
		return authority, authority.create()
	}
	if err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	keyPEM, err := os.ReadFile(authority.Key("ca"))
	if err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	if authority.cert, err = x509.ParseCertificate(decode(certPEM)); err != nil {
		return nil, fmt.Errorf("%s: %w", authority.Cert("ca"), err)
	}
	if authority.key, err = x509.ParseECPrivateKey(decode(keyPEM)); err != nil {
		return nil, fmt.Errorf("%s: %w", authority.Key("ca"), err)
	}
	return authority, nil
}

// Cert is the file of a certificate.
func (a *Authority) Cert(file string) string { return filepath.Join(a.dir, file+".crt") }

// Key is the file of a key.
func (a *Authority) Key(file string) string { return filepath.Join(a.dir, file+".key") }

// Issue makes the certificates that do not exist yet.
func (a *Authority) Issue(identities ...Identity) error {
	for _, identity := range identities {
		if _, err := os.Stat(a.Cert(identity.File)); err == nil {
			continue
		}
		template, err := certificate(identity.CommonName, identity.Organization)
		if err != nil {
			return err
		}
		template.KeyUsage = x509.KeyUsageDigitalSignature
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		template.DNSNames = identity.DNSNames
		for _, address := range identity.Addresses {
			template.IPAddresses = append(template.IPAddresses, net.ParseIP(address))
		}
		if len(identity.DNSNames)+len(identity.Addresses) > 0 {
			template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		}
		if err := a.sign(identity.File, template); err != nil {
			return err
		}
	}
	return nil
}

// KeyPair makes a key with which ServiceAccount tokens are signed.
func (a *Authority) KeyPair(file string) error {
	if _, err := os.Stat(a.Key(file)); err == nil {
		return nil
	}
	_, err := a.newKey(file)
	return err
}

func (a *Authority) create() error {
	template, err := certificate("devcluster", "")
	if err != nil {
		return err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	return a.sign("ca", template)
}

// sign writes the key before the certificate, whose presence says that both are there.
func (a *Authority) sign(file string, template *x509.Certificate) error {
	key, err := a.newKey(file)
	if err != nil {
		return err
	}
	if template.IsCA {
		a.cert, a.key = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return fmt.Errorf("signing certificate %s: %w", file, err)
	}
	return write(a.Cert(file), "CERTIFICATE", der)
}

func (a *Authority) newKey(file string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making key %s: %w", file, err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("making key %s: %w", file, err)
	}
	return key, write(a.Key(file), "EC PRIVATE KEY", der)
}

func certificate(commonName, organization string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	subject := pkix.Name{CommonName: commonName}
	if organization != "" {
		subject.Organization = []string{organization}
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial, Subject: subject,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(validity),
	}, nil
}

// write is atomic: a run that is killed must not leave half a file behind.
func write(path, kind string, der []byte) error {
	content := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	return nil
}

func decode(content []byte) []byte {
	if block, _ := pem.Decode(content); block != nil {
		return block.Bytes
	}
	return nil
}
