package reconcile

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
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
	perObject bool
	total     *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	failures  *prometheus.CounterVec
}

// MetricsOptions of one controller.
type MetricsOptions struct {
	// Prefix of the names: <prefix>_reconcile_total{result}, <prefix>_reconcile_duration_seconds, <prefix>_errors_total{type}.
	Prefix string
	// PerObject adds the labels namespace and name to all of them: one time series for each object.
	PerObject bool
	// Buckets of the duration, in seconds; nil for the default.
	Buckets []float64
}

// NewMetrics registers the metrics of the controller of a kind, in lower case: caretaker_<kind>_reconcile_total{result},
// caretaker_<kind>_reconcile_duration_seconds and caretaker_<kind>_errors_total{type}. Registering a kind twice shares
// its metrics.
func NewMetrics(registerer prometheus.Registerer, kind string) (*Metrics, error) {
	return NewMetricsWith(registerer, MetricsOptions{Prefix: "caretaker_" + kind})
}

// NewMetricsWith is NewMetrics under other names.
func NewMetricsWith(registerer prometheus.Registerer, o MetricsOptions) (*Metrics, error) {
	var object []string
	if o.PerObject {
		object = []string{"namespace", "name"}
	}

	buckets := o.Buckets
	if buckets == nil {
		buckets = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
	}

	m := &Metrics{
		perObject: o.PerObject,
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: o.Prefix + "_reconcile_total",
			Help: "Passes over an object, by result: success, waiting, stalled, error.",
		}, append(slices.Clone(object), "result")),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    o.Prefix + "_reconcile_duration_seconds",
			Help:    "How long a pass took.",
			Buckets: buckets,
		}, object),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: o.Prefix + "_errors_total",
			Help: "Failed passes, by type: conflict, retryable, permanent.",
		}, append(slices.Clone(object), "type")),
	}

	var err error
	if m.total, err = Register(registerer, m.total); err != nil {
		return nil, err
	}

	if m.duration, err = Register(registerer, m.duration); err != nil {
		return nil, err
	}

	if m.failures, err = Register(registerer, m.failures); err != nil {
		return nil, err
	}

	return m, nil
}

// Register adds a collector, or finds the one that is there under its name; a nil registerer takes nothing.
func Register[C prometheus.Collector](registerer prometheus.Registerer, collector C) (C, error) {
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

func (m *Metrics) observe(key types.NamespacedName, outcome Outcome, class Class, took time.Duration) {
	var object []string
	if m.perObject {
		object = []string{key.Namespace, key.Name}
	}

	m.duration.WithLabelValues(object...).Observe(took.Seconds())

	result := resultSuccess

	switch {
	case class != ClassNone:
		result = resultError

		m.failures.WithLabelValues(append(slices.Clone(object), string(class))...).Inc()
	case outcome.Stalled:
		result = resultStalled
	case outcome.Waiting:
		result = resultWaiting
	}

	m.total.WithLabelValues(append(slices.Clone(object), result)...).Inc()
}

// forget drops the time series of an object that is gone.
func (m *Metrics) forget(key types.NamespacedName) {
	if !m.perObject {
		return
	}

	object := prometheus.Labels{"namespace": key.Namespace, "name": key.Name}
	m.total.DeletePartialMatch(object)
	m.duration.DeletePartialMatch(object)
	m.failures.DeletePartialMatch(object)
}
