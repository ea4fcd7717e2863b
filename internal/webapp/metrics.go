package webapp

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	v1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	"github.com/caretaker-dev/caretaker/internal/reconcile"
)

// metrics about what users get, beside those about passes.
type metrics struct {
	creation *prometheus.HistogramVec
	deployed *prometheus.CounterVec
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		creation: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "webapp_creation_duration_seconds",
			Help:    "Time from WebApp creation to ready state.",
			Buckets: []float64{1, 5, 10, 30, 60, 120, 300},
		}, []string{"namespace"}),
		deployed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "caretaker_applications_deployed_total",
			Help: "Applications that became ready for the first time, by kind.",
		}, []string{"kind"}),
	}

	var err error
	if m.creation, err = reconcile.Register(registerer, m.creation); err != nil {
		return nil, err
	}

	m.deployed, err = reconcile.Register(registerer, m.deployed)

	return m, err
}

// ready counts a WebApp that is ready for the first time.
func (m *metrics) ready(webapp *v1.WebApp, at time.Time) {
	m.creation.WithLabelValues(webapp.Namespace).Observe(max(0, at.Sub(webapp.CreationTimestamp.Time).Seconds()))
	m.deployed.WithLabelValues("WebApp").Inc()
}
