package ha

// guard is a rule of the protocol that a test can take away, to see that the simulator then finds a violation.
type guard uint64

const (
	gDurable         guard = 1 << iota // a pledge is on the disk before it is answered
	gStopBeforeReply                   // a voter has really stopped receiving before it answers
	gQuorum                            // R = n - W + 1 pledges under the rule recorded at naming
	gNameCAS                           // one candidate per term
	gBest                              // the candidate has the best log of those pledged
	gOrderByTerm                       // logs are ordered by the term of their last promotion, not by LSN alone
	gEstFlush                          // W voters have flushed the term's message before it is established
	gEstCAS                            // clients only after the record says established
	gGate                              // after a restart in place, clients only after W voters have what it recovered
	gProof                             // nothing starts read-write without proof of the term
	gIdent                             // voters are volumes, not names
	gBarrier                           // PostgreSQL first: all walsenders reloaded and W flushed, then the record
	gCkptBarrier                       // the checkpointer too
	gRecordFirst                       // weaker rules go to the record first
	gChooseAfter                       // a switchover's candidate is chosen after the shutdown
	gUniqueTL                          // no two terms share a timeline
	gClientsOut                        // closed means closed
	gRewind                            // rewind onto established primaries only
	gAuthUnion                         // with W = 0, promises of the recorded rule and of the one asked for
	gPromiseWait                       // a voter waits out its promise
	gBootWait                          // also the one that it may have forgotten
	gOpenWait                          // clients only after the old primary's authority
	gPendCheck                         // a read that shows a pending term gives no authority
	gTerm                              // no streaming from a term below the pledged one
	gClaim                             // the record is weakened back to only by the run that has claimed it
	gDrift                             // fencing leaves a margin for clocks that drift
	gRecordBehind                      // halt when the record is older than the volume

	gEstMark       // promises prove only a term that was established
	gEndedRun      // that a run has ended says nothing of a later one
	gSettle        // the end of the log is known before another leader is followed
	gAsked         // a promise lasts as long as the primary asked for, not as the voter's own settings have
	gPatience      // a candidate has longer, the more were replaced before it
	gClientsGone   // a primary that stops keeps its authority until its last client is gone
	gClosedForGood // a run that told that it serves nobody leads no more in its term
	gPrefix        // a candidate needs W others that can follow it without a rewind
	gOverdue       // who is well, closed and without enough replicas gives up after a while
	gAside         // who gave up lets others go first
	gDying         // a primary whose PostgreSQL dies again and again hands over
	gOnce          // and who took over from it does not
	gQuiet         // a walreceiver that may still start is waited for, unless nobody sends
)

func (s *State) without(g guard) bool { return s.Settings.off&g != 0 }
