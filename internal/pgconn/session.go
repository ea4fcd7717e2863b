package pgconn

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// closeTimeout bounds the farewell to a server that may be gone.
const closeTimeout = time.Second

// ErrSuspended says that a Session is not to be used for the moment.
var ErrSuspended = errors.New("the connection is closed, since PostgreSQL is being stopped")

// Session is one connection that is opened when needed and again after an error. It is for one user at a time; others
// wait. While suspended it holds no connection: a smart shutdown waits for clients, and so would wait for us.
type Session struct {
	params Params

	mu        sync.Mutex
	conn      *pgx.Conn
	suspended bool
}

// NewSession makes a Session; it does not connect yet.
func NewSession(params Params) *Session {
	return &Session{params: params}
}

// Do calls use with the connection. The context bounds both connecting and use. After an error of the connection
// itself the next call connects anew.
func (s *Session) Do(ctx context.Context, use func(ctx context.Context, conn *pgx.Conn) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.suspended {
		return ErrSuspended
	}

	if s.conn == nil || s.conn.IsClosed() {
		conn, err := Connect(ctx, s.params)
		if err != nil {
			return err
		}

		s.conn = conn
	}

	err := use(ctx, s.conn)
	if s.conn.IsClosed() {
		s.conn = nil
	}

	return err
}

// Suspend closes the connection and refuses further use until Resume.
func (s *Session) Suspend(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.suspended = true

	if s.conn == nil {
		return
	}

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()

	// The server ends the backend either way once the socket is closed.
	_ = s.conn.Close(ctx)
	s.conn = nil
}

// Resume allows use again.
func (s *Session) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.suspended = false
}
