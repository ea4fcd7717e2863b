package instanceapi

import "time"

// Takeover is how an instance came to lead. It is kept on the volume, so that it can be read after PID 1 has restarted.
type Takeover struct {
	// Term and TimelineID since.
	Term       int64 `json:"term"`
	TimelineID int64 `json:"timelineID,omitempty"`
	// From is the primary before.
	From string `json:"from,omitempty"`
	// Request of the switchover; empty for a failover.
	Request string `json:"request,omitempty"`
	// Reason why the primary before was given up, in a few words for people.
	Reason string `json:"reason,omitempty"`
	// ForkLSN is where the new timeline left the old one.
	ForkLSN string `json:"forkLSN,omitempty"`
	// LastHeard is when the primary before was last heard here; OpenedAt when clients were let in.
	LastHeard time.Time `json:"lastHeard"`
	OpenedAt  time.Time `json:"openedAt"`
}

// RejoinMethod is how an instance came back behind another primary.
type RejoinMethod string

// The methods of rejoining.
const (
	// RejoinFollowed: its log ended at or before the fork; it went on from there.
	RejoinFollowed RejoinMethod = "Followed"
	// RejoinRewound: its log went beyond the fork; pg_rewind took that back.
	RejoinRewound RejoinMethod = "Rewound"
	// RejoinCloned: it was copied anew.
	RejoinCloned RejoinMethod = "Cloned"
)

// Rejoin is how an instance last came back behind another primary. It is kept on the volume.
type Rejoin struct {
	// Term of the primary that it came back behind.
	Term   int64        `json:"term"`
	Method RejoinMethod `json:"method"`
	// TimelineID that its own log was on; ForkLSN is where the new timeline left that, EndLSN where its own log ended.
	TimelineID int64  `json:"timelineID,omitempty"`
	ForkLSN    string `json:"forkLSN,omitempty"`
	EndLSN     string `json:"endLSN,omitempty"`
	// DiscardedBytes is EndLSN - ForkLSN: log that no other instance has, none of which was acknowledged where commits
	// wait for replicas.
	DiscardedBytes int64 `json:"discardedBytes,omitempty"`
	// KeptIn is the folder on the volume that holds the discarded log; empty if there is none.
	KeptIn string `json:"keptIn,omitempty"`
	// Missing says why that is not all of it; empty if it is.
	Missing string `json:"missing,omitempty"`
	// Why it could not follow; empty if it could.
	Why string    `json:"why,omitempty"`
	At  time.Time `json:"at"`
}

// Crash is a moment at which PostgreSQL ended by itself. PID 1 starts it again.
type Crash struct {
	At time.Time `json:"at"`
	// How it ended, such as "killed by SIGKILL", and what it said last.
	How string `json:"how"`
}

// Fence is a moment at which an instance cut its clients off and killed PostgreSQL, as it might no longer lead.
type Fence struct {
	At  time.Time `json:"at"`
	Why string    `json:"why"`
}
