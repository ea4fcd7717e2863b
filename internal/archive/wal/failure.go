package wal

import (
	"errors"
	"time"

	"github.com/caretaker-dev/caretaker/internal/objectstore"
)

// failed goes on with a failure, or begins one.
func failed(before *Failure, name string, now time.Time, err error) *Failure {
	since := now
	if before != nil {
		since = before.Since
	}

	return &Failure{Since: since, Last: now, Name: name, Reason: reasonOf(err), Message: err.Error()}
}

func reasonOf(err error) string {
	for _, known := range []struct {
		err    error
		reason string
	}{
		{ErrDifferent, ReasonDifferent},
		{ErrOtherCluster, ReasonOtherCluster},
		{ErrDamaged, ReasonDamaged},
		{objectstore.ErrDenied, ReasonDenied},
		{objectstore.ErrFull, ReasonFull},
		{objectstore.ErrInvalid, ReasonFailed},
		{objectstore.ErrNoBucket, ReasonNoBucket},
		{objectstore.ErrNotFound, ReasonFailed},
	} {
		if errors.Is(err, known.err) {
			return known.reason
		}
	}

	return ReasonUnreachable
}
