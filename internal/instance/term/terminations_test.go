package term_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"

	"github.com/caretaker-dev/caretaker/internal/instance/term"
)

func TestTerminations(t *testing.T) {
	const running = `"state":{"running":{"startedAt":"2026-11-20T22:00:00Z"}}`

	for name, c := range map[string]struct {
		pod  string
		want []string
	}{
		"it runs":           {`[{` + running + `}]`, nil},
		"it ended":          {`[{"state":{"terminated":{"message":"caretaker run 7\n"}}}]`, []string{"caretaker run 7\n"}},
		"another runs now":  {`[{` + running + `,"lastState":{"terminated":{"message":"caretaker run 7"}}}]`, []string{"caretaker run 7"}},
		"it left no word":   {`[{"state":{"terminated":{"exitCode":137}}}]`, []string{""}},
		"nothing was begun": {`[{"state":{"waiting":{"reason":"ContainerCreating"}}}]`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/api/v1/namespaces/ns/pods/demo-1" {
					http.NotFound(w, r)

					return
				}

				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write([]byte(`{"metadata":{"uid":"u"},"status":{"containerStatuses":` + c.pod + `}}`))
			}))
			defer server.Close()

			kube, err := term.NewKube(&rest.Config{Host: server.URL}, "ns", "demo", "demo-0")
			if err != nil {
				t.Fatal(err)
			}

			uid, got, err := kube.Terminations(t.Context(), "demo-1")
			if diff := cmp.Diff(c.want, got); err != nil || uid != "u" || diff != "" {
				t.Errorf("%q, %v: %s", uid, err, diff)
			}

			if _, _, err := kube.Terminations(t.Context(), "demo-2"); err == nil {
				t.Error("a pod that is gone was read")
			}
		})
	}
}
