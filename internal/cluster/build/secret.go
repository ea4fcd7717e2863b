package build

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// What a client should set: after a failover it must not wait for a dead server longer than this.
const (
	connectTimeoutSeconds = 5
	tcpUserTimeoutMillis  = 10000
)

// Secrets of a Cluster.
func Secrets(in Input) []Object {
	name := in.Cluster.Name

	var objects []Object

	add := func(secret string, kind corev1.SecretType, data map[string][]byte) {
		if data != nil {
			objects = append(objects, newSecret(in, secret, kind, data))
		}
	}

	add(naming.SecretCA(name), corev1.SecretTypeOpaque, in.Certificates.CA)
	add(naming.SecretServer(name), corev1.SecretTypeTLS, in.Certificates.Server)
	add(naming.SecretReplication(name), corev1.SecretTypeTLS, in.Certificates.Replication)
	add(naming.SecretApp(name), corev1.SecretTypeBasicAuth, ConnectionData(in.Cluster, in.App))
	add(naming.SecretSuperuser(name), corev1.SecretTypeBasicAuth, ConnectionData(in.Cluster, in.Superuser))
	add(naming.SecretCopies(name), corev1.SecretTypeOpaque, in.Copies)

	return objects
}

func newSecret(in Input, name string, kind corev1.SecretType, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: meta(in, name),
		Type:       kind,
		Data:       data,
	}
}

// ConnectionData is everything that an application may want to connect with. The keys are CloudNativePG's where both
// have them.
func ConnectionData(cluster *v1.Cluster, credentials *Credentials) map[string][]byte {
	if credentials == nil {
		return nil
	}

	primary := connection(cluster, credentials, naming.ServiceReadWrite(cluster.Name), "read-write")
	data := map[string]string{
		"username": credentials.User,
		"user":     credentials.User,
		"password": credentials.Password,
		"dbname":   credentials.Database,
		"host":     primary.Host,
		"port":     strconv.Itoa(primary.Port),
		"uri":      primary.URI(),
		"jdbc-uri": primary.JDBC(),
		"pgpass":   primary.PGPass(),
	}

	if !disabled(cluster, v1.ServiceReadOnly) {
		replicas := connection(cluster, credentials, naming.ServiceReadOnly(cluster.Name), "standby")
		data["ro-host"] = replicas.Host
		data["ro-uri"] = replicas.URI()
		data["ro-jdbc-uri"] = replicas.JDBC()
	}

	encoded := make(map[string][]byte, len(data))
	for key, value := range data {
		encoded[key] = []byte(value)
	}

	return encoded
}

func connection(cluster *v1.Cluster, credentials *Credentials, service, session string) postgres.ConnInfo {
	return postgres.ConnInfo{
		Host:                  service + "." + cluster.Namespace + ".svc",
		Port:                  naming.PortPostgreSQL,
		User:                  credentials.User,
		Password:              credentials.Password,
		DBName:                credentials.Database,
		SSLMode:               "require",
		TargetSessionAttrs:    session,
		ConnectTimeoutSeconds: connectTimeoutSeconds,
		TCPUserTimeoutMillis:  tcpUserTimeoutMillis,
	}
}
