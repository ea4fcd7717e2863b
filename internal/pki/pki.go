package pki

import (
	"crypto/x509"
	"time"
)

// Keys of the secrets.
const (
	// KeyCACert is the CA bundle in any of the secrets.
	KeyCACert = "ca.crt"
	// KeyCAKey is the signing CA's key.
	KeyCAKey = "ca.key"
	// KeyTLSCert is the certificate, followed by its intermediates.
	KeyTLSCert = "tls.crt"
	// KeyTLSKey is the certificate's key.
	KeyTLSKey = "tls.key"

	// keyNextCAKey is the key of the CA that is published already and signs next.
	keyNextCAKey = "next-ca.key"
	// keyPending is since when, and for which CA, a replacement has been waiting: "<RFC 3339> <fingerprint>".
	keyPending = "pending"
	// keyPreviousCA and keyPreviousUntil keep the CA of the replaced certificate in the bundle for a while.
	keyPreviousCA    = "previous-ca.crt"
	keyPreviousUntil = "previous-until"
)

// Lifetimes. A CA is published 30 days before it signs, for those who copy bundles by hand, and it stops signing while
// it still outlives every certificate that it signed.
const (
	// CALifetime of our own CAs.
	CALifetime = 365 * day
	// CAPublishBefore its predecessor's end a new CA enters the bundles.
	CAPublishBefore = 150 * day
	// CASignBefore its predecessor's end a new CA begins to sign.
	CASignBefore = 120 * day
	// LeafLifetime of the certificates that we sign. They are renewed after two thirds of it.
	LeafLifetime = 90 * day
	// PublishPeriod is how long a bundle is published before anybody relies on it. A kubelet refreshes mounted secrets
	// and config maps about every 60 to 90 s.
	PublishPeriod = 10 * time.Minute
	// Backdate of what we sign: clocks differ.
	Backdate = 10 * time.Minute

	day = 24 * time.Hour
)

// Fields of the Cluster that Problems speak of.
const (
	fieldServerTLS      = "spec.certificates.serverTLSSecret"
	fieldServerCA       = "spec.certificates.serverCASecret"
	fieldClientCA       = "spec.certificates.clientCASecret"
	fieldReplicationTLS = "spec.certificates.replicationTLSSecret"
	fieldAltDNSNames    = "spec.certificates.serverAltDNSNames"
)

// Input is everything that the certificates of a Cluster depend on.
type Input struct {
	Cluster   string
	Namespace string
	// DNSNames of the server, as from the function DNSNames.
	DNSNames []string
	// Now is the time of the decision.
	Now time.Time

	// OwnCA, OwnServer and OwnReplication are the data of the Cluster's own secrets, nil where there is none.
	OwnCA          map[string][]byte
	OwnServer      map[string][]byte
	OwnReplication map[string][]byte

	// UserServer and the following are the data of the secrets that the user named: nil where none is named, empty but
	// not nil where the named secret does not exist.
	UserServer      map[string][]byte
	UserServerCA    map[string][]byte
	UserClientCA    map[string][]byte
	UserReplication map[string][]byte

	// PublishedServerCA and PublishedClientCA are the bundles that the instances' ConfigMap holds now.
	PublishedServerCA []byte
	PublishedClientCA []byte
}

// Output is what should be.
type Output struct {
	// CA, Server and Replication are the data of the Cluster's own secrets; nil means leave alone or do not make.
	CA          map[string][]byte
	Server      map[string][]byte
	Replication map[string][]byte
	// ServerCABundle verifies servers, ClientCABundle clients. Publish them before the secrets are written.
	ServerCABundle []byte
	ClientCABundle []byte
	// Certificates in use and when they end.
	Certificates []Certificate
	// RenewAt is when to call Plan again at the latest, if nothing else changes.
	RenewAt time.Time
	// Problems are for the user to solve. What runs keeps running with what it has.
	Problems []Problem
	// Warnings are worth a word, but nothing is wrong.
	Warnings []Problem
	// Pending says which of the user's certificates is not in use yet, and when it will be.
	Pending []Problem
}

// Role of a certificate.
type Role string

// The roles, one for each of the Cluster's own secrets.
const (
	RoleCA          Role = "ca"
	RoleServer      Role = "server"
	RoleReplication Role = "replication"
)

// Certificate is a certificate in use.
type Certificate struct {
	Role     Role
	NotAfter time.Time
}

// Problem names a field of the Cluster, what is wrong with what it names, and what to do.
type Problem struct {
	Field   string
	Message string
}

// Plan decides what the secrets and the bundles should hold. An error means that keys could not be made or encoded,
// which a retry may cure; everything that the user can cure is a Problem.
func Plan(in Input) (Output, error) {
	p := planner{in: in}
	user := p.readUser()

	if err := p.planAuthority(); err != nil {
		return Output{}, err
	}

	server, err := p.planLeaf(p.serverRole(user))
	if err != nil {
		return Output{}, err
	}

	replication, err := p.planLeaf(p.replicationRole(user))
	if err != nil {
		return Output{}, err
	}

	p.out.ServerCABundle = encode(p.serverBundle(user, server))
	p.out.ClientCABundle = encode(p.clientBundle(user, replication))
	p.out.Server = server.secret(p.out.ServerCABundle)
	p.out.Replication = replication.secret(p.out.ClientCABundle)
	p.out.CA = p.authority.secret(p.out.ServerCABundle)
	p.report(server, replication)

	return p.out, nil
}

// planner carries one call of Plan.
type planner struct {
	in        Input
	out       Output
	authority authority
}

func (p *planner) problem(field, message string) {
	p.out.Problems = append(p.out.Problems, Problem{Field: field, Message: message})
}

func (p *planner) warn(field, message string) {
	p.out.Warnings = append(p.out.Warnings, Problem{Field: field, Message: message})
}

// at makes sure that Plan is called again at t.
func (p *planner) at(t time.Time) {
	if soonest := p.in.Now.Add(time.Minute); t.Before(soonest) {
		t = soonest
	}

	if p.out.RenewAt.IsZero() || t.Before(p.out.RenewAt) {
		p.out.RenewAt = t
	}
}

// serverBundle starts with the CA of the server certificate in use or to come. Our own CAs are always part of it: whoever
// holds their key in this namespace holds the server's too.
func (p *planner) serverBundle(user userCertificates, server leaf) []*x509.Certificate {
	return p.bundle(user.serverAnchors, p.authority.certificates(), server.anchors, server.previous)
}

// clientBundle holds our own CAs unless the user brought both the replication certificate and its CA: then nobody but
// the user's CA makes clients.
func (p *planner) clientBundle(user userCertificates, replication leaf) []*x509.Certificate {
	own := p.authority.certificates()
	if p.in.UserReplication != nil && p.in.UserClientCA != nil && len(user.clientCA) > 0 {
		own = nil
	}

	return p.bundle(own, user.clientCA, user.replicationAnchors, replication.anchors, replication.previous)
}

// bundle joins lists without repetition, and without what has expired.
func (p *planner) bundle(lists ...[]*x509.Certificate) []*x509.Certificate {
	var joined []*x509.Certificate

	for _, list := range lists {
		for _, c := range list {
			if !contains(joined, c) && p.in.Now.Before(c.NotAfter) {
				joined = append(joined, c)
				p.at(c.NotAfter)
			}
		}
	}

	return joined
}

func (p *planner) report(server, replication leaf) {
	if s := p.authority.signing; s != nil {
		p.out.Certificates = append(p.out.Certificates, Certificate{Role: RoleCA, NotAfter: s.certificate.NotAfter})
	}

	if c := server.certificate(); c != nil {
		p.out.Certificates = append(p.out.Certificates, Certificate{Role: RoleServer, NotAfter: c.NotAfter})
		p.at(c.NotAfter)
	}

	if c := replication.certificate(); c != nil {
		p.out.Certificates = append(p.out.Certificates, Certificate{Role: RoleReplication, NotAfter: c.NotAfter})
		p.at(c.NotAfter)
	}
}
