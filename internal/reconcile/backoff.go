package reconcile

import (
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
)

// Backoff of a retryable error: doubled from baseDelay to maxDelay, plus up to a fifth, so that many objects that failed
// together do not come back together.
const (
	baseDelay = 250 * time.Millisecond
	maxDelay  = 2 * time.Minute
	jitter    = 0.2
)

type jittered struct {
	workqueue.TypedRateLimiter[ctrl.Request]
}

// NewRateLimiter gives the backoff of one controller's queue.
func NewRateLimiter() workqueue.TypedRateLimiter[ctrl.Request] {
	return jittered{workqueue.NewTypedItemExponentialFailureRateLimiter[ctrl.Request](baseDelay, maxDelay)}
}

// When is how long the item waits before its next try.
func (j jittered) When(item ctrl.Request) time.Duration {
	return wait.Jitter(j.TypedRateLimiter.When(item), jitter)
}
