package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlreconcile "sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/caretaker-dev/caretaker/internal/reconcile"
)

func TestClassify(t *testing.T) {
	t.Parallel()

	pods := schema.GroupResource{Resource: "pods"}

	for _, tc := range []struct {
		err  error
		want reconcile.Class
	}{
		{nil, reconcile.ClassNone},
		{apierrors.NewConflict(pods, "a", errors.New("changed")), reconcile.ClassConflict},
		{apierrors.NewAlreadyExists(pods, "a"), reconcile.ClassConflict},
		{terminating(), reconcile.ClassRetryable},
		{fmt.Errorf("act: %w", reconcile.ErrStale), reconcile.ClassConflict},
		{context.Canceled, reconcile.ClassConflict},
		{fmt.Errorf("apply: %w", apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "a", nil)), reconcile.ClassPermanent},
		{apierrors.NewBadRequest("no"), reconcile.ClassPermanent},
		{ctrlreconcile.TerminalError(errors.New("no")), reconcile.ClassPermanent},
		{apierrors.NewForbidden(pods, "a", errors.New("exceeded quota")), reconcile.ClassRetryable},
		{apierrors.NewServiceUnavailable("later"), reconcile.ClassRetryable},
		{apierrors.NewTimeoutError("slow", 1), reconcile.ClassRetryable},
		{errors.New("connection refused"), reconcile.ClassRetryable},
		{context.DeadlineExceeded, reconcile.ClassRetryable},
	} {
		if got := reconcile.Classify(tc.err); got != tc.want {
			t.Errorf("%v is %s, want %s", tc.err, got, tc.want)
		}
	}
}

// oneObject is a client that has one object, or none.
type oneObject struct {
	client.Client

	err error
}

func (o oneObject) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	object.SetName(key.Name)

	return o.err
}

func TestWhatAPassLeadsTo(t *testing.T) {
	t.Parallel()

	notFound := apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, "a")

	for _, tc := range []struct {
		name     string
		get      error
		outcome  reconcile.Outcome
		err      error
		after    bool
		failed   bool
		terminal bool
		counted  string
	}{
		{name: "gone", get: notFound},
		{name: "cannot be read", get: errors.New("refused"), failed: true},
		{name: "done", outcome: reconcile.Outcome{After: 10 * time.Second}, after: true, counted: "success"},
		{name: "waiting", outcome: reconcile.Outcome{Waiting: true, After: time.Second}, after: true, counted: "waiting"},
		{name: "stalled", outcome: reconcile.Outcome{Stalled: true}, counted: "stalled"},
		{name: "conflict is silent", err: reconcile.ErrStale, after: true, counted: "error"},
		{name: "retryable backs off", err: errors.New("refused"), failed: true, counted: "error"},
		{name: "permanent is not retried", err: apierrors.NewBadRequest("no"), failed: true, terminal: true, counted: "error"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			registry := prometheus.NewRegistry()

			metrics, err := reconcile.NewMetrics(registry, "secret")
			if err != nil {
				t.Fatal(err)
			}

			shell := &reconcile.Shell[*corev1.Secret]{
				Kind: "secret", New: func() *corev1.Secret { return &corev1.Secret{} }, Client: oneObject{err: tc.get},
				Clock: testingclock.NewFakePassiveClock(time.Unix(0, 0)), Metrics: metrics,
				Pass: func(context.Context, *corev1.Secret) (reconcile.Outcome, error) { return tc.outcome, tc.err },
			}

			result, err := shell.Reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Name: "a"}})

			if (err != nil) != tc.failed || errors.Is(err, ctrlreconcile.TerminalError(nil)) != tc.terminal {
				t.Errorf("error is %v, want one: %v, terminal: %v", err, tc.failed, tc.terminal)
			}

			if (result.RequeueAfter > 0) != tc.after {
				t.Errorf("looks again after %s, want so: %v", result.RequeueAfter, tc.after)
			}

			if got := counted(t, registry); got != tc.counted {
				t.Errorf("counted as %q, want %q", got, tc.counted)
			}
		})
	}
}

// counted is the result that was counted; empty if none was.
func counted(t *testing.T, registry *prometheus.Registry) string {
	t.Helper()

	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}

	for _, family := range families {
		if family.GetName() == "caretaker_secret_reconcile_total" {
			return family.GetMetric()[0].GetLabel()[0].GetValue()
		}
	}

	return ""
}

func TestBackoffGrowsAndIsNotTheSameForAll(t *testing.T) {
	t.Parallel()

	limiter := reconcile.NewRateLimiter()
	request := ctrl.Request{NamespacedName: types.NamespacedName{Name: "a"}}

	first := limiter.When(request)
	for range 20 {
		limiter.When(request)
	}

	last := limiter.When(request)
	if first < 250*time.Millisecond || first > 300*time.Millisecond || last < 2*time.Minute || last > 150*time.Second {
		t.Errorf("waits %s, and after many failures %s", first, last)
	}

	limiter.Forget(request)

	if again := limiter.When(request); again > 300*time.Millisecond {
		t.Errorf("waits %s after a success", again)
	}
}

// terminating is the API server's answer in a namespace that is being deleted: Forbidden, with a cause.
func terminating() error {
	err := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "a", errors.New("the namespace is being terminated"))
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: "NamespaceTerminating"}}

	return err
}
