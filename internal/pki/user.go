package pki

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/caretaker-dev/caretaker/internal/naming"
)

// userCertificates is what is usable of the secrets that the user named.
type userCertificates struct {
	server      *pair
	replication *pair
	// serverAnchors and replicationAnchors belong into the bundles, the leaf being in use already or not.
	serverAnchors      []*x509.Certificate
	replicationAnchors []*x509.Certificate
	// clientCA is added to the client bundle.
	clientCA []*x509.Certificate
	// dnsNames for the server certificate that we make.
	dnsNames []string
}

// readUser checks what the user named and reports what is wrong with it.
func (p *planner) readUser() userCertificates {
	user := userCertificates{dnsNames: p.readNames(), clientCA: p.readClientCA()}

	if p.in.UserServer != nil {
		user.server = p.readServer()
	} else if p.in.UserServerCA != nil {
		p.problem(fieldServerCA, "is used only together with "+fieldServerTLS+"; name the server's certificate too, or remove it")
	}

	if user.server != nil {
		user.serverAnchors = user.server.anchors
	}

	if p.in.UserReplication != nil {
		user.replication = p.readReplication(user.clientCA)
	}

	if user.replication != nil {
		user.replicationAnchors = user.replication.anchors
	}

	return user
}

// missing reports a secret that does not exist, or holds nothing. Which of the two makes no difference to the remedy.
func (p *planner) missing(field string, data map[string][]byte, keys ...string) bool {
	if len(data) > 0 {
		return false
	}

	p.problem(field, fmt.Sprintf("there is no such secret in the namespace %s, or it is empty; create it with %s, or correct the name",
		p.in.Namespace, strings.Join(keys, ", ")))

	return true
}

func (p *planner) readServer() *pair {
	if p.missing(fieldServerTLS, p.in.UserServer, KeyTLSCert, KeyTLSKey, KeyCACert) ||
		p.in.UserServerCA != nil && p.missing(fieldServerCA, p.in.UserServerCA, KeyCACert) {
		return nil
	}

	caField, caData := fieldServerTLS, p.in.UserServer[KeyCACert]
	if p.in.UserServerCA != nil {
		caField, caData = fieldServerCA, p.in.UserServerCA[KeyCACert]
	}

	candidates := decode(caData)
	if len(candidates) == 0 {
		p.problem(caField, fmt.Sprintf("the secret has no certificate under %s; put the CA that signed the server's certificate there, or name its secret in %s",
			KeyCACert, fieldServerCA))

		return nil
	}

	user := p.readPair(fieldServerTLS, p.in.UserServer, candidates, x509.ExtKeyUsageServerAuth)
	if user == nil {
		return nil
	}

	p.warnNames(decode(user.certPEM)[0])

	return user
}

// warnNames: clients that verify the host name would refuse the server, though nothing of ours does.
func (p *planner) warnNames(c *x509.Certificate) {
	var missing []string

	for _, name := range ServiceDNSNames(naming.ServiceReadWrite(p.in.Cluster), p.in.Namespace)[:3] {
		if c.VerifyHostname(name) != nil {
			missing = append(missing, name)
		}
	}

	if len(missing) > 0 {
		p.warn(fieldServerTLS, "the certificate is not valid for "+strings.Join(missing, ", ")+
			": clients that connect to these names with sslmode=verify-full will refuse it; add them to its subject alternative names")
	}
}

func (p *planner) readReplication(clientCA []*x509.Certificate) *pair {
	if p.missing(fieldReplicationTLS, p.in.UserReplication, KeyTLSCert, KeyTLSKey, KeyCACert) {
		return nil
	}

	candidates := clientCA
	if p.in.UserClientCA == nil {
		candidates = decode(p.in.UserReplication[KeyCACert])
	}

	if len(candidates) == 0 {
		if p.in.UserClientCA == nil {
			p.problem(fieldReplicationTLS, fmt.Sprintf("the secret has no certificate under %s; put the CA that signed it there, or name its secret in %s",
				KeyCACert, fieldClientCA))
		}

		return nil
	}

	user := p.readPair(fieldReplicationTLS, p.in.UserReplication, candidates, x509.ExtKeyUsageClientAuth)
	if user == nil {
		return nil
	}

	if name := decode(user.certPEM)[0].Subject.CommonName; name != naming.ReplicationUser {
		p.problem(fieldReplicationTLS, fmt.Sprintf("the certificate's common name is %q but must be %q, the role that replicas connect as; have it issued again with that name",
			name, naming.ReplicationUser))

		return nil
	}

	return user
}

// readPair is a certificate and its key, if they can be used now.
func (p *planner) readPair(field string, data map[string][]byte, candidates []*x509.Certificate, usage x509.ExtKeyUsage) *pair {
	certPEM, keyPEM := data[KeyTLSCert], data[KeyTLSKey]

	chain := decode(certPEM)
	if len(chain) == 0 || len(keyPEM) == 0 {
		p.problem(field, fmt.Sprintf("the secret must hold a PEM certificate under %s and its key under %s; create it, or wait until its issuer has",
			KeyTLSCert, KeyTLSKey))

		return nil
	}

	if err := keyMatches(certPEM, keyPEM); err != nil {
		p.problem(field, fmt.Sprintf("%s cannot be used with %s (%v); put the unencrypted key that belongs to the certificate there", KeyTLSKey, KeyTLSCert, err))

		return nil
	}

	c := chain[0]

	switch {
	case p.in.Now.Before(c.NotBefore):
		p.problem(field, fmt.Sprintf("the certificate is not valid before %s; replace it, or wait", c.NotBefore.UTC().Format(time.RFC3339)))
		p.at(c.NotBefore)

		return nil
	case !p.in.Now.Before(c.NotAfter):
		p.problem(field, fmt.Sprintf("the certificate ended at %s; replace it", c.NotAfter.UTC().Format(time.RFC3339)))

		return nil
	}

	anchors := anchorsOf(chain, candidates, usage, p.in.Now)
	if len(anchors) == 0 {
		p.problem(field, fmt.Sprintf("the certificate cannot be verified with its CA for use as a %s certificate; check that the CA is the one that signed it, that %s holds the intermediates, and its extended key usage",
			usageName(usage), KeyTLSCert))

		return nil
	}

	return &pair{certPEM: certPEM, keyPEM: keyPEM, anchors: anchors}
}

func usageName(usage x509.ExtKeyUsage) string {
	if usage == x509.ExtKeyUsageServerAuth {
		return "server"
	}

	return "client"
}

// readClientCA is the CA that the user wants accepted. If its secret is broken, what is published stays, so that clients
// are not locked out by a slip.
func (p *planner) readClientCA() []*x509.Certificate {
	if p.in.UserClientCA == nil {
		return nil
	}

	certificates := slices.DeleteFunc(decode(p.in.UserClientCA[KeyCACert]), func(c *x509.Certificate) bool { return !c.IsCA })
	if len(certificates) > 0 {
		return certificates
	}

	if !p.missing(fieldClientCA, p.in.UserClientCA, KeyCACert) {
		p.problem(fieldClientCA, fmt.Sprintf("the secret has no CA certificate under %s; put the CA that signs the clients' certificates there", KeyCACert))
	}

	return slices.DeleteFunc(decode(p.in.PublishedClientCA), func(c *x509.Certificate) bool {
		return isOwnCA(c, p.in.Cluster, p.in.Namespace)
	})
}

// readNames are the wanted names in their one spelling; what cannot be in a certificate is reported and left out.
func (p *planner) readNames() []string {
	var names []string

	for _, name := range p.in.DNSNames {
		if ip, err := netip.ParseAddr(name); err == nil {
			names = append(names, ip.Unmap().WithZone("").String())

			continue
		}

		name = strings.ToLower(name)
		if len(validation.IsDNS1123Subdomain(name)) > 0 && len(validation.IsWildcardDNS1123Subdomain(name)) > 0 {
			p.problem(fieldAltDNSNames, fmt.Sprintf("%q is neither a DNS name nor an IP address; correct it", name))

			continue
		}

		names = append(names, name)
	}

	return sortedNames(names)
}
