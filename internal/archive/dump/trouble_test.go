package dump

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/caretaker-dev/caretaker/internal/objectstore"
	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

// TestTrouble: what the store says against a dump comes with what to do, and stays the same error.
func TestTrouble(t *testing.T) {
	t.Parallel()

	s3 := storeconfig.Config{Type: storeconfig.TypeS3, Bucket: "nowhere", Endpoint: "https://s3.example.com"}

	for _, tc := range []struct {
		store storeconfig.Config
		err   error
		want  string
	}{
		{s3, objectstore.ErrNoBucket, "there is no bucket nowhere at https://s3.example.com: make it, or correct spec.destination.bucket (put x: "},
		{storeconfig.Config{Type: storeconfig.TypeGCS, Bucket: "nowhere"}, objectstore.ErrNoBucket, "there is no bucket nowhere: make it"},
		{s3, objectstore.ErrDenied, "the store refuses access to the bucket nowhere at https://s3.example.com: correct the keys in the Secret of spec.destination.secretName"},
		{s3, objectstore.ErrFull, "is full: make room, or keep fewer dumps by spec.retention (put x: "},
		{s3, errors.New("mysqldump failed"), "put x: mysqldump failed"},
		{storeconfig.Config{Type: storeconfig.TypeDir}, objectstore.ErrNoBucket, "put x: no such bucket"},
	} {
		err := Trouble(tc.store, fmt.Errorf("put x: %w", tc.err))
		if !strings.Contains(err.Error(), tc.want) || !errors.Is(err, tc.err) {
			t.Errorf("%v: it says %q, want %q", tc.err, err, tc.want)
		}
	}
}
