package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// productsKey of the cache, and how many seconds it keeps them.
	productsKey = "products"
	keepSeconds = 30
	// maxOrder is the longest order in bytes.
	maxOrder = 4096
)

type shop struct {
	store *store
	cache *cache
}

func (s *shop) routes(registry prometheus.Registerer, metrics http.Handler) http.Handler {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "shop_requests_total", Help: "Requests, by path and status."}, []string{"path", "code"})
	registry.MustRegister(requests)

	mux := http.NewServeMux()
	handle := func(pattern, path string, handler func(http.ResponseWriter, *http.Request) int) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			requests.WithLabelValues(path, strconv.Itoa(handler(w, r))).Inc()
		})
	}

	handle("GET /products", "/products", s.products)
	handle("POST /orders", "/orders", s.order)
	handle("GET /orders", "/orders", s.orders)
	handle("GET /healthz", "/healthz", func(w http.ResponseWriter, _ *http.Request) int { return answer(w, http.StatusOK, "ok") })
	handle("GET /readyz", "/readyz", func(w http.ResponseWriter, _ *http.Request) int { return answer(w, http.StatusOK, "ok") })
	mux.Handle("GET /metrics", metrics)

	return mux
}

// products come from the cache, or else from the database, and into the cache.
func (s *shop) products(w http.ResponseWriter, r *http.Request) int {
	state := "off"

	if s.cache != nil {
		value, found, err := s.cache.Get(r.Context(), productsKey)
		if err != nil {
			slog.Warn("Cannot read from the cache", "error", err)
		}

		if found {
			w.Header().Set("X-Cache", "hit")

			return answer(w, http.StatusOK, json.RawMessage(value))
		}

		state = "miss"
	}

	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()

	all, err := s.store.Products(ctx)
	if err != nil {
		return failed(w, err)
	}

	encoded, err := json.Marshal(all)
	if err != nil {
		return failed(w, err)
	}

	if s.cache != nil {
		if err := s.cache.Set(r.Context(), productsKey, string(encoded), keepSeconds); err != nil {
			slog.Warn("Cannot write to the cache", "error", err)
		}
	}

	w.Header().Set("X-Cache", state)

	return answer(w, http.StatusOK, json.RawMessage(encoded))
}

// order answers 201 only once the order is committed.
func (s *shop) order(w http.ResponseWriter, r *http.Request) int {
	var wanted struct {
		ID      string `json:"id"`
		Product int    `json:"product"`
	}

	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder)).Decode(&wanted); err != nil || wanted.ID == "" {
		return answer(w, http.StatusBadRequest, `send {"id": "…", "product": 1}`)
	}

	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()

	if err := s.store.Order(ctx, wanted.ID, wanted.Product); err != nil {
		return failed(w, err)
	}

	return answer(w, http.StatusCreated, wanted)
}

func (s *shop) orders(w http.ResponseWriter, r *http.Request) int {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()

	all, err := s.store.Orders(ctx)
	if err != nil {
		return failed(w, err)
	}

	return answer(w, http.StatusOK, all)
}

func failed(w http.ResponseWriter, err error) int {
	slog.Warn("A request failed", "error", err)

	return answer(w, http.StatusServiceUnavailable, "the database does not answer; try again")
}

func answer(w http.ResponseWriter, code int, body any) int {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)

	if err := json.NewEncoder(w).Encode(body); err != nil {
		slog.Warn("Cannot answer", "error", err)
	}

	return code
}
