package basebackup

import (
	"context"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
)

const reportEvery = time.Second

// meter counts, and reports every second.
type meter struct {
	clock  clock.WithTicker
	report func(archiveapi.Progress)
	phase  atomic.Value
	began  time.Time
	done   atomic.Int64
	total  atomic.Int64
}

func newMeter(c clock.WithTicker, report func(archiveapi.Progress)) *meter {
	m := &meter{clock: c, report: report, began: c.Now()}
	m.phase.Store(archiveapi.PhaseStarting)

	return m
}

func (m *meter) enter(phase string) {
	m.phase.Store(phase)
	m.emit()
}

func (m *meter) add(n int64) { m.done.Add(n) }

func (m *meter) emit() {
	if m.report == nil {
		return
	}

	phase, _ := m.phase.Load().(string)
	p := archiveapi.Progress{Phase: phase, BytesDone: m.done.Load(), BytesTotal: m.total.Load()}

	if p.BytesTotal > 0 {
		p.BytesDone = min(p.BytesDone, p.BytesTotal)
		p.Percent = int(p.BytesDone * 100 / p.BytesTotal)
	}

	if moving := phase != archiveapi.PhaseDone && phase != archiveapi.PhaseWaiting; moving && p.BytesDone > 0 && p.BytesDone < p.BytesTotal {
		elapsed := m.clock.Since(m.began).Seconds()
		left := elapsed * float64(p.BytesTotal-p.BytesDone) / float64(p.BytesDone)
		at := m.clock.Now().Add(time.Duration(left * float64(time.Second))).UTC().Truncate(time.Second)
		p.EstimatedCompletion = &at
	}

	m.report(p)
}

// run reports until the returned function is called.
func (m *meter) run(ctx context.Context) (stop func()) {
	if m.report == nil {
		return func() {}
	}

	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})

	go func() {
		defer close(ended)

		ticker := m.clock.NewTicker(reportEvery)
		defer ticker.Stop()

		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C():
				m.emit()
			}
		}
	}()

	return func() {
		cancel()
		<-ended
	}
}
