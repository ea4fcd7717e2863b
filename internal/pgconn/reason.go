package pgconn

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	pgproto "github.com/jackc/pgx/v5/pgconn"
)

// maxReason bounds what is quoted of a text that is not ours.
const maxReason = 120

// Reason is why a server could not be reached or asked, in a few words for people that go after its name: "it is starting".
// The driver's own text names every parameter of the connection, over several lines; it belongs in a log.
func Reason(err error) string {
	var (
		answer  *pgproto.PgError
		resolve *net.DNSError
		timeout interface{ Timeout() bool }
	)

	switch {
	case errors.As(err, &answer):
		return reasonOf(answer)
	case errors.As(err, &resolve):
		return "its name is not known yet"
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
		return "it does not accept connections yet"
	case errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.ErrUnexpectedEOF):
		return "it has cut the connection"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "it does not answer"
	default:
		return Brief(err.Error())
	}
}

func reasonOf(answer *pgproto.PgError) string {
	const notNow = "57P03"

	switch {
	case answer.Code == notNow && strings.Contains(answer.Message, "shutting down"):
		return "it is being stopped"
	case answer.Code == notNow:
		return "it is starting"
	default:
		return "it says: " + Brief(answer.Message)
	}
}

// Brief is the cause at the end of a message of PostgreSQL's or its libraries', on one line.
func Brief(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")

	// libpq puts the addresses that it tried before the cause.
	for _, before := range []string{" failed: ", "FATAL:  ", "ERROR:  "} {
		if i := strings.LastIndex(line, before); i >= 0 {
			line = line[i+len(before):]
		}
	}

	if runes := []rune(line); len(runes) > maxReason {
		line = string(runes[:maxReason-1]) + "…"
	}

	return line
}
