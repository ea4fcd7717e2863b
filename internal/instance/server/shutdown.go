package server

import (
	"syscall"
	"time"
)

// Phase of a stop: a signal, and how long to wait for its effect.
type Phase struct {
	Signal syscall.Signal
	Wait   time.Duration
}

const (
	// immediateWait is enough for an immediate shutdown, which writes nothing.
	immediateWait = 5 * time.Second
	// fastShare of the time is kept for a fast shutdown, whose checkpoint may take long.
	fastShare = 2
)

// StopPlan is the way of an orderly stop within total:
//
//	smart      SIGTERM  clients may finish; for smart, but at most half of the time
//	fast       SIGINT   clients are cut, a checkpoint is written, standbys receive everything
//	immediate  SIGQUIT  for the last 5 s; crash recovery at the next start
//
// Whatever is left then is killed by the caller. A smart of 0 begins with fast.
func StopPlan(smart, total time.Duration) []Phase {
	budget := max(total-immediateWait, 0)
	smart = min(smart, budget/fastShare)

	var plan []Phase
	if smart > 0 {
		plan = append(plan, Phase{Signal: syscall.SIGTERM, Wait: smart})
	}

	if fast := budget - smart; fast > 0 {
		plan = append(plan, Phase{Signal: syscall.SIGINT, Wait: fast})
	}

	return append(plan, Phase{Signal: syscall.SIGQUIT, Wait: min(immediateWait, max(total, time.Second))})
}
