package pki

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/x509"
	"slices"
	"time"
)

// The Cluster's own CA, in one line of time (d = days before the end of the CA that signs):
//
//	150 d  a next CA is made and published in the bundles
//	120 d  the next CA signs; its predecessor's key is gone, its certificate stays in the bundles
//	  0 d  the predecessor has expired, as has everything that it signed (90 d at most), and leaves the bundles
//
// If the secret is lost, a new CA signs at once and the lost one's certificate is taken from the other secrets, so that
// what it signed is still known until planLeaf has replaced it.

// issuer is a CA that can sign.
type issuer struct {
	certificate *x509.Certificate
	key         crypto.Signer
	// keyPEM is the key as the secret holds it.
	keyPEM []byte
}

// authority is the Cluster's own CAs; the zero value is a Cluster that has none.
type authority struct {
	signing *issuer
	next    *issuer
	retired []*x509.Certificate
}

// planAuthority fills p.authority. A Cluster that does not need a CA of its own keeps the one it has, but gets none.
func (p *planner) planAuthority() error {
	if p.in.UserServer != nil && p.in.UserReplication != nil && p.in.OwnCA == nil {
		return nil
	}

	a := p.readAuthority()

	if a.signing == nil {
		a.signing, a.next = a.next, nil
	}

	if a.signing == nil {
		made, err := newCA(p.in.Cluster, p.in.Namespace, p.in.Now)
		if err != nil {
			return err
		}

		a.signing = made
	}

	end := a.signing.certificate.NotAfter

	if a.next == nil && !p.in.Now.Before(end.Add(-CAPublishBefore)) {
		made, err := newCA(p.in.Cluster, p.in.Namespace, p.in.Now)
		if err != nil {
			return err
		}

		a.next = made
	}

	if a.next != nil && !p.in.Now.Before(end.Add(-CASignBefore)) {
		a.retired = append(a.retired, a.signing.certificate)
		a.signing, a.next = a.next, nil
	}

	p.authority = a
	p.authority.sortRetired()
	p.scheduleAuthority()

	return nil
}

func (p *planner) scheduleAuthority() {
	end := p.authority.signing.certificate.NotAfter
	if p.authority.next == nil {
		p.at(end.Add(-CAPublishBefore))
	} else {
		p.at(end.Add(-CASignBefore))
	}
}

// readAuthority takes what is usable from the observed secrets. What does not fit together is our own broken data: it is
// left out, and so made anew.
func (p *planner) readAuthority() authority {
	certificates := p.ownCertificates()

	a := authority{
		signing: findIssuer(certificates, p.in.OwnCA[KeyCAKey]),
		next:    findIssuer(certificates, p.in.OwnCA[keyNextCAKey]),
	}

	for _, c := range certificates {
		if a.signing != nil && c == a.signing.certificate || a.next != nil && c == a.next.certificate {
			continue
		}

		a.retired = append(a.retired, c)
	}

	return a
}

// ownCertificates are our unexpired CAs. The CA's secret is the truth; only when it is lost are the other secrets asked,
// and never the ConfigMap, which more people can write.
func (p *planner) ownCertificates() []*x509.Certificate {
	sources := [][]byte{p.in.OwnCA[KeyCACert]}
	if p.in.OwnCA == nil {
		sources = [][]byte{p.in.OwnServer[KeyCACert], p.in.OwnReplication[KeyCACert]}
	}

	var own []*x509.Certificate

	for _, source := range sources {
		for _, c := range decode(source) {
			if isOwnCA(c, p.in.Cluster, p.in.Namespace) && p.in.Now.Before(c.NotAfter) && !contains(own, c) {
				own = append(own, c)
			}
		}
	}

	return own
}

// certificates of the authority: the signing CA, the next, the retired ones.
func (a *authority) certificates() []*x509.Certificate {
	var all []*x509.Certificate

	if a.signing != nil {
		all = append(all, a.signing.certificate)
	}

	if a.next != nil {
		all = append(all, a.next.certificate)
	}

	return append(all, a.retired...)
}

// secret is the data of the CA's secret. Its ca.crt is the whole bundle, for applications that verify the server.
func (a *authority) secret(bundle []byte) map[string][]byte {
	if a.signing == nil {
		return nil
	}

	data := map[string][]byte{KeyCACert: bundle, KeyCAKey: a.signing.keyPEM}
	if a.next != nil {
		data[keyNextCAKey] = a.next.keyPEM
	}

	return data
}

func (a *authority) sortRetired() {
	slices.SortFunc(a.retired, func(x, y *x509.Certificate) int {
		return cmp.Or(y.NotAfter.Compare(x.NotAfter), bytes.Compare(x.Raw, y.Raw))
	})
}

// findIssuer is the certificate that the key belongs to.
func findIssuer(certificates []*x509.Certificate, keyPEM []byte) *issuer {
	key, err := decodeKey(keyPEM)
	if err != nil {
		return nil
	}

	for _, c := range certificates {
		if samePublicKey(c.PublicKey, key.Public()) {
			return &issuer{certificate: c, key: key, keyPEM: keyPEM}
		}
	}

	return nil
}

// renewalTime is after two thirds of a certificate's life.
func renewalTime(c *x509.Certificate) time.Time {
	return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) / 3 * 2)
}
