package operator

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestSecureMetrics(t *testing.T) {
	server := suite.Server(t)
	namespace := server.Namespace(t)
	p := startProcess(t, server.Config, "--metrics-secure")

	token := func(name string) string {
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		if err := server.Client.Create(t.Context(), account); err != nil {
			t.Fatal(err)
		}

		request := &authenticationv1.TokenRequest{}
		if err := server.Client.SubResource("token").Create(t.Context(), account, request); err != nil {
			t.Fatal(err)
		}

		return request.Status.Token
	}

	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: namespace + "-metrics"},
		Rules:      []rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}},
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: namespace + "-metrics"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: "prometheus"}},
	}

	if err := server.Client.Create(t.Context(), role); err != nil {
		t.Fatal(err)
	}

	if err := server.Client.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		_ = server.Client.Delete(context.Background(), role)
		_ = server.Client.Delete(context.Background(), binding)
	})

	insecure := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // the certificate is self-signed
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: insecure}}

	get := func(token string) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+p.metrics+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}

		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}

		return read(client.Do(request)) //nolint:bodyclose // read closes it
	}

	allowed := token("prometheus")
	eventually(t, 20*time.Second, "Prometheus should get metrics", func() error {
		if code, body := get(allowed); code != http.StatusOK || !strings.Contains(body, "controller_runtime_reconcile_total") {
			return fmt.Errorf("%d: %.200s", code, body)
		}

		return nil
	})

	for name, test := range map[string]struct {
		token string
		code  int
	}{
		"nobody":             {"", http.StatusUnauthorized},
		"a made-up token":    {"made-up", http.StatusUnauthorized},
		"an account without": {token("other"), http.StatusForbidden},
	} {
		if code, body := get(test.token); code != test.code {
			t.Errorf("%s: %d: %.200s, want %d", name, code, body, test.code)
		}
	}
}
