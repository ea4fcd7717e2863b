package instance_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestNamesake: whoever calls itself as our own sessions do is cut off all the same before a replica becomes the primary.
func TestNamesake(t *testing.T) {
	c := newTrio(t)
	old := c.awaitPrimary("")
	ctx := context.Background()
	sessions := map[string]*pgx.Conn{}

	for name := range c.members {
		conn, err := pgx.Connect(ctx, fmt.Sprintf(
			"host=127.0.0.1 port=%d user=app password='first secret' dbname=postgres sslmode=require application_name=caretaker", c.ports[name]))
		must(t, err)

		sessions[name] = conn
	}

	c.members[old].kill()

	next := c.awaitPrimary(old)
	if _, err := sessions[next].Exec(ctx, "SELECT 1"); err == nil {
		t.Errorf("a session of before %s took over is still in", next)
	}

	for _, conn := range sessions {
		_ = conn.Close(ctx)
	}
}
