package walclient

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Requests and answers.
const (
	VerbPush   = "push"
	VerbFetch  = "fetch"
	VerbStatus = "status"

	AnswerOK      = "ok"
	AnswerMissing = "missing"
	AnswerError   = "error"
)

// ErrMissing says that no archive has the file: the archives' own word.
var ErrMissing = errors.New("not in the archive")

// Client of an archiver.
type Client struct {
	// Socket is the path of the archiver's socket.
	Socket string
	// Patience is how long to wait for an archiver that does not listen: it may be starting.
	Patience time.Duration
}

// Push asks to archive a file of pg_wal.
func (c Client) Push(ctx context.Context, name string) error {
	return c.do(ctx, VerbPush, name)
}

// Fetch asks for a file to be put at an absolute path. ErrMissing if it is not in the archive.
func (c Client) Fetch(ctx context.Context, name, dest string) error {
	return c.do(ctx, VerbFetch, name, dest)
}

// Status is the archiver's, in JSON.
func (c Client) Status(ctx context.Context) ([]byte, error) {
	answer, err := c.ask(ctx, VerbStatus)
	if err != nil {
		return nil, err
	}

	if message, isError := strings.CutPrefix(answer, AnswerError+"\t"); isError {
		return nil, errors.New(message)
	}

	return []byte(answer), nil
}

func (c Client) do(ctx context.Context, fields ...string) error {
	answer, err := c.ask(ctx, fields...)
	if err != nil {
		return err
	}

	kind, message, _ := strings.Cut(answer, "\t")

	switch kind {
	case AnswerOK:
		return nil
	case AnswerMissing:
		return ErrMissing
	default:
		return errors.New(message)
	}
}

func (c Client) ask(ctx context.Context, fields ...string) (string, error) {
	for _, field := range fields {
		if strings.ContainsAny(field, "\t\n") {
			return "", fmt.Errorf("%q: a name cannot have tabs or line feeds", field)
		}
	}

	conn, err := c.connect(ctx)
	if err != nil {
		return "", err
	}

	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })

	defer func() {
		stop()

		_ = conn.Close()
	}()

	if _, err := fmt.Fprintf(conn, "%s\n", strings.Join(fields, "\t")); err != nil {
		return "", fmt.Errorf("ask the archiver: %w", err)
	}

	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("the archiver went away: %w", err)
	}

	return strings.TrimSuffix(answer, "\n"), nil
}

// connect tries for Patience.
func (c Client) connect(ctx context.Context) (net.Conn, error) {
	retry := time.NewTicker(100 * time.Millisecond) //nolint:forbidigo // the kernel's clock: it waits for another process
	defer retry.Stop()

	patience, cancel := context.WithTimeout(ctx, c.Patience)
	defer cancel()

	var dialer net.Dialer

	for {
		conn, err := dialer.DialContext(ctx, "unix", c.Socket)
		if err == nil {
			return conn, nil
		}

		select {
		case <-patience.Done():
			return nil, fmt.Errorf("the archiver does not answer: %w", err)
		case <-retry.C:
		}
	}
}
