package dump

import (
	"errors"
	"fmt"
	"strings"

	"github.com/caretaker-dev/caretaker/internal/objectstore"
	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

// Trouble is an error with what to do about it, first, where the store has said what is wrong. Fields are those of a Backup. A folder on a
// volume speaks for itself.
func Trouble(store storeconfig.Config, err error) error {
	if store.Type == storeconfig.TypeDir {
		return err
	}

	where := store.Bucket
	if store.Endpoint != "" {
		where += " at " + store.Endpoint
	}

	for _, known := range []struct {
		says   error
		remedy string
	}{
		{objectstore.ErrNoBucket, "there is no bucket " + where + ": make it, or correct spec.destination.bucket"},
		{objectstore.ErrDenied, "the store refuses access to the bucket " + where + ": correct the keys in the Secret of spec.destination.secretName, or give them the right"},
		{objectstore.ErrFull, "the store of the bucket " + where + " is full: make room, or keep fewer dumps by spec.retention"},
	} {
		// What is wrong with a clock is said already.
		if errors.Is(err, known.says) && !strings.Contains(err.Error(), "clock") {
			return fmt.Errorf("%s (%w)", known.remedy, err)
		}
	}

	return err
}
