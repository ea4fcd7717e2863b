package instance_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// TestReadsGoOnWithoutAPrimary: of three instances two are lost, so that nobody can take over. The last one answers the
// kubelet's probe, so that the Services for reads lead somewhere, and does not call itself healthy.
func TestReadsGoOnWithoutAPrimary(t *testing.T) {
	c := newTrio(t)
	primary := c.awaitPrimary("")
	c.members[primary].mustQuery("CREATE TABLE kept AS SELECT 1 AS id")

	var last, other string

	for name := range c.members {
		if name != primary {
			last, other = name, last
		}
	}

	c.members[last].awaitQuery("SELECT id::text FROM kept", "1")
	c.members[other].kill()
	c.members[primary].kill()

	status := c.members[last].await("says that it has lost its primary", func(s instanceapi.Status) bool {
		return !s.Ready && s.Message == "no primary is known; this replica still serves reads"
	})
	if status.Role != instanceapi.RoleReplica || status.Streaming != nil {
		t.Errorf("it is %s, streaming since %v", status.Role, status.Streaming)
	}

	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if err := c.members[last].probe(); err != nil {
			t.Fatalf("the kubelet would take it out of the Services: %v", err)
		}
	}

	if got := c.members[last].mustQuery("SELECT id FROM kept"); got != "1" {
		t.Errorf("it reads %q", got)
	}

	c.startMember(other)
	c.awaitPrimary(primary)
}

// probe is the kubelet's question of readiness.
func (m *member) probe() error {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // as the kubelet does
	}}

	answer, err := client.Get("https://" + m.layout.StatusAddress + instanceapi.PathReadyz)
	if err != nil {
		return err
	}

	if err := answer.Body.Close(); err != nil {
		return err
	}

	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the probe answers %s", answer.Status)
	}

	return nil
}
