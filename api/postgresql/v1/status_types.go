package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ClusterStatus is the state of a Cluster as last seen. It holds facts and moments, not numbers that move by themselves.
type ClusterStatus struct {
	// ObservedGeneration is the generation that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Instances that exist.
	// +optional
	Instances int32 `json:"instances"`

	// ReadyInstances serve: the primary accepts writes, a replica streams.
	// +optional
	ReadyInstances int32 `json:"readyInstances"`

	// Selector of the pods, for the scale subresource.
	// +optional
	Selector string `json:"selector,omitempty"`

	// Primary is the name of the primary's pod.
	// +optional
	Primary string `json:"primary,omitempty"`

	// Term of the primary.
	// +optional
	Term int64 `json:"term,omitempty"`

	// TimelineID that the primary writes.
	// +optional
	TimelineID int64 `json:"timelineID,omitempty"`

	// SystemID is PostgreSQL's system identifier.
	// +optional
	SystemID string `json:"systemID,omitempty"`

	// Image that the instances run, or are moving to; pinned when the Cluster was created if the spec names none.
	// +optional
	Image string `json:"image,omitempty"`

	// Major version of the data, pinned when it was initialized; 0 before.
	// +optional
	Major int32 `json:"major,omitempty"`

	// Version of PostgreSQL on the primary.
	// +optional
	Version string `json:"version,omitempty"`

	// Members is one entry for each instance.
	// +optional
	// +listType=map
	// +listMapKey=name
	Members []MemberStatus `json:"members,omitempty"`

	// PendingRestart names parameters that wait for a restart.
	// +optional
	// +listType=set
	PendingRestart []string `json:"pendingRestart,omitempty"`

	// Certificates in use and when they end.
	// +optional
	// +listType=map
	// +listMapKey=secret
	Certificates []CertificateStatus `json:"certificates,omitempty"`

	// DataDurability that is in force: required or preferred.
	// +optional
	DataDurability DataDurability `json:"dataDurability,omitempty"`

	// LastFailover is the last change of primary that nobody asked for: the first of failoverHistory.
	// +optional
	LastFailover *FailoverStatus `json:"lastFailover,omitempty"`

	// FailoverHistory is the evidence of the last ten, the newest first.
	// +optional
	// +listType=map
	// +listMapKey=term
	// +kubebuilder:validation:MaxItems=10
	FailoverHistory []FailoverStatus `json:"failoverHistory,omitempty"`

	// LastSwitchover is the last one asked for by annotation.
	// +optional
	LastSwitchover *SwitchoverStatus `json:"lastSwitchover,omitempty"`

	// Takedowns is how often the operator itself has taken the primary down for the same specification; empty once that
	// lies an hour back and the Cluster is at rest.
	// +optional
	Takedowns *TakedownsStatus `json:"takedowns,omitempty"`

	// Archiving is how far WAL has reached the archive.
	// +optional
	Archiving *ArchivingStatus `json:"archiving,omitempty"`

	// Backups is what can be recovered, and when that was last proved.
	// +optional
	Backups *BackupsStatus `json:"backups,omitempty"`

	// Recovery is how this Cluster came from a backup.
	// +optional
	Recovery *RecoveryStatus `json:"recovery,omitempty"`

	// RecoverInPlace is how the last recovery in place went.
	// +optional
	RecoverInPlace *RecoverInPlaceStatus `json:"recoverInPlace,omitempty"`

	// SetAside are the volumes that recoveries in place set aside, one entry for each recovery. The operator does not delete them.
	// +optional
	// +listType=map
	// +listMapKey=id
	SetAside []SetAsideStatus `json:"setAside,omitempty"`

	// StorageSize is what autoGrow has made of spec.storage.size; empty while it has done nothing.
	// +optional
	StorageSize string `json:"storageSize,omitempty"`

	// Hibernated is since when no instance runs on the user's request.
	// +optional
	Hibernated *metav1.Time `json:"hibernated,omitempty"`

	// Conditions: Ready, Reconciling, Stalled, and those of single features.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// MemberRole is what an instance is at the moment.
type MemberRole string

// The member roles.
const (
	RolePrimary MemberRole = "primary"
	RoleReplica MemberRole = "replica"
)

// MemberStatus is the state of one instance.
type MemberStatus struct {
	// Name of the pod and of its volume.
	Name string `json:"name"`
	// MemberID lives on the volume.
	// +optional
	MemberID string `json:"memberID,omitempty"`
	// Role: primary or replica; empty while unknown.
	// +optional
	Role MemberRole `json:"role,omitempty"`
	// Ready: serves as its role should.
	Ready bool `json:"ready"`
	// State in one word, such as Running, Cloning, Unreachable.
	// +optional
	State string `json:"state,omitempty"`
	// Message says what is waited for, or what is wrong and what to do.
	// +optional
	Message string `json:"message,omitempty"`
	// Node that the pod runs on.
	// +optional
	Node string `json:"node,omitempty"`
	// Streaming is since when a replica has been streaming.
	// +optional
	Streaming *metav1.Time `json:"streaming,omitempty"`
	// Version of PostgreSQL.
	// +optional
	Version string `json:"version,omitempty"`
	// SyncState of a replica as the primary sees it: quorum if its acknowledgement counts, async if not.
	// +optional
	SyncState string `json:"syncState,omitempty"`
	// LastRejoin is how it last came back behind another primary.
	// +optional
	LastRejoin *RejoinStatus `json:"lastRejoin,omitempty"`
	// LastCrash is when PostgreSQL last ended by itself, and was started again.
	// +optional
	LastCrash *CrashStatus `json:"lastCrash,omitempty"`
	// LastFence is when it last killed its PostgreSQL, as it might no longer lead.
	// +optional
	LastFence *FenceStatus `json:"lastFence,omitempty"`
}

// FailoverStatus is a change of primary.
type FailoverStatus struct {
	// From is the primary before.
	From string `json:"from"`
	// To is the primary since.
	To string `json:"to"`
	// Term of the new primary.
	Term int64 `json:"term"`
	// At is when the new primary let clients in, or, until it has told that, when the operator saw it.
	At metav1.Time `json:"at"`
	// Reason why the primary before was given up, in the new primary's words.
	// +optional
	Reason string `json:"reason,omitempty"`
	// TimelineID that the new primary writes.
	// +optional
	TimelineID int64 `json:"timelineID,omitempty"`
	// ForkLSN is where the new timeline left the one before.
	// +optional
	ForkLSN string `json:"forkLSN,omitempty"`
	// GapMilliseconds from when the new primary last heard the one before until it let clients in.
	// +optional
	GapMilliseconds *int64 `json:"gapMilliseconds,omitempty"`
	// FromMemberID is the member that From was, as far as that is known.
	// +optional
	FromMemberID string `json:"fromMemberID,omitempty"`
	// Returned is how the primary before came back: Followed from what it had, Rewound to the fork, or Cloned anew. Replaced:
	// it did not, another member has its name, on another volume. Removed: no instance has its name any more. Unknown: it is
	// back, and nothing tells how. Empty until then.
	// +optional
	Returned RejoinMethod `json:"returned,omitempty"`
	// BytesDiscarded is log of the primary before that was beyond the fork when it came back. Where commits wait for
	// replicas, nothing that was acknowledged is in it.
	// +optional
	BytesDiscarded *int64 `json:"bytesDiscarded,omitempty"`
	// DivergentWAL is the folder, on the volume of the primary before, that keeps what was discarded.
	// +optional
	DivergentWAL string `json:"divergentWAL,omitempty"`
}

// RejoinMethod is how an instance came back behind another primary.
type RejoinMethod string

// The methods of rejoining.
const (
	RejoinFollowed RejoinMethod = "Followed"
	RejoinRewound  RejoinMethod = "Rewound"
	RejoinCloned   RejoinMethod = "Cloned"
	// RejoinReplaced, RejoinRemoved and RejoinUnknown are of former primaries that have nothing to tell themselves.
	RejoinReplaced RejoinMethod = "Replaced"
	RejoinRemoved  RejoinMethod = "Removed"
	RejoinUnknown  RejoinMethod = "Unknown"
)

// RejoinStatus is how an instance last came back behind another primary.
type RejoinStatus struct {
	// Method: Followed, Rewound or Cloned.
	Method RejoinMethod `json:"method"`
	// Term of the primary that it came back behind.
	Term int64 `json:"term"`
	// At is when.
	At metav1.Time `json:"at"`
	// Reason why it could not simply follow.
	// +optional
	Reason string `json:"reason,omitempty"`
	// BytesDiscarded of its log, beyond where the new timeline began.
	// +optional
	BytesDiscarded int64 `json:"bytesDiscarded,omitempty"`
	// DivergentWAL is the folder on its volume that keeps them.
	// +optional
	DivergentWAL string `json:"divergentWAL,omitempty"`
}

// CrashStatus is a moment at which PostgreSQL ended by itself.
type CrashStatus struct {
	// At is when.
	At metav1.Time `json:"at"`
	// Reason is how it ended, such as "killed by SIGKILL", and what it said last.
	// +optional
	Reason string `json:"reason,omitempty"`
}

// FenceStatus is a moment at which an instance cut its clients off and killed its PostgreSQL, as it might no longer lead.
type FenceStatus struct {
	// At is when.
	At metav1.Time `json:"at"`
	// Reason in the instance's words.
	// +optional
	Reason string `json:"reason,omitempty"`
}

// SwitchoverResult is how a switchover stands.
type SwitchoverResult string

// The results of a switchover.
const (
	SwitchoverInProgress SwitchoverResult = "InProgress"
	SwitchoverCompleted  SwitchoverResult = "Completed"
	SwitchoverFailed     SwitchoverResult = "Failed"
	SwitchoverRefused    SwitchoverResult = "Refused"
)

// SwitchoverStatus is what became of the annotation caretaker.dev/switchover.
type SwitchoverStatus struct {
	// Request is the annotation's value.
	Request string `json:"request"`
	// From is the primary that was asked to hand over.
	// +optional
	From string `json:"from,omitempty"`
	// To is the one that leads since.
	// +optional
	To string `json:"to,omitempty"`
	// Result so far.
	// +kubebuilder:validation:Enum=InProgress;Completed;Failed;Refused
	Result SwitchoverResult `json:"result"`
	// Message says why, if it was refused or failed.
	// +optional
	Message string `json:"message,omitempty"`
	// StartedAt is when it was asked for.
	StartedAt metav1.Time `json:"startedAt"`
	// Term in which the primary was last asked to hand over. If it leads again in a later one, no replica had its whole log
	// in time.
	// +optional
	Term int64 `json:"term,omitempty"`
	// Attempts is how often it was asked.
	// +optional
	Attempts int32 `json:"attempts,omitempty"`
}

// TakedownsStatus counts how often the operator had the primary hand over, restart or be replaced, for one specification.
// A change that is never satisfied is given up after a few.
type TakedownsStatus struct {
	// Generation of the specification that they were for. A new one counts anew.
	// +optional
	Generation int64 `json:"generation,omitempty"`
	// Request is the value of caretaker.dev/restart that they were for. A new one counts anew.
	// +optional
	Request string `json:"request,omitempty"`
	// Count of them.
	Count int32 `json:"count"`
	// Run of PostgreSQL that was last asked to end: asking again is the same.
	Run string `json:"run"`
	// Since is when the first was asked for.
	Since metav1.Time `json:"since"`
	// At is when the last was asked for.
	At metav1.Time `json:"at"`
}

// CertificateStatus is a certificate in use.
type CertificateStatus struct {
	// Secret that holds it.
	Secret string `json:"secret"`
	// NotAfter is when it ends.
	NotAfter metav1.Time `json:"notAfter"`
}
