package cluster

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// forgetAfter drops pods that were not asked any more.
const forgetAfter = 10 * time.Minute

// silence remembers since when instances have not answered. It is lost when the operator restarts; then the time counts
// from there.
type silence struct {
	mu    sync.Mutex
	byPod map[types.UID]quietPod
}

type quietPod struct{ since, asked time.Time }

func newSilence() *silence { return &silence{byPod: map[types.UID]quietPod{}} }

// answered notes an answer.
func (s *silence) answered(pod types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()

	delete(s.byPod, pod)
}

// missed notes that there was none, and says since when.
func (s *silence) missed(pod types.UID, now time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()

	for uid, q := range s.byPod {
		if now.Sub(q.asked) > forgetAfter {
			delete(s.byPod, uid)
		}
	}

	q, known := s.byPod[pod]
	if !known {
		q.since = now
	}

	q.asked = now
	s.byPod[pod] = q

	return q.since
}
