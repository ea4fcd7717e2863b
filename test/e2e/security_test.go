package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// TestAccess is about who gets in: passwords, certificates, services, rights.
func TestAccess(t *testing.T) {
	t.Parallel()

	f := newFixture(t, "access")
	authorities := f.userCertificates(t)
	f.start(t, f.newCluster(2, func(spec *postgresqlv1.ClusterSpec) {
		// As existing manifests have it: a server secret with its own ca.crt, and a CA for clients.
		spec.Certificates = &postgresqlv1.CertificatesConfiguration{ServerTLSSecret: serverSecret, ClientCASecret: clientCASecret}
		spec.PostgreSQL.PgHBA = []string{"hostssl app auditor all cert"}
		spec.Monitoring = &postgresqlv1.MonitoringConfiguration{EnablePodMonitor: true}
		spec.Backup = &postgresqlv1.BackupConfiguration{
			BarmanObjectStore: &postgresqlv1.ObjectStore{DestinationPath: "s3://backups/db"},
		}
		spec.Env = []corev1.EnvVar{{Name: "TZ", Value: "UTC"}}
		spec.ProjectedVolumeTemplate = &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{
			Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: clientCASecret}},
		}}}
		spec.Managed = &postgresqlv1.ManagedConfiguration{Services: &postgresqlv1.ManagedServices{
			DisabledDefaultServices: []postgresqlv1.ServiceSelectorType{postgresqlv1.ServiceRead},
			Additional: []postgresqlv1.ManagedService{{
				SelectorType:    postgresqlv1.ServiceReadWrite,
				ServiceTemplate: postgresqlv1.ServiceTemplate{Metadata: postgresqlv1.ServiceTemplateMetadata{Name: "orders", Labels: map[string]string{"team": "orders"}}},
			}},
		}}
	}))
	c := f.newClient(t)
	given := given{psqlClient: c, authorities: authorities}

	step(t, f, "the spec reaches the pods, and what cannot be done yet is said", specReachesPods)
	step(t, c, "managed services", managedServices)
	step(t, f, "rights of the pods' ServiceAccount", leastRights)
	step(t, f, "pods are locked down", lockedDown)
	step(t, c, "a password is changed", rotatePassword)
	step(t, c, "superuser access", superuser)
	step(t, c, "the application's secret is lost", loseSecret)
	step(t, given, "the user's certificates", clientCertificates)
	step(t, given, "the user's certificate is renewed", renewCertificate)

	if f.environment.long {
		step(t, c, "back to certificates of our own", ownCertificates)
	}
}

func specReachesPods(t *testing.T, f *fixture) {
	t.Helper()

	all := conditionsOf(f.cluster(t))

	if err := f.Clientset.Discovery().RESTClient().Get().AbsPath("/apis/monitoring.coreos.com/v1").Do(t.Context()).Error(); err != nil &&
		!strings.Contains(all, postgresqlv1.ConditionPodMonitor+"=False ("+postgresqlv1.ReasonPodMonitorAPINotFound) {
		t.Errorf("no word about the PodMonitor, whose API is not installed: %s", all)
	}

	if !strings.Contains(all, postgresqlv1.ConditionContinuousArchiving+"=False") {
		t.Errorf("no word about the backup: %s", all)
	}

	if got, err := f.Exec(t.Context(), f.container(f.primary(t)), "printenv", "TZ"); err != nil || got != "UTC" {
		t.Errorf("spec.env does not reach the container: %q, %v", got, err)
	}

	if got, err := f.Exec(t.Context(), f.container(f.primary(t)), "head", "-1", "/projected/ca.crt"); err != nil || got != "-----BEGIN CERTIFICATE-----" {
		t.Errorf("spec.projectedVolumeTemplate does not reach the container: %q, %v", got, err)
	}
}

func managedServices(t *testing.T, c *psqlClient) {
	t.Helper()

	service := &corev1.Service{}
	if err := c.Client.Get(t.Context(), client.ObjectKey{Namespace: c.namespace, Name: "orders"}, service); err != nil {
		t.Fatalf("get the additional service: %v", err)
	}

	if service.Labels["team"] != "orders" {
		t.Errorf("its labels are %v", service.Labels)
	}

	// verify-full: the certificate knows the service's name, too.
	if got := c.sql(t, c.newConnection(t, "orders"), "SELECT pg_is_in_recovery()"); got != "f" {
		t.Errorf("it leads to a standby")
	}

	if err := c.isGone(t.Context(), &corev1.Service{}, naming.ServiceRead(c.name)); err != nil {
		t.Errorf("the disabled service -r: %v", err)
	}

	c.change(t, func(cluster *postgresqlv1.Cluster) { cluster.Spec.Managed = nil })

	kube.Eventually(t, time.Minute, "the additional service goes, the default one comes back", func(ctx context.Context) error {
		if err := c.isGone(ctx, &corev1.Service{}, "orders"); err != nil {
			return err
		}

		return c.Client.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: naming.ServiceRead(c.name)}, service)
	})
}

// leastRights asks the API server what the pods' own account may do.
func leastRights(t *testing.T, f *fixture) {
	t.Helper()

	tests := []struct {
		verb, group, resource, name string
		want                        bool
	}{
		{"update", postgresqlv1.GroupVersion.Group, "clusterterms", f.name, true},
		{"patch", "", "pods", "db-0", true},
		{"update", postgresqlv1.GroupVersion.Group, "clusterterms", "other", false},
		{"create", postgresqlv1.GroupVersion.Group, "clusterterms", f.name, false},
		{"delete", postgresqlv1.GroupVersion.Group, "clusterterms", f.name, false},
		{"get", postgresqlv1.GroupVersion.Group, "clusters", f.name, false},
		{"patch", "", "pods", "client", false},
		{"delete", "", "pods", "db-0", false},
		{"list", "", "pods", "", false},
		{"list", "", "secrets", "", false},
		{"get", "", "secrets", "other", false},
		{"create", "", "pods/exec", "", false},
	}

	for _, tt := range tests {
		resource, subresource, _ := strings.Cut(tt.resource, "/")
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:   "system:serviceaccount:" + f.namespace + ":" + naming.ServiceAccount(f.name),
			Groups: []string{"system:serviceaccounts", "system:authenticated"},
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: f.namespace, Verb: tt.verb, Group: tt.group, Resource: resource, Subresource: subresource, Name: tt.name,
			},
		}}
		f.create(t, review)

		if review.Status.Allowed != tt.want {
			t.Errorf("%s %s %s: allowed is %t", tt.verb, tt.resource, tt.name, review.Status.Allowed)
		}
	}
}

func lockedDown(t *testing.T, f *fixture) {
	t.Helper()

	primary := f.primary(t)

	for what, command := range map[string]string{
		"root's files are not readable":  "! cat /etc/shadow",
		"the root file system is sealed": "! touch /sealed",
		"no privileges can be gained":    "grep -q '^NoNewPrivs:.1$' /proc/self/status",
		"no capabilities":                "grep -q '^CapEff:.0000000000000000$' /proc/self/status",
		"the user has a name":            "whoami",
		"/dev/shm is memory of our own":  "grep -q ' /dev/shm tmpfs' /proc/mounts",
	} {
		if out, err := f.Exec(t.Context(), f.container(primary), "sh", "-c", command); err != nil {
			t.Errorf("%s: %q: %v", what, out, err)
		}
	}

	if got := f.sql(t, primary, "postgres", "SHOW password_encryption"); got != "scram-sha-256" {
		t.Errorf("password_encryption is %s", got)
	}
}

func rotatePassword(t *testing.T, c *psqlClient) {
	t.Helper()

	starts := c.postmasterStarts(t)
	old := c.newConnection(t, naming.ServiceReadWrite(c.name))
	c.setSecret(t, naming.SecretApp(c.name), map[string]string{"password": `it's "new" \ now`})

	fresh := c.newConnection(t, naming.ServiceReadWrite(c.name))
	kube.Eventually(t, 2*time.Minute, "the new password opens", func(ctx context.Context) error {
		_, err := c.try(ctx, fresh, "SELECT 1")

		return err
	})

	if _, err := c.try(t.Context(), old, "SELECT 1"); err == nil {
		t.Errorf("the old password still opens")
	}

	kube.Eventually(t, time.Minute, "the secret's uri has the new password", func(ctx context.Context) error {
		_, err := c.Exec(ctx, c.pod, "psql", "-XAtc", "SELECT 1", c.secret(t, naming.SecretApp(c.name))["uri"])

		return err
	})

	if diff := cmp.Diff(starts, c.postmasterStarts(t)); diff != "" {
		t.Errorf("PostgreSQL was restarted (-before +after):\n%s", diff)
	}
}

func superuser(t *testing.T, c *psqlClient) {
	t.Helper()

	if err := c.isGone(t.Context(), &corev1.Secret{}, naming.SecretSuperuser(c.name)); err != nil {
		t.Errorf("there is a superuser's secret, though nobody asked: %v", err)
	}

	yes := true
	c.change(t, func(cluster *postgresqlv1.Cluster) { cluster.Spec.EnableSuperuserAccess = &yes })

	// The kubelet's own round of mounted secrets takes a minute and more.
	c.waitReadyWithin(t, 20*time.Second)

	secret := c.secret(t, naming.SecretSuperuser(c.name))
	conn := c.newConnection(t, naming.ServiceReadWrite(c.name))
	conn["user"], conn["password"] = secret["username"], secret["password"]

	if got := c.sql(t, conn, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"); got != "t" {
		t.Errorf("the Cluster is ready, and %s is no superuser", conn["user"])
	}
}

// loseSecret: a new password is made, and works as soon as the Cluster is ready again.
func loseSecret(t *testing.T, c *psqlClient) {
	t.Helper()

	before := c.secret(t, naming.SecretApp(c.name))["password"]
	lost := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: naming.SecretApp(c.name)}}

	if err := c.Client.Delete(t.Context(), lost); err != nil {
		t.Fatalf("delete the application's secret: %v", err)
	}

	kube.Eventually(t, 20*time.Second, "there is a new password, and it opens", func(ctx context.Context) error {
		secret := &corev1.Secret{}
		if err := c.Client.Get(ctx, client.ObjectKeyFromObject(lost), secret); err != nil {
			return err
		}

		if string(secret.Data["password"]) == before {
			return errors.New("it is the old one")
		}

		conn := c.newConnection(t, naming.ServiceReadWrite(c.name))
		_, err := c.try(ctx, conn, "SELECT 1")

		return err
	})
}

// Names of the user's secrets.
const (
	serverSecret   = "postgresql-server-cert"
	clientCASecret = "postgresql-ca-cert"
)

// authorities are the user's.
type authorities struct{ server, client authority }

// given is a client, and what the user's certificates are signed with.
type given struct {
	*psqlClient
	authorities
}

func (f *fixture) userCertificates(t *testing.T) authorities {
	t.Helper()

	given := authorities{server: newAuthority(t, "the user's server CA"), client: newAuthority(t, "the user's client CA")}
	server := given.server.issue(t, "server", f.host(naming.ServiceReadWrite(f.name)), f.host("orders"))
	f.setSecret(t, serverSecret, map[string]string{
		"tls.crt": server.certificate, "tls.key": server.key, "ca.crt": given.server.certificate,
	})
	f.setSecret(t, clientCASecret, map[string]string{"ca.crt": given.client.certificate})

	return given
}

// host of a service.
func (f *fixture) host(service string) string { return service + "." + f.namespace + ".svc" }

func clientCertificates(t *testing.T, c given) {
	t.Helper()

	c.fixture.sql(t, c.primary(t), "app", "CREATE ROLE auditor LOGIN")

	conn := c.newConnection(t, naming.ServiceReadWrite(c.name))
	delete(conn, "password")
	conn["user"] = "auditor"
	conn["sslcert"], conn["sslkey"] = "/tmp/client.crt", "/tmp/client.key"

	// Nothing but the user's own CA: the server shows the user's certificate.
	c.writeFile(t, "/tmp/ca.crt", c.server.certificate)

	person := c.client.issue(t, "auditor")
	c.writeFile(t, "/tmp/client.crt", person.certificate)
	c.writeFile(t, "/tmp/client.key", person.key)

	if got := c.sql(t, conn, "SELECT current_user"); got != "auditor" {
		t.Errorf("the certificate's owner is %s", got)
	}

	stranger := newAuthority(t, "somebody").issue(t, "auditor")
	c.writeFile(t, "/tmp/client.crt", stranger.certificate)
	c.writeFile(t, "/tmp/client.key", stranger.key)

	if _, err := c.try(t.Context(), conn, "SELECT 1"); err == nil {
		t.Errorf("a stranger's certificate opens")
	}

	other := c.client.issue(t, "app")
	c.writeFile(t, "/tmp/client.crt", other.certificate)
	c.writeFile(t, "/tmp/client.key", other.key)

	if _, err := c.try(t.Context(), conn, "SELECT 1"); err == nil {
		t.Errorf("a certificate of another name opens")
	}

	var names []string
	for _, certificate := range c.cluster(t).Status.Certificates {
		names = append(names, certificate.Secret)
	}

	if len(names) < 2 {
		t.Errorf("status lists the certificates %v", names)
	}
}

// renewCertificate gives the server a certificate that has one more name.
func renewCertificate(t *testing.T, c given) {
	t.Helper()

	starts := c.postmasterStarts(t)
	readOnly := c.newConnection(t, naming.ServiceReadOnly(c.name))

	if _, err := c.try(t.Context(), readOnly, "SELECT 1"); err == nil || !strings.Contains(err.Error(), "does not match host name") {
		t.Errorf("-ro is not a name of the first certificate, and yet: %v", err)
	}

	server := c.server.issue(t, "server", c.host(naming.ServiceReadWrite(c.name)), c.host(naming.ServiceReadOnly(c.name)))
	c.setSecret(t, serverSecret, map[string]string{"tls.crt": server.certificate, "tls.key": server.key})

	kube.Eventually(t, 3*time.Minute, "the server shows the new certificate", func(ctx context.Context) error {
		_, err := c.try(ctx, readOnly, "SELECT 1")

		return err
	})

	c.waitReady(t)
	c.waitPrimarySQL(t, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'", "1")

	if diff := cmp.Diff(starts, c.postmasterStarts(t)); diff != "" {
		t.Errorf("PostgreSQL was restarted for a certificate (-before +after):\n%s", diff)
	}
}

// ownCertificates: clients learn the new CA first, so that it takes its time.
func ownCertificates(t *testing.T, c *psqlClient) {
	t.Helper()

	starts := c.postmasterStarts(t)
	conn := c.newConnection(t, naming.ServiceRead(c.name))
	c.change(t, func(cluster *postgresqlv1.Cluster) { cluster.Spec.Certificates = nil })

	// -r is a name of ours only.
	kube.Eventually(t, 20*time.Minute, "the server shows a certificate of ours", func(ctx context.Context) error {
		conn = c.newConnection(t, naming.ServiceRead(c.name))
		_, err := c.try(ctx, conn, "SELECT 1")

		return err
	})

	if diff := cmp.Diff(starts, c.postmasterStarts(t)); diff != "" {
		t.Errorf("PostgreSQL was restarted for certificates (-before +after):\n%s", diff)
	}

	// The replica reconnects with what is in force now.
	c.replacePod(t, c.replicas(t)[0])
	c.waitReady(t)
	c.waitPrimarySQL(t, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'", "1")
}

// waitPrimarySQL asks the primary as its superuser.
func (c *psqlClient) waitPrimarySQL(t *testing.T, sql, want string) {
	t.Helper()
	c.fixture.waitSQL(t, c.primary(t), "postgres", sql, want)
}

// authority is a CA of a test.
type authority struct {
	certificate string
	parsed      *x509.Certificate
	key         *ecdsa.PrivateKey
}

type issued struct{ certificate, key string }

func newAuthority(t *testing.T, name string) authority {
	t.Helper()

	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}

	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatalf("make CA: %v", err)
	}

	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("make CA: %v", err)
	}

	return authority{certificate: pemBlock("CERTIFICATE", der), parsed: parsed, key: key}
}

func (a authority) issue(t *testing.T, name string, hosts ...string) issued {
	t.Helper()

	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames: hosts,
	}

	der, err := x509.CreateCertificate(rand.Reader, template, a.parsed, key.Public(), a.key)
	if err != nil {
		t.Fatalf("issue certificate: %v", err)
	}

	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatalf("encode key: %v", err)
	}

	return issued{certificate: pemBlock("CERTIFICATE", der), key: pemBlock("PRIVATE KEY", encoded)}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("make key: %v", err)
	}

	return key
}

func serial(t *testing.T) *big.Int {
	t.Helper()

	n, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatalf("make serial number: %v", err)
	}

	return n
}

func pemBlock(kind string, der []byte) string {
	var out bytes.Buffer
	_ = pem.Encode(&out, &pem.Block{Type: kind, Bytes: der})

	return out.String()
}
