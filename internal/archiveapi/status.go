package archiveapi

import (
	"time"

	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// Status of an archiver, as its socket gives it in JSON.
type Status struct {
	// Push is nil if no archive is configured.
	Push  *PushStatus `json:"push,omitempty"`
	Fetch FetchStatus `json:"fetch"`
}

// PushStatus is how archiving is going.
type PushStatus struct {
	// LastArchived is the file that PostgreSQL was last told is archived, by this process; when.
	LastArchived     string    `json:"lastArchived,omitempty"`
	LastArchivedTime time.Time `json:"lastArchivedTime,omitzero"`
	// Failing since its first failure, until something succeeds. Nil: all is well.
	Failing *Failure `json:"failing,omitempty"`
	// Backlog is what PostgreSQL waits to have archived.
	Backlog Backlog `json:"backlog"`
	// Gap in the archive before what was archived last. Nil: none found. It is looked at again every minute.
	Gap *Gap `json:"gap,omitempty"`
	// Unconditional: the store ignores "put if absent". Two clusters on one place may overwrite each other's WAL in a race.
	Unconditional bool `json:"unconditional,omitempty"`
	// Standby: this server leaves archiving to the primary, and keeps each segment until it is known to be archived.
	Standby bool `json:"standby,omitempty"`

	// Totals since this process started: files that were sent, those that were there already, bytes before and after
	// compression, and failed attempts.
	Sent        int64 `json:"sent"`
	WereThere   int64 `json:"wereThere"`
	PlainBytes  int64 `json:"plainBytes"`
	StoredBytes int64 `json:"storedBytes"`
	Failures    int64 `json:"failures"`
}

// FetchStatus is how recovery is being fed.
type FetchStatus struct {
	LastFetched     string    `json:"lastFetched,omitempty"`
	LastFetchedTime time.Time `json:"lastFetchedTime,omitzero"`
	Failing         *Failure  `json:"failing,omitempty"`
	// Prefetched segments on disk now.
	Prefetched int `json:"prefetched"`
	// Totals since this process started: files given, how many of them were there already, and failures.
	Given    int64 `json:"given"`
	Hits     int64 `json:"hits"`
	Failures int64 `json:"failures"`
}

// Reasons of failures.
const (
	// ReasonUnreachable may go away by itself.
	ReasonUnreachable = "StoreUnreachable"
	// ReasonDenied needs a person: credentials, permissions, the clock.
	ReasonDenied = "AccessDenied"
	// ReasonNoBucket is a bucket, container or directory that does not exist.
	ReasonNoBucket = "NoSuchBucket"
	// ReasonFull is a store without room.
	ReasonFull = "StoreFull"
	// ReasonDifferent is other content under the same name.
	ReasonDifferent = "DifferentContent"
	// ReasonOtherCluster is a place that belongs to another cluster.
	ReasonOtherCluster = "OtherCluster"
	// ReasonDamaged is an object that is not what was archived.
	ReasonDamaged = "DamagedObject"
	// ReasonFailed is anything else, the configuration for instance.
	ReasonFailed = "Failed"
)

// Failure that goes on.
type Failure struct {
	Since time.Time `json:"since"`
	Last  time.Time `json:"last"`
	// Name of the file that fails.
	Name    string `json:"name"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Backlog of archive_status.
type Backlog struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
	// Oldest segment that waits, and since when.
	Oldest      string    `json:"oldest,omitempty"`
	OldestSince time.Time `json:"oldestSince,omitzero"`
}

// Gap is WAL that is in no archive: the segments from First to Last, both included.
type Gap struct {
	Timeline postgres.Timeline `json:"timeline"`
	First    string            `json:"first"`
	Last     string            `json:"last"`
}
