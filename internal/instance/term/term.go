package term

import (
	"context"
	"errors"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
)

var (
	// ErrMissing says that there is no record.
	ErrMissing = errors.New("the term record does not exist")
	// ErrConflict says that someone else has changed the record since it was read.
	ErrConflict = errors.New("the term record was changed by another")
)

// Record is a term with the version that a compare-and-swap needs.
type Record struct {
	Spec postgresqlv1.ClusterTermSpec
	// Version is opaque.
	Version string
}

// Store keeps the term record.
type Store interface {
	// Get reads the record live. ErrMissing if there is none; any other error means that it could not be read.
	Get(ctx context.Context) (Record, error)
	// CompareAndSwap writes the spec if the record still has that version, and returns what was written. ErrConflict
	// if it has not. After any other error the write may or may not have happened: read again.
	CompareAndSwap(ctx context.Context, version string, spec postgresqlv1.ClusterTermSpec) (Record, error)
}
