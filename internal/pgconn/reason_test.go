package pgconn_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	pgproto "github.com/jackc/pgx/v5/pgconn"

	"github.com/caretaker-dev/caretaker/internal/pgconn"
)

func TestReason(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"starting":       {&pgproto.PgError{Code: "57P03", Message: "the database system is starting up"}, "it is starting"},
		"stopping":       {&pgproto.PgError{Code: "57P03", Message: "the database system is shutting down"}, "it is being stopped"},
		"refused login":  {&pgproto.PgError{Code: "28000", Message: "no pg_hba.conf entry"}, "it says: no pg_hba.conf entry"},
		"refused":        {&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, "it does not accept connections yet"},
		"no socket":      {&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENOENT)}, "it does not accept connections yet"},
		"cut off":        {&net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)}, "it has cut the connection"},
		"deadline":       {context.DeadlineExceeded, "it does not answer"},
		"no such name":   {&net.DNSError{Err: "no such host", Name: "db-0"}, "its name is not known yet"},
		"something else": {errors.New("tls: bad certificate"), "tls: bad certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			wrapped := fmt.Errorf("connect to db-0:5432: failed to connect to `user=postgres database=postgres`: %w", tc.err)
			if name == "something else" {
				wrapped = tc.err
			}

			if got := pgconn.Reason(wrapped); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestBrief(t *testing.T) {
	t.Parallel()

	libpq := `could not connect to the primary server: connection to server at "shop-0.shop-members" (10.0.0.1), port 5432 failed: ` +
		"Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?"

	for text, want := range map[string]string{
		libpq: "Connection refused",
		`connection to server at "a" (1.2.3.4), port 5432 failed: FATAL:  the database system is starting up`: "the database system is starting up",
		"short":                  "short",
		strings.Repeat("ü", 200): strings.Repeat("ü", 119) + "…",
	} {
		if got := pgconn.Brief(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
