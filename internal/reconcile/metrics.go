package reconcile

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Results of a pass, the label "result".
const (
	resultSuccess = "success"
	resultWaiting = "waiting"
	resultStalled = "stalled"
	resultError   = "error"
)

// Metrics of one controller.
type Metrics struct {
	total    *prometheus.CounterVec
	duration *prometheus.HistogramVec
	failures *prometheus.CounterVec
}

// NewMetrics registers the metrics of the controller of a kind, in lower case: caretaker_<kind>_reconcile_total{result},
// caretaker_<kind>_reconcile_duration_seconds and caretaker_<kind>_errors_total{type}. Registering a kind twice shares
// its metrics.
func NewMetrics(registerer prometheus.Registerer, kind string) (*Metrics, error) {
	m := &Metrics{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "caretaker_" + kind + "_reconcile_total",
			Help: "Passes over an object, by result: success, waiting, stalled, error.",
		}, []string{"result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "caretaker_" + kind + "_reconcile_duration_seconds",
			Help:    "How long a pass took.",
			Buckets: []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10},
		}, nil),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "caretaker_" + kind + "_errors_total",
			Help: "Failed passes, by type: conflict, retryable, permanent.",
		}, []string{"type"}),
	}

	var err error
	if m.total, err = register(registerer, m.total); err != nil {
		return nil, err
	}

	if m.duration, err = register(registerer, m.duration); err != nil {
		return nil, err
	}

	if m.failures, err = register(registerer, m.failures); err != nil {
		return nil, err
	}

	return m, nil
}

func register[C prometheus.Collector](registerer prometheus.Registerer, collector C) (C, error) {
	if registerer == nil {
		return collector, nil
	}

	err := registerer.Register(collector)

	if already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if existing, ok := already.ExistingCollector.(C); ok {
			return existing, nil
		}
	}

	if err != nil {
		return collector, fmt.Errorf("register metrics: %w", err)
	}

	return collector, nil
}

func (m *Metrics) observe(outcome Outcome, class Class, took time.Duration) {
	m.duration.WithLabelValues().Observe(took.Seconds())

	result := resultSuccess

	switch {
	case class != ClassNone:
		result = resultError

		m.failures.WithLabelValues(string(class)).Inc()
	case outcome.Stalled:
		result = resultStalled
	case outcome.Waiting:
		result = resultWaiting
	}

	m.total.WithLabelValues(result).Inc()
}
