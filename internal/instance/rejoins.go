package instance

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/caretaker-dev/caretaker/internal/instance/volume"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

const (
	rejoinsFile = "rejoins.json"
	// recloneBudget is how often data may be thrown away and copied anew within recloneWindow: more often than that,
	// something else is wrong.
	recloneBudget = 3
	recloneWindow = time.Hour
)

// rejoins remembers on the volume how this member came back to primaries, across restarts.
type rejoins struct {
	path string
	log  *slog.Logger

	mu   sync.Mutex
	read bool
	kept keptRejoins
}

type keptRejoins struct {
	Last     *instanceapi.Rejoin   `json:"last,omitempty"`
	Takeover *instanceapi.Takeover `json:"takeover,omitempty"`
	Rewinds  int                   `json:"rewinds"`
	Reclones int                   `json:"reclones"`
	// Discards are when data were thrown away lately.
	Discards []time.Time `json:"discards,omitempty"`
	// Begun is a rejoin that is under way.
	Begun *instanceapi.Rejoin `json:"begun,omitempty"`
}

func newRejoins(stateDir string, log *slog.Logger) *rejoins {
	return &rejoins{path: filepath.Join(stateDir, rejoinsFile), log: log}
}

// get what is remembered.
func (j *rejoins) get() keptRejoins {
	j.mu.Lock()
	defer j.mu.Unlock()

	return j.load()
}

// load reads it once. A file that cannot be read is as good as none: it is no reason not to come back.
func (j *rejoins) load() keptRejoins {
	if j.read {
		return j.kept
	}

	content, err := os.ReadFile(j.path)
	if err == nil {
		err = json.Unmarshal(content, &j.kept)
	}

	if err != nil && !errors.Is(err, os.ErrNotExist) {
		j.log.Warn("what was remembered of earlier rewinds and copies is lost", "error", err)
	}

	j.read = true

	return j.kept
}

func (j *rejoins) change(apply func(*keptRejoins)) error {
	j.mu.Lock()
	defer j.mu.Unlock()

	kept := j.load()
	apply(&kept)

	content, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("encode what is remembered of rejoining: %w", err)
	}

	if err := volume.WriteFile(j.path, content, 0o600); err != nil {
		return err
	}

	j.kept = kept

	return nil
}

// begin remembers why this member cannot follow; it is told when it has come back.
func (j *rejoins) begin(begun instanceapi.Rejoin) error {
	return j.change(func(k *keptRejoins) { k.Begun = &begun })
}

// begun is why this member cannot follow; empty if it can.
func (j *rejoins) begun() string {
	if begun := j.get().Begun; begun != nil {
		return begun.Why
	}

	return ""
}

// done says that it has come back.
func (j *rejoins) done(method instanceapi.RejoinMethod, term uint64, at time.Time) error {
	return j.change(func(k *keptRejoins) {
		last := instanceapi.Rejoin{}
		if k.Begun != nil {
			last = *k.Begun
		}

		last.Method, last.Term, last.At = method, int64(term), at.UTC() //nolint:gosec // small
		k.Last, k.Begun = &last, nil

		switch method {
		case instanceapi.RejoinRewound:
			k.Rewinds++
		case instanceapi.RejoinCloned:
			k.Reclones++
		case instanceapi.RejoinFollowed:
		}
	})
}

// followed says that it could go on from what it had.
func (j *rejoins) followed(seen instanceapi.Rejoin, term uint64, at time.Time) error {
	seen.Method, seen.Term, seen.At = instanceapi.RejoinFollowed, int64(term), at.UTC() //nolint:gosec // small

	return j.change(func(k *keptRejoins) { k.Last = &seen })
}

// tookOver remembers how this member came to lead.
func (j *rejoins) tookOver(takeover instanceapi.Takeover) error {
	return j.change(func(k *keptRejoins) { k.Takeover = &takeover })
}

// mayDiscard says when data may be thrown away: now, if not in the future.
func (j *rejoins) mayDiscard(now time.Time) time.Time {
	recent := recentOf(j.get().Discards, now)
	if len(recent) < recloneBudget {
		return now
	}

	return recent[len(recent)-recloneBudget].Add(recloneWindow)
}

// discard spends of the budget.
func (j *rejoins) discard(now time.Time) error {
	return j.change(func(k *keptRejoins) { k.Discards = append(recentOf(k.Discards, now), now.UTC()) })
}

func recentOf(times []time.Time, now time.Time) []time.Time {
	return slices.DeleteFunc(slices.Clone(times), func(t time.Time) bool { return now.Sub(t) > recloneWindow || t.After(now) })
}
