package archiveapi

import (
	"fmt"
	"time"

	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// Result is the line in which a command with --json says what came out; other lines are its progress.
type Result[T any] struct {
	Result T `json:"result"`
}

// Backup is what PID 1 wants to know of a backup that was taken: some of the fields of its manifest, which is the result of the
// command backup.
type Backup struct {
	// ID of the backup, and of the one that it is incremental to.
	ID     string `json:"id"`
	Parent string `json:"parent,omitempty"`

	SystemIdentifier string `json:"systemIdentifier"`
	Major            int    `json:"major"`

	// A restore needs all WAL from StartLSN, on StartTimeline, to StopLSN, on Timeline.
	Timeline        postgres.Timeline `json:"timeline"`
	StartTimeline   postgres.Timeline `json:"startTimeline"`
	StartLSN        postgres.LSN      `json:"startLSN"`
	StopLSN         postgres.LSN      `json:"stopLSN"`
	WALSegmentBytes int64             `json:"walSegmentBytes"`

	Started   time.Time `json:"started"`
	Completed time.Time `json:"completed"`

	// DataBytes is the size of what a restore writes, StoredBytes that of all objects of this backup.
	DataBytes   int64 `json:"dataBytes"`
	StoredBytes int64 `json:"storedBytes"`
}

// PreparedFile in a data directory that came with a snapshot of a volume has the ID of the backup that the command restore has made it
// ready for.
const PreparedFile = "caretaker.prepared"

// Restored is what PID 1 wants to know of the result of the command restore.
type Restored struct {
	Restored RestoredBackup `json:"restored"`
	Reach    RestoreReach   `json:"reach"`
}

// RestoreReach is where the recovery goes, and how far the archive's timelines go.
type RestoreReach struct {
	// Timeline on which the recovery ends.
	Timeline postgres.Timeline `json:"timeline"`
	// Newest timeline that the archive has a history of; 0 if it has none.
	Newest postgres.Timeline `json:"newestTimeline"`
	// Named is Timeline where PostgreSQL would not find it by itself; else 0.
	Named postgres.Timeline `json:"namedTimeline"`
	// Gap is the first segment that is missing although there are later ones, from Behind on; empty if there is no gap. What comes before
	// it was archived by LastArchived.
	Gap          string    `json:"gap"`
	Behind       string    `json:"behind"`
	LastArchived time.Time `json:"lastArchived"`
}

// InsteadOfGap says what can be recovered to although WAL is missing.
func InsteadOfGap(behind string, archived time.Time) string {
	return fmt.Sprintf("there is WAL from %s on again: begin with a backup that was taken since, or give a target before the gap; what comes before it was archived by %s",
		behind, archived.UTC().Format("2006-01-02 15:04:05 UTC"))
}

// RestoredBackup is the backup that the data were made of.
type RestoredBackup struct {
	Manifest Backup `json:"manifest"`
}

// Expiry is what PID 1 wants to know of the result of the command expire.
type Expiry struct {
	// Left are the complete backups that are left.
	Left []string `json:"left"`
}

// Copied is what PID 1 wants to know of the result of the command copy.
type Copied struct {
	// Backups that the second store has now, of those that were to be copied.
	Backups []string `json:"backups"`
	// LastWAL is the newest segment that it has.
	LastWAL string `json:"lastWAL,omitempty"`
	// Bytes that were copied.
	Bytes int64 `json:"bytes"`
	// Problems are why something was not copied. The rest was.
	Problems []string `json:"problems,omitempty"`
}
