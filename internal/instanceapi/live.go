package instanceapi

// Numbers that move by themselves. They are for people and for metrics, and never become part of an object's status.

// Disk is a volume's file system.
type Disk struct {
	TotalBytes int64 `json:"totalBytes"`
	// FreeBytes that PostgreSQL can still use; what is kept in reserve is not among them.
	FreeBytes int64 `json:"freeBytes"`
	// ReserveBytes are kept back for when it is full.
	ReserveBytes int64 `json:"reserveBytes,omitempty"`
	// ReadOnly: so little is left that writes are refused.
	ReadOnly bool `json:"readOnly,omitempty"`
}

// UsedPercent of the file system, rounded up, so that 100 means that nothing is left.
func (d Disk) UsedPercent() int {
	if d.TotalBytes <= 0 {
		return 0
	}

	used := max(0, d.TotalBytes-d.FreeBytes)

	return int((100*used + d.TotalBytes - 1) / d.TotalBytes)
}

// IsShared says whether the file system is so much larger than the volume of these bytes that others must use it too: some storage
// classes give folders. It never grows with the volume.
func (d Disk) IsShared(volumeBytes int64) bool { return d.TotalBytes > 2*volumeBytes }

// IsFilling says whether so much of the volume is used, in percent, that somebody should know. Of a file system that is shared it is
// when less is free than a volume was promised: a share of what others fill says nothing.
func (d Disk) IsFilling(volumeBytes int64, percent int) bool {
	if d.IsShared(volumeBytes) {
		return d.FreeBytes < volumeBytes
	}

	return d.UsedPercent() >= percent
}

// Log is where an instance's WAL stands.
type Log struct {
	// LSN is the end of what the primary has written, or of what a replica has received.
	LSN string `json:"lsn,omitempty"`
	// ReplayLSN is what a replica has replayed.
	ReplayLSN string `json:"replayLSN,omitempty"`
}

// Protocol is how an instance stands in the failover protocol.
type Protocol struct {
	// Phase, such as Primary or Standby.
	Phase string `json:"phase"`
	// Authority: this primary may let clients write.
	Authority bool `json:"authority,omitempty"`
	// PromisesHeld of PromisesNeeded are what the authority rests on while the Kubernetes API cannot be read.
	PromisesHeld   int `json:"promisesHeld,omitempty"`
	PromisesNeeded int `json:"promisesNeeded,omitempty"`
	// Voters acknowledge commits, by instance; Acks of them each.
	Voters []string `json:"voters,omitempty"`
	Acks   int      `json:"acks,omitempty"`
	// SyncWaiters are backends that wait for an acknowledgement.
	SyncWaiters int `json:"syncWaiters,omitempty"`
	// Deaths is how often PostgreSQL ended by itself within ten minutes while this instance leads; 0 unless that is so often
	// that starting it again is no remedy, and no other instance takes over.
	Deaths int `json:"deaths,omitempty"`
}
