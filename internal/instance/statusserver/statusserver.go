package statusserver

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/caretaker-dev/caretaker/internal/instance/databases"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

const (
	// maxBody bounds a request; a Config of a hundred instances is far below.
	maxBody = 4 << 20
	// Timeouts of a request; a client that needs longer is no client of ours.
	readTimeout  = 5 * time.Second
	writeTimeout = 10 * time.Second
	idleTimeout  = 2 * time.Minute
	// workTimeout is for requests that PostgreSQL works on for a while, such as to create an extension.
	workTimeout = time.Minute
)

// Instance is what the server answers for.
type Instance interface { //nolint:interfacebloat // one instance answers all that is asked of it
	// Alive says why PID 1 counts as stuck; nil if it does not.
	Alive() error
	// Ready says why PostgreSQL does not serve as its role should; nil if it does.
	Ready(ctx context.Context) error
	// Status is everything that the operator asks.
	Status(ctx context.Context) instanceapi.Status
	// PutConfig takes an encoded Config over; an error means that it cannot be used.
	PutConfig(encoded []byte) error
	// Restart takes an order to restart PostgreSQL; an error means that the moment is wrong.
	Restart(request instanceapi.RestartRequest) error
	// Archive takes the order of a task with the archive; an error means that it cannot be done now.
	Archive(request instanceapi.ArchiveRequest) error
	Peer
	Databases
}

// Databases is what the operator wants of logical databases. The error is one of package databases.
type Databases interface {
	// EnsureDatabase brings a database to what is wished.
	EnsureDatabase(ctx context.Context, request instanceapi.DatabaseRequest) (instanceapi.DatabaseReport, error)
	// DropDatabase drops one.
	DropDatabase(ctx context.Context, request instanceapi.DropDatabaseRequest) (instanceapi.DatabaseReport, error)
}

// Peer is what other instances, and who asks for a switchover, want of an instance.
type Peer interface {
	// Message takes a message of another instance's PID 1 over; an error means that it cannot be read.
	Message(encoded []byte) error
	// Switchover takes an order to hand over; an error means that this is not the primary.
	Switchover(request instanceapi.SwitchoverRequest) error
}

// Serve answers until the context ends.
func Serve(ctx context.Context, listener net.Listener, config *tls.Config, instance Instance, logger *slog.Logger) error {
	server := &http.Server{
		Handler:     Handler(instance),
		TLSConfig:   config,
		ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		// Handshakes that fail are the peer's business; at debug level they can be seen.
		ErrorLog: log.New(debugWriter{logger}, "", 0),
	}

	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()

	if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("status server: %w", err)
	}

	return nil
}

type debugWriter struct{ logger *slog.Logger }

func (w debugWriter) Write(line []byte) (int, error) {
	w.logger.Debug(string(line))

	return len(line), nil
}

// Handler is the API.
func Handler(instance Instance) http.Handler {
	mux := http.NewServeMux()

	mux.HandleFunc("GET "+instanceapi.PathStartupz, func(w http.ResponseWriter, _ *http.Request) { probe(w, nil) })
	mux.HandleFunc("GET "+instanceapi.PathHealthz, func(w http.ResponseWriter, _ *http.Request) {
		probe(w, instance.Alive())
	})
	mux.HandleFunc("GET "+instanceapi.PathReadyz, func(w http.ResponseWriter, r *http.Request) {
		probe(w, instance.Ready(r.Context()))
	})
	mux.Handle("GET "+instanceapi.PathStatus, trusted(func(w http.ResponseWriter, r *http.Request) {
		answer(w, instance.Status(r.Context()))
	}))
	mux.Handle("PUT "+instanceapi.PathConfig, trusted(taken(instance.PutConfig)))
	mux.Handle("POST "+instanceapi.PathRestart, trusted(order(instance.Restart)))
	mux.Handle("POST "+instanceapi.PathArchive, trusted(order(instance.Archive)))
	mux.Handle("POST "+instanceapi.PathSwitchover, trusted(order(instance.Switchover)))
	mux.Handle("POST "+instanceapi.PathMessage, trusted(taken(instance.Message)))
	mux.Handle("POST "+instanceapi.PathDatabase, trusted(work(instance.EnsureDatabase)))
	mux.Handle("POST "+instanceapi.PathDropDatabase, trusted(work(instance.DropDatabase)))

	return mux
}

func probe(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)

		return
	}

	// The kubelet has gone if this fails.
	_, _ = io.WriteString(w, "ok\n")
}

func answer(w http.ResponseWriter, what any) {
	body, err := json.Marshal(what)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)

		return
	}

	w.Header().Set("Content-Type", "application/json")
	// The operator has gone if this fails.
	_, _ = w.Write(body)
}

// trusted lets only the holder of the replication user's certificate through.
func trusted(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isTrusted(r.TLS) {
			http.Error(w, "this needs a client certificate of "+naming.ReplicationUser, http.StatusForbidden)

			return
		}

		next(w, r)
	})
}

func isTrusted(state *tls.ConnectionState) bool {
	if state == nil || len(state.VerifiedChains) == 0 || len(state.PeerCertificates) == 0 {
		return false
	}

	return state.PeerCertificates[0].Subject.CommonName == naming.ReplicationUser
}

// taken hands a request's body over.
func taken(take func([]byte) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)

			return
		}

		if err := take(body); err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)

			return
		}

		w.WriteHeader(http.StatusNoContent)
	}
}

// order hands a decoded order over.
func order[T any](take func(T) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var request T
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&request); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)

			return
		}

		if err := take(request); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)

			return
		}

		w.WriteHeader(http.StatusAccepted)
	}
}

// work hands a decoded request over that may take a while, and answers with what came of it.
func work[In, Out any](do func(context.Context, In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var request In
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&request); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)

			return
		}

		ctx, cancel := context.WithTimeout(r.Context(), workTimeout)
		defer cancel()

		// A writer that has no deadline needs none.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(workTimeout + writeTimeout)) //nolint:forbidigo // the kernel's clock

		result, err := do(ctx, request)

		var refused *databases.RefusedError

		switch {
		case err == nil:
			answer(w, result)
		case errors.Is(err, databases.ErrNotPrimary):
			http.Error(w, err.Error(), http.StatusConflict)
		case errors.As(err, &refused):
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		default:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	}
}
