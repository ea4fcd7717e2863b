package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// psqlClient is a pod from which SQL reaches the Cluster as an application's does: by a Service, over TLS, with a password.
type psqlClient struct {
	*fixture

	pod kube.Container
}

func (f *fixture) newClient(t *testing.T) *psqlClient {
	t.Helper()

	pod := restrictedPod(f.namespace, "client")
	f.create(t, pod)

	kube.Eventually(t, time.Minute, "the client pod runs", func(ctx context.Context) error {
		if err := f.Client.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
			return err
		}

		if pod.Status.Phase != corev1.PodRunning {
			return fmt.Errorf("it is %s", pod.Status.Phase)
		}

		return nil
	})

	return &psqlClient{fixture: f, pod: kube.Container{Namespace: f.namespace, Pod: pod.Name, Container: "client"}}
}

// connection says how to connect: libpq's keywords, beside the defaults of newConnection.
type connection map[string]string

// newConnection is what an application does: the -app user at a service, everything verified.
func (c *psqlClient) newConnection(t *testing.T, service string) connection {
	t.Helper()

	app := c.secret(t, naming.SecretApp(c.name))
	c.writeFile(t, "/tmp/ca.crt", c.secret(t, naming.SecretCA(c.name))["ca.crt"])

	return connection{
		"host":            service + "." + c.namespace + ".svc",
		"user":            app["username"],
		"password":        app["password"],
		"dbname":          app["dbname"],
		"sslmode":         "verify-full",
		"sslrootcert":     "/tmp/ca.crt",
		"connect_timeout": "5",
	}
}

func (c *psqlClient) writeFile(t *testing.T, path, content string) {
	t.Helper()

	if content == "" {
		t.Fatalf("nothing to write to %s", path)
	}

	// A key that others may read is refused by libpq.
	_, err := c.ExecInput(t.Context(), c.pod, strings.NewReader(content), "sh", "-c", "umask 077; rm -f "+path+"; cat > "+path)
	if err != nil {
		t.Fatalf("write %s: %v", path, err)
	}
}

func (c *psqlClient) try(ctx context.Context, conn connection, sql string) (string, error) {
	return c.Exec(ctx, c.pod, "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", conn.words(), "-c", sql)
}

// words are the connection as libpq reads it.
func (c connection) words() string {
	var words []string
	for _, key := range slices.Sorted(maps.Keys(c)) {
		words = append(words, key+"='"+strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(c[key])+"'")
	}

	return strings.Join(words, " ")
}

func (c *psqlClient) sql(t *testing.T, conn connection, sql string) string {
	t.Helper()

	out, err := c.try(t.Context(), conn, sql)
	if err != nil {
		t.Fatalf("SQL %q: %v", sql, err)
	}

	return out
}

// waitSQL waits until SQL gives a result.
func (c *psqlClient) waitSQL(t *testing.T, conn connection, sql, want string) {
	t.Helper()
	kube.Eventually(t, time.Minute, fmt.Sprintf("%q at %s gives %q", sql, conn["host"], want), func(ctx context.Context) error {
		got, err := c.try(ctx, conn, sql)
		if err == nil && got != want {
			err = errors.New("it gives " + got)
		}

		return err
	})
}
