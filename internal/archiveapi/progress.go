package archiveapi

import "time"

// Progress of a long operation.
type Progress struct {
	Phase   string `json:"phase"`
	Percent int    `json:"percent"`
	// BytesDone of BytesTotal.
	BytesDone  int64 `json:"bytesDone"`
	BytesTotal int64 `json:"bytesTotal"`
	// EstimatedCompletion is nil as long as nothing can be said.
	EstimatedCompletion *time.Time `json:"estimatedCompletion,omitempty"`
}

// The phases that Progress names.
const (
	PhaseStarting = "Starting"
	PhaseCopying  = "Copying"
	// PhaseSnapshot: the server is in backup mode, and waits for the snapshot of its volume to be taken.
	PhaseSnapshot  = "AwaitingSnapshot"
	PhaseFinishing = "Finishing"
	PhaseWaiting   = "WaitingForWAL"
	PhaseRestoring = "Restoring"
	PhaseSyncing   = "Syncing"
	PhaseVerifying = "Verifying"
	PhaseDone      = "Done"
)
