package main

import (
	"context"
	"errors"
	"os"

	"filippo.io/age"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archive/basebackup"
	"github.com/caretaker-dev/caretaker/internal/archive/crypt"
	"github.com/caretaker-dev/caretaker/internal/archive/wal"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
)

// opened is an archive that is ready for use.
type opened struct {
	*wal.Archive

	target     archiveapi.Target
	identities []age.Identity
}

func (f *archiveFlags) open(ctx context.Context) (*opened, error) {
	target, err := f.target()
	if err != nil {
		return nil, err
	}

	return openArchive(ctx, target)
}

func openArchive(ctx context.Context, target archiveapi.Target) (*opened, error) {
	archive, err := wal.Open(ctx, target)
	if err != nil {
		return nil, err
	}

	o := &opened{Archive: archive, target: target}
	if o.identities, err = readIdentities(target.IdentitiesFile); err != nil {
		return nil, err
	}

	return o, nil
}

// read gives a file of the archive.
func (o *opened) read(ctx context.Context, name string) ([]byte, error) {
	return o.Fetch(ctx, name)
}

// check reads a file of the archive back.
func (o *opened) check(ctx context.Context, name string) error {
	_, err := o.Fetch(ctx, name)

	return damagedWAL(name, err)
}

// damagedWAL says of a file of WAL that is damaged so as basebackup says it of its own objects.
func damagedWAL(name string, err error) error {
	if errors.Is(err, wal.ErrDamaged) {
		return &basebackup.DamagedError{Key: name, Reason: err.Error()}
	}

	return err
}

func readIdentities(file string) ([]age.Identity, error) {
	if file == "" {
		return nil, nil
	}

	content, err := os.ReadFile(file) //nolint:gosec // the user's own file
	if err != nil {
		return nil, err
	}

	return crypt.ParseIdentities(string(content))
}

func readRecipients(file string) ([]age.Recipient, error) {
	if file == "" {
		return nil, nil
	}

	content, err := os.ReadFile(file) //nolint:gosec // the user's own file
	if err != nil {
		return nil, err
	}

	return crypt.ParseRecipients(string(content))
}

// errNotRestorable makes the command fail when what it looked for is not so.
var errNotRestorable = errors.New("the backup cannot be restored")

func realClock() clock.WithTicker { return clock.RealClock{} }
