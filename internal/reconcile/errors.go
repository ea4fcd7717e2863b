package reconcile

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrlreconcile "sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Class of an error: what is done about it.
type Class string

// The classes of errors.
const (
	// ClassNone is no error.
	ClassNone Class = "none"
	// ClassConflict: somebody else was faster; look again and decide again, silently.
	ClassConflict Class = "conflict"
	// ClassRetryable: may go away by itself, such as a timeout, a full quota or a missing permission.
	ClassRetryable Class = "retryable"
	// ClassPermanent: the same request will always fail, until the object or something it refers to changes.
	ClassPermanent Class = "permanent"
)

// ErrStale says that what a decision stood on has changed meanwhile; it is of ClassConflict.
var ErrStale = errors.New("the observed state has changed")

// permanent is implemented by errors that know to be permanent.
type permanent interface{ Permanent() bool }

// Classify sorts an error. Forbidden is retryable: a quota or a role is changed without anything that we watch changing.
// So is a namespace that is being deleted, which forbids new objects until it is gone: that may take minutes.
func Classify(err error) Class {
	var known permanent

	switch {
	case err == nil:
		return ClassNone
	case errors.Is(err, ErrStale), apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return ClassConflict
	case errors.As(err, &known):
		if known.Permanent() {
			return ClassPermanent
		}

		return ClassRetryable
	case errors.Is(err, ctrlreconcile.TerminalError(nil)),
		apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsMethodNotSupported(err),
		apierrors.IsNotAcceptable(err), apierrors.IsUnsupportedMediaType(err), apierrors.IsRequestEntityTooLargeError(err):
		return ClassPermanent
	case errors.Is(err, context.Canceled):
		return ClassConflict
	default:
		return ClassRetryable
	}
}
