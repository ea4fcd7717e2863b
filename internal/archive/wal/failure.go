package wal

import (
	"errors"
	"time"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
)

// failed goes on with a failure, or begins one.
func failed(before *archiveapi.Failure, name string, now time.Time, err error) *archiveapi.Failure {
	since := now
	if before != nil {
		since = before.Since
	}

	return &archiveapi.Failure{Since: since, Last: now, Name: name, Reason: reasonOf(err), Message: err.Error()}
}

func reasonOf(err error) string {
	for _, known := range []struct {
		err    error
		reason string
	}{
		{ErrDifferent, archiveapi.ReasonDifferent},
		{ErrOtherCluster, archiveapi.ReasonOtherCluster},
		{ErrDamaged, archiveapi.ReasonDamaged},
		{objectstore.ErrDenied, archiveapi.ReasonDenied},
		{objectstore.ErrFull, archiveapi.ReasonFull},
		{objectstore.ErrInvalid, archiveapi.ReasonFailed},
		{objectstore.ErrNoBucket, archiveapi.ReasonNoBucket},
		{objectstore.ErrNotFound, archiveapi.ReasonFailed},
	} {
		if errors.Is(err, known.err) {
			return known.reason
		}
	}

	return archiveapi.ReasonUnreachable
}
