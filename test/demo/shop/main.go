package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// retry is how long to wait before the next try to reach the database at the start.
	retry = 500 * time.Millisecond
	// patience with one request's use of the database; a primary that went away must not hold requests.
	patience = 2 * time.Second
	// readHeader is how long a client may take for the head of its request.
	readHeader = 5 * time.Second
	// drain is how long requests may go on after the program was told to stop.
	drain = 5 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := run(ctx)

	stop()

	if err != nil {
		slog.Error("The shop ends", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	orders, err := openStore(databaseURL())
	if err != nil {
		return err
	}

	defer func() { _ = orders.Close() }()

	if err := prepare(ctx, orders); err != nil {
		return err
	}

	shop := &shop{store: orders, cache: newCache(os.Getenv("CACHE_HOST"), os.Getenv("CACHE_PORT"), os.Getenv("CACHE_PASSWORD"))}
	registry := prometheus.NewRegistry()
	server := &http.Server{
		Addr: ":" + valueOr("PORT", "8080"), ReadHeaderTimeout: readHeader,
		Handler: shop.routes(registry, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})),
	}

	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()

	slog.Info("The shop is open", "address", server.Addr)

	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}

	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()

	if err := server.Shutdown(closing); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("shut down: %w", err)
	}

	return nil
}

// prepare waits for the database and makes the schema.
func prepare(ctx context.Context, orders *store) error {
	for {
		attempt, cancel := context.WithTimeout(ctx, patience)
		err := orders.Prepare(attempt)

		cancel()

		if err == nil {
			return nil
		}

		slog.Info("Waiting for the database", "error", err)

		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retry):
		}
	}
}

// databaseURL is DATABASE_URL, or made of its parts.
func databaseURL() string {
	if given := os.Getenv("DATABASE_URL"); given != "" {
		return given
	}

	made := url.URL{
		Scheme: "postgresql", Host: net.JoinHostPort(os.Getenv("DATABASE_HOST"), valueOr("DATABASE_PORT", "5432")), Path: "/" + os.Getenv("DATABASE_NAME"),
		User: url.UserPassword(os.Getenv("DATABASE_USER"), os.Getenv("DATABASE_PASSWORD")),
	}

	return made.String()
}

func valueOr(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}

	return otherwise
}
