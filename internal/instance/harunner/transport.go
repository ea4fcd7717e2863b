package harunner

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/caretaker-dev/caretaker/internal/ha"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

const (
	sendTimeout = 800 * time.Millisecond
	dialTimeout = 500 * time.Millisecond
	sendQueue   = 32
)

// Transport sends messages over mTLS, each peer on its own so that one that hangs holds up nobody else.
type Transport struct {
	// Self is asked for each message: the member ID may change.
	Self func() ha.Instance
	// Address is our own, told to peers; empty if they are to go by name.
	Address string
	// Resolve gives the address of a peer's status server by its name.
	Resolve func(name string) string
	// TLS is for connections to peers.
	TLS func() (*tls.Config, error)
	Log *slog.Logger

	mu    sync.Mutex
	peers map[string]*outbox
	life  context.Context //nolint:containedctx // of the senders
}

type outbox struct {
	messages chan ha.Message
	address  string // learned from the peer, until a message to it fails
	told     string // learned from the peer last
}

// Start makes it ready to send until the context ends.
func (t *Transport) Start(ctx context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()

	t.life, t.peers = ctx, map[string]*outbox{}
}

// Learn remembers where a peer said that it is.
func (t *Transport) Learn(name, address string) {
	t.mu.Lock()
	defer t.mu.Unlock()

	if box := t.box(name); box != nil && address != "" {
		box.address, box.told = address, address
	}
}

// Told is what a peer told last of where it is, or its name's address. It does not change when a message is lost: a
// standby that follows a peer would begin anew each time.
func (t *Transport) Told(name string) string {
	t.mu.Lock()
	defer t.mu.Unlock()

	if box := t.box(name); box != nil && box.told != "" {
		return box.told
	}

	return t.Resolve(name)
}

// AddressOf a peer: what it told last, or its name's after a message to it failed.
func (t *Transport) AddressOf(name string) string {
	t.mu.Lock()
	defer t.mu.Unlock()

	if box := t.box(name); box != nil && box.address != "" {
		return box.address
	}

	return t.Resolve(name)
}

func (t *Transport) box(name string) *outbox {
	if t.life == nil {
		return nil
	}

	box, ok := t.peers[name]
	if !ok {
		box = &outbox{messages: make(chan ha.Message, sendQueue)}
		t.peers[name] = box

		go t.sender(t.life, name, box.messages)
	}

	return box
}

// Send queues a message; the oldest is dropped when the peer does not take them.
func (t *Transport) Send(to string, message ha.Message) {
	t.mu.Lock()
	defer t.mu.Unlock()

	box := t.box(to)
	if box == nil {
		return
	}

	for {
		select {
		case box.messages <- message:
			return
		default:
		}

		select {
		case <-box.messages:
		default:
		}
	}
}

func (t *Transport) sender(ctx context.Context, name string, messages <-chan ha.Message) {
	transport := &http.Transport{
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			config, err := t.TLS()
			if err != nil {
				return nil, err
			}

			dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: dialTimeout}, Config: config}

			return dialer.DialContext(ctx, network, address)
		},
		MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute,
	}
	client := &http.Client{Transport: transport, Timeout: sendTimeout}
	failed := false

	for {
		select {
		case message := <-messages:
			err := t.post(ctx, client, name, message)
			if err != nil {
				// What is known of the peer may be out of date.
				t.forget(name)
			}

			if (err != nil) != failed {
				failed = err != nil
				t.Log.Info("a peer's reachability changed", "peer", name, "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (t *Transport) forget(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()

	if box := t.box(name); box != nil {
		box.address = ""
	}
}

func (t *Transport) post(ctx context.Context, client *http.Client, name string, message ha.Message) error {
	content, err := Encode(t.Self(), name, t.Address, message)
	if err != nil {
		return err
	}

	url := "https://" + t.AddressOf(name) + instanceapi.PathMessage

	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(content))
	if err != nil {
		return err
	}

	response, err := client.Do(request)
	if err != nil {
		return err
	}

	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 4096))

	return response.Body.Close()
}
