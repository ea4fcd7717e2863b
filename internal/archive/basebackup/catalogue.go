package basebackup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caretaker-dev/caretaker/internal/archive/layout"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
)

// Backup is what the store knows of a backup.
type Backup struct {
	ID string `json:"id"`
	// Manifest is nil if the backup was interrupted, is still being taken, or is being deleted.
	Manifest *Manifest `json:"manifest,omitempty"`
	// Started says that it was begun, and by whom.
	Started time.Time `json:"started,omitzero"`
	// Parent of a backup that is being taken.
	Parent string `json:"parent,omitempty"`
	// Expired is when retention marked it; it will be deleted. It can be restored until then.
	Expired *time.Time `json:"expired,omitempty"`
	// Problem is why the manifest cannot be used, if there is one.
	Problem string `json:"problem,omitempty"`
}

// List reads the catalogue from the store alone, oldest first: complete backups, and the traces of others. A damaged manifest is
// a backup with a Problem, not an error.
func List(ctx context.Context, store objectstore.Store) ([]Backup, error) {
	var found []Backup

	for after := ""; ; {
		id, err := nextID(ctx, store, after)
		if err != nil {
			return nil, fmt.Errorf("list the backups: %w", err)
		}

		if id == "" {
			return found, nil
		}

		b, err := look(ctx, store, id)
		if err != nil {
			return nil, err
		}

		found = append(found, b)
		// Nothing but what lies under the ID is between "<id>/" and "<id>0".
		after = layout.BackupsPrefix + id + "0"
	}
}

// nextID skips all objects of the backups before it.
func nextID(ctx context.Context, store objectstore.Store, after string) (string, error) {
	for info, err := range store.List(ctx, layout.BackupsPrefix, after) {
		if err != nil {
			return "", err
		}

		if id, _, isBelow := strings.Cut(strings.TrimPrefix(info.Key, layout.BackupsPrefix), "/"); isBelow {
			return id, nil
		}
	}

	return "", nil
}

// look reads the small objects of one backup.
func look(ctx context.Context, store objectstore.Store, id string) (Backup, error) {
	b := Backup{ID: id}

	m, err := ReadManifest(ctx, store, id)

	var damaged *DamagedError

	switch {
	case errors.Is(err, ErrNoBackup):
	case errors.As(err, &damaged):
		b.Problem = err.Error()
	case err != nil:
		return b, err
	default:
		b.Manifest, b.Started, b.Parent = m, m.Started, m.Parent
	}

	if b.Manifest == nil {
		var mark started
		if _, err := getJSON(ctx, store, startedKey(id), &mark); err != nil {
			return b, err
		}

		b.Started, b.Parent = mark.At, mark.Parent
	}

	var mark expired

	isMarked, err := getJSON(ctx, store, expiredKey(id), &mark)
	if isMarked {
		b.Expired = &mark.At
	}

	return b, err
}

const maxMarkBytes = 1 << 20

// getJSON reads a small object; false if there is none, or none that can be read.
func getJSON(ctx context.Context, store objectstore.Store, key string, into any) (bool, error) {
	body, err := objectstore.Get(ctx, store, key, maxMarkBytes)
	if errors.Is(err, objectstore.ErrNotFound) {
		return false, nil
	}

	if err != nil {
		return false, fmt.Errorf("read %s: %w", key, err)
	}

	return json.Unmarshal(body, into) == nil, nil
}

// OwnerError says that a store holds another server's archive.
type OwnerError struct{ Have, Want string }

// Error says what to do.
func (e *OwnerError) Error() string {
	return fmt.Sprintf("the store holds the archive of the server with system identifier %s, and this one's is %s: use another server name or "+
		"another prefix", e.Have, e.Want)
}

// identity is the object that says whose archive it is.
type identity struct {
	SystemIdentifier string `json:"systemIdentifier"`
}

// CheckOwner refuses a store that holds another server's archive, and claims one that is nobody's.
func CheckOwner(ctx context.Context, store objectstore.Store, systemIdentifier string) error {
	body, err := json.Marshal(identity{SystemIdentifier: systemIdentifier})
	if err != nil {
		return fmt.Errorf("encode the identity: %w", err)
	}

	err = store.PutIfAbsent(ctx, layout.Identity, body)
	if err == nil || !errors.Is(err, objectstore.ErrExists) {
		return err
	}

	var have identity

	ok, err := getJSON(ctx, store, layout.Identity, &have)
	if err != nil {
		return err
	}

	if !ok || have.SystemIdentifier == "" {
		return &DamagedError{Key: layout.Identity, Reason: "it names no system identifier"}
	}

	if have.SystemIdentifier != systemIdentifier {
		return &OwnerError{Have: have.SystemIdentifier, Want: systemIdentifier}
	}

	return nil
}
