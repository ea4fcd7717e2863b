package instanceclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

const (
	// callTimeout bounds a whole call, connecting included.
	callTimeout = 2 * time.Second
	// workTimeout is for what PostgreSQL works on for a while, such as to create an extension.
	workTimeout = time.Minute
	// maxAnswer bounds what is read of an answer; a Status with a hundred replicas is far below.
	maxAnswer = 1 << 20
)

// Target is one instance and what is needed to trust it and to be trusted by it.
type Target struct {
	// Name of the pod; an answer of another instance is refused.
	Name string
	// Address is host:port of its status server.
	Address string
	// ServerCA are PEM certificates that the server's certificate must chain to.
	ServerCA []byte
	// ClientCert and ClientKey are the PEM client certificate of naming.ReplicationUser.
	ClientCert []byte
	ClientKey  []byte
}

// Client calls instances. It is safe for concurrent use and keeps connections open per target.
type Client struct {
	transports *transports
}

// New makes a Client; the clock tells when an unused target is forgotten.
func New(clk clock.PassiveClock) *Client {
	return &Client{transports: newTransports(clk)}
}

// Status asks an instance for its Status. The error is an *UnreachableError or a *RefusedError.
func (c *Client) Status(ctx context.Context, target Target) (instanceapi.Status, error) {
	body, err := c.call(ctx, target, http.MethodGet, instanceapi.PathStatus, nil)
	if err != nil {
		return instanceapi.Status{}, err
	}

	var status instanceapi.Status
	if err := json.Unmarshal(body, &status); err != nil {
		return instanceapi.Status{}, &UnreachableError{Instance: target.Name, Err: fmt.Errorf("decode status: %w", err)}
	}

	if target.Name != "" && status.Instance != target.Name {
		err := fmt.Errorf("%s is answered by instance %q", target.Address, status.Instance)

		return instanceapi.Status{}, &UnreachableError{Instance: target.Name, Err: err}
	}

	return status, nil
}

// PutConfig gives an instance its configuration, as Config.Encode made it. The error is an *UnreachableError, or a
// *RefusedError when the instance cannot use it.
func (c *Client) PutConfig(ctx context.Context, target Target, encoded []byte) error {
	_, err := c.call(ctx, target, http.MethodPut, instanceapi.PathConfig, encoded)

	return err
}

// Restart asks for an orderly restart of PostgreSQL in place; it returns when the instance has taken the request, not
// when it is done. The error is an *UnreachableError or a *RefusedError.
func (c *Client) Restart(ctx context.Context, target Target, request instanceapi.RestartRequest) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("encode restart request: %w", err)
	}

	_, err = c.call(ctx, target, http.MethodPost, instanceapi.PathRestart, body)

	return err
}

// Switchover asks the primary to hand over in an orderly way; it returns when the primary has taken the request. The error
// is an *UnreachableError or a *RefusedError.
func (c *Client) Switchover(ctx context.Context, target Target, request instanceapi.SwitchoverRequest) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("encode switchover request: %w", err)
	}

	_, err = c.call(ctx, target, http.MethodPost, instanceapi.PathSwitchover, body)

	return err
}

// Archive orders a task with the archive; it returns when the instance has taken the order. The error is an *UnreachableError,
// or a *RefusedError while another task runs.
func (c *Client) Archive(ctx context.Context, target Target, request instanceapi.ArchiveRequest) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("encode archive request: %w", err)
	}

	_, err = c.call(ctx, target, http.MethodPost, instanceapi.PathArchive, body)

	return err
}

// EnsureDatabase asks the primary to bring a database to what is wished, and waits for it. The error is an
// *UnreachableError or a *RefusedError.
func (c *Client) EnsureDatabase(ctx context.Context, target Target, request instanceapi.DatabaseRequest) (instanceapi.DatabaseReport, error) {
	return work(ctx, c, target, instanceapi.PathDatabase, request)
}

// DropDatabase asks the primary to drop a database, and waits for it. The error is an *UnreachableError or a *RefusedError.
func (c *Client) DropDatabase(ctx context.Context, target Target, request instanceapi.DropDatabaseRequest) (instanceapi.DatabaseReport, error) {
	return work(ctx, c, target, instanceapi.PathDropDatabase, request)
}

func work(ctx context.Context, c *Client, target Target, path string, request any) (instanceapi.DatabaseReport, error) {
	var report instanceapi.DatabaseReport

	body, err := json.Marshal(request)
	if err != nil {
		return report, fmt.Errorf("encode request: %w", err)
	}

	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()

	answer, err := c.send(ctx, target, http.MethodPost, path, body)
	if err != nil {
		return report, err
	}

	if err := json.Unmarshal(answer, &report); err != nil {
		return report, &UnreachableError{Instance: target.Name, Err: fmt.Errorf("decode report: %w", err)}
	}

	return report, nil
}

// call is one short request; the answer's body when it succeeded.
func (c *Client) call(ctx context.Context, target Target, method, path string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()

	return c.send(ctx, target, method, path, body)
}

func (c *Client) send(ctx context.Context, target Target, method, path string, body []byte) ([]byte, error) {
	transport, err := c.transports.get(target)
	if err != nil {
		return nil, &UnreachableError{Instance: target.Name, Err: err}
	}

	request, err := http.NewRequestWithContext(ctx, method, "https://"+target.Address+path, bytes.NewReader(body))
	if err != nil {
		return nil, &UnreachableError{Instance: target.Name, Err: err}
	}

	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}

	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, &UnreachableError{Instance: target.Name, Err: plain(err)}
	}

	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	err = errors.Join(err, response.Body.Close())

	switch {
	case err != nil:
		return nil, &UnreachableError{Instance: target.Name, Err: fmt.Errorf("read answer: %w", err)}
	case response.StatusCode >= http.StatusMultipleChoices:
		message := strings.TrimSpace(string(answer))

		return nil, &RefusedError{Instance: target.Name, StatusCode: response.StatusCode, Message: message}
	default:
		return answer, nil
	}
}
