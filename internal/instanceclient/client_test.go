package instanceclient_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/instanceclient"
	"github.com/caretaker-dev/caretaker/internal/pki"
)

func certificates(t *testing.T) pki.Output {
	t.Helper()

	made, err := pki.Plan(pki.Input{Cluster: "demo", Namespace: "test", DNSNames: pki.DNSNames("demo", "test"), Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}

	return made
}

// serve is an instance's status server with these certificates; connections counts those that were opened.
func serve(t *testing.T, certs pki.Output, handler http.HandlerFunc) (instanceclient.Target, *int) {
	t.Helper()

	pair, err := tls.X509KeyPair(certs.Server["tls.crt"], certs.Server["tls.key"])
	if err != nil {
		t.Fatal(err)
	}

	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certs.ClientCABundle)

	connections := 0
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections++
		}
	}
	server.StartTLS()
	t.Cleanup(server.Close)

	return instanceclient.Target{
		Name: "demo-0", Address: server.Listener.Addr().String(), ServerCA: certs.ServerCABundle,
		ClientCert: certs.Replication["tls.crt"], ClientKey: certs.Replication["tls.key"],
	}, &connections
}

func TestStatus(t *testing.T) {
	certs := certificates(t)
	target, connections := serve(t, certs, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"instance":"demo-0","ready":true,"somethingNew":1}`))
	})
	client := instanceclient.New(clock.RealClock{})

	for range 3 {
		// The address is an IP, which is not in the certificate: the chain counts.
		status, err := client.Status(t.Context(), target)
		if err != nil || !status.Ready {
			t.Fatalf("got %+v, %v", status, err)
		}
	}

	if *connections != 1 {
		t.Errorf("%d connections for three calls", *connections)
	}

	other := target
	other.ServerCA = certificates(t).ServerCABundle

	if _, err := client.Status(t.Context(), other); !instanceclient.IsUnreachable(err) {
		t.Errorf("a server of another CA: %v", err)
	}

	other = target
	other.Name = "demo-1"

	if _, err := client.Status(t.Context(), other); !instanceclient.IsUnreachable(err) {
		t.Errorf("an answer of another instance: %v", err)
	}
}

func TestRefusal(t *testing.T) {
	target, _ := serve(t, certificates(t), func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != instanceapi.PathConfig || r.Method != http.MethodPut {
			t.Errorf("%s %s", r.Method, r.URL)
		}

		http.Error(w, "no such parameter", http.StatusUnprocessableEntity)
	})

	err := instanceclient.New(clock.RealClock{}).PutConfig(t.Context(), target, []byte("{}"))
	if !instanceclient.IsRefused(err) || err.Error() != "instance demo-0 refused (422): no such parameter" {
		t.Errorf("got %v", err)
	}
}

func TestNobodyThere(t *testing.T) {
	certs := certificates(t)
	target, _ := serve(t, certs, func(http.ResponseWriter, *http.Request) {})
	target.Address = "127.0.0.1:1"

	if err := instanceclient.New(clock.RealClock{}).Restart(t.Context(), target, instanceapi.RestartRequest{}); !instanceclient.IsUnreachable(err) {
		t.Errorf("got %v", err)
	}
}

func TestSlowInstanceIsUnreachable(t *testing.T) {
	release := make(chan struct{})
	target, _ := serve(t, certificates(t), func(http.ResponseWriter, *http.Request) { <-release })

	defer close(release)

	began := time.Now()

	_, err := instanceclient.New(clock.RealClock{}).Status(context.Background(), target)
	if !instanceclient.IsUnreachable(err) || time.Since(began) > 5*time.Second {
		t.Errorf("got %v after %s", err, time.Since(began))
	}
}
