package pki

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/caretaker-dev/caretaker/internal/naming"
)

// How a certificate in use is replaced by the one that is wanted:
//
//	nothing usable in use                              → at once
//	the same CA vouches for both, and it is published  → at once
//	another CA, not yet in the published bundle        → wait until it is
//	another CA, published                              → PublishPeriod later
//
// After a change of CA the replaced one's stays in the bundle for PublishPeriod.

// leafRole is what one of the two certificates is for and what is wanted of it.
type leafRole struct {
	usage      x509.ExtKeyUsage
	commonName string
	dnsNames   []string
	// observed is the data of the secret, published the bundle that verifies it.
	observed  map[string][]byte
	published []*x509.Certificate
	// user is the certificate that the user brought, if it is usable; userNamed, whether one is named at all.
	user      *pair
	userNamed bool
}

// pair is a certificate and its key as the user's secret has them, with the CAs that vouch for it.
type pair struct {
	certPEM []byte
	keyPEM  []byte
	anchors []*x509.Certificate
}

// leaf is a certificate as it should be in its secret.
type leaf struct {
	certPEM []byte
	keyPEM  []byte
	chain   []*x509.Certificate
	// anchors vouch for it and belong into the bundle.
	anchors []*x509.Certificate
	// pending is the value of keyPending.
	pending string
	// previous are the CAs of the certificate before this one, kept until previousUntil.
	previous      []*x509.Certificate
	previousUntil time.Time
}

func (p *planner) serverRole(user userCertificates) leafRole {
	return leafRole{
		usage:      x509.ExtKeyUsageServerAuth,
		commonName: naming.ServiceReadWrite(p.in.Cluster),
		dnsNames:   user.dnsNames,
		observed:   p.in.OwnServer,
		published:  decode(p.in.PublishedServerCA),
		user:       user.server,
		userNamed:  p.in.UserServer != nil,
	}
}

func (p *planner) replicationRole(user userCertificates) leafRole {
	return leafRole{
		usage:      x509.ExtKeyUsageClientAuth,
		commonName: naming.ReplicationUser,
		observed:   p.in.OwnReplication,
		published:  decode(p.in.PublishedClientCA),
		user:       user.replication,
		userNamed:  p.in.UserReplication != nil,
	}
}

// planLeaf decides between the certificate in use and the one that is wanted.
func (p *planner) planLeaf(r leafRole) (leaf, error) {
	current := p.readLeaf(r)
	usable := len(current.anchors) > 0

	if r.userNamed && r.user == nil && (!usable || !p.isOwn(current)) {
		// A Problem has been reported. What the instances have goes on; if they have nothing, neither do we.
		return current, nil
	}

	wanted := p.wantedAnchors(r)
	if usable && p.satisfied(r, current) {
		current.pending = ""
		p.scheduleLeaf(current, r)

		return current, nil
	}

	if usable && !p.mayReplace(r, &current, wanted) {
		p.reportPending(r, current)

		return current, nil
	}

	replacement, err := p.replace(r)
	if err != nil {
		return leaf{}, err
	}

	replacement.previous = slices.DeleteFunc(p.bundle(current.anchors, current.previous), func(c *x509.Certificate) bool {
		return contains(wanted, c)
	})
	if len(replacement.previous) > 0 {
		replacement.previousUntil = p.in.Now.Add(PublishPeriod).Truncate(time.Second).UTC()
		p.at(replacement.previousUntil)
	}

	p.scheduleLeaf(replacement, r)

	return replacement, nil
}

// wantsOwn says whether our own CA signs for this role. Beside the plain case, that is one whose named secret is broken
// while our own certificate is in use: it is renewed as ever.
func (r leafRole) wantsOwn() bool { return r.user == nil }

func (p *planner) wantedAnchors(r leafRole) []*x509.Certificate {
	if r.wantsOwn() {
		return []*x509.Certificate{p.authority.signing.certificate}
	}

	return r.user.anchors
}

func (p *planner) isOwn(l leaf) bool { return intersects(l.anchors, p.authority.certificates()) }

// satisfied says whether the certificate in use is the wanted one, and not due.
func (p *planner) satisfied(r leafRole, current leaf) bool {
	if !r.wantsOwn() {
		return bytes.Equal(current.certPEM, r.user.certPEM) && bytes.Equal(current.keyPEM, r.user.keyPEM)
	}

	c := current.certificate()

	return contains(current.anchors, p.authority.signing.certificate) &&
		c.Subject.CommonName == r.commonName &&
		slices.Equal(namesOf(c), sortedNames(r.dnsNames)) &&
		p.in.Now.Before(renewalTime(c))
}

// mayReplace applies the table above and keeps its note of since when a replacement has been waiting.
func (p *planner) mayReplace(r leafRole, current *leaf, wanted []*x509.Certificate) bool {
	published := slices.DeleteFunc(slices.Clone(wanted), func(c *x509.Certificate) bool { return !contains(r.published, c) })
	if len(published) == 0 {
		current.pending = ""
		p.at(p.in.Now)

		return false
	}

	if intersects(published, current.anchors) {
		return true
	}

	since, ca, _ := strings.Cut(current.pending, " ")

	at, err := time.Parse(time.RFC3339, since)
	if err != nil || ca != fingerprint(published[0]) || at.After(p.in.Now) {
		at = p.in.Now.Truncate(time.Second).UTC()
		current.pending = at.Format(time.RFC3339) + " " + fingerprint(published[0])
	}

	due := at.Add(PublishPeriod)
	if p.in.Now.Before(due) {
		p.at(due)

		return false
	}

	return true
}

// reportPending tells the user why a certificate that is named is not in use yet.
func (p *planner) reportPending(r leafRole, current leaf) {
	if r.wantsOwn() {
		return
	}

	field := fieldServerTLS
	if r.usage == x509.ExtKeyUsageClientAuth {
		field = fieldReplicationTLS
	}

	when := fmt.Sprintf("%d minutes after that", PublishPeriod/time.Minute)

	if since, _, found := strings.Cut(current.pending, " "); found {
		if at, err := time.Parse(time.RFC3339, since); err == nil {
			when = "at " + at.Add(PublishPeriod).Format(time.RFC3339)
		}
	}

	p.out.Pending = append(p.out.Pending, Problem{Field: field, Message: "the certificate is of another CA than the one in use: " +
		"the instances learn that CA first, and use the certificate " + when})
}

func (p *planner) replace(r leafRole) (leaf, error) {
	if !r.wantsOwn() {
		return leaf{
			certPEM: r.user.certPEM, keyPEM: r.user.keyPEM, chain: decode(r.user.certPEM), anchors: r.user.anchors,
		}, nil
	}

	certPEM, keyPEM, err := p.authority.signing.issue(r, p.in.Now)
	if err != nil {
		return leaf{}, err
	}

	return leaf{certPEM: certPEM, keyPEM: keyPEM, chain: decode(certPEM), anchors: p.wantedAnchors(r)}, nil
}

func (p *planner) scheduleLeaf(l leaf, r leafRole) {
	if r.wantsOwn() {
		p.at(renewalTime(l.certificate()))
	}
}

// readLeaf is the certificate in use; without anchors if it cannot be used any more.
func (p *planner) readLeaf(r leafRole) leaf {
	l := leaf{
		certPEM: r.observed[KeyTLSCert],
		keyPEM:  r.observed[KeyTLSKey],
		pending: string(r.observed[keyPending]),
	}

	if until, err := time.Parse(time.RFC3339, string(r.observed[keyPreviousUntil])); err == nil && p.in.Now.Before(until) {
		l.previous = decode(r.observed[keyPreviousCA])
		l.previousUntil = until
		p.at(until)
	}

	if keyMatches(l.certPEM, l.keyPEM) != nil {
		return l
	}

	l.chain = decode(l.certPEM)
	candidates := p.bundle(p.authority.certificates(), decode(r.observed[KeyCACert]))

	if r.user != nil {
		candidates = p.bundle(candidates, r.user.anchors)
	}

	l.anchors = anchorsOf(l.chain, candidates, r.usage, p.in.Now)

	return l
}

func (l leaf) certificate() *x509.Certificate {
	if len(l.chain) == 0 {
		return nil
	}

	return l.chain[0]
}

// secret is the data of the leaf's secret.
func (l leaf) secret(bundle []byte) map[string][]byte {
	if len(l.certPEM) == 0 || len(l.anchors) == 0 {
		return nil
	}

	data := map[string][]byte{KeyTLSCert: l.certPEM, KeyTLSKey: l.keyPEM, KeyCACert: bundle}
	if l.pending != "" {
		data[keyPending] = []byte(l.pending)
	}

	if len(l.previous) > 0 {
		data[keyPreviousCA] = encode(l.previous)
		data[keyPreviousUntil] = []byte(l.previousUntil.Format(time.RFC3339))
	}

	return data
}

// namesOf are the sorted names and addresses of a certificate.
func namesOf(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}

	return sortedNames(names)
}

func sortedNames(names []string) []string {
	set := map[string]struct{}{}
	for _, n := range names {
		set[n] = struct{}{}
	}

	return slices.Sorted(maps.Keys(set))
}
