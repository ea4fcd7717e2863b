package ha

import (
	"os"
	"strings"
	"testing"
	"time"
)

func guardNames() map[string]guard {
	return map[string]guard{
		"Durable": gDurable, "StopBeforeReply": gStopBeforeReply, "Quorum": gQuorum, "NameCAS": gNameCAS, "Best": gBest,
		"OrderByTerm": gOrderByTerm, "EstFlush": gEstFlush, "EstCAS": gEstCAS, "Gate": gGate, "Proof": gProof,
		"Ident": gIdent, "Barrier": gBarrier, "CkptBarrier": gCkptBarrier, "RecordFirst": gRecordFirst,
		"ChooseAfter": gChooseAfter, "UniqueTL": gUniqueTL, "ClientsOut": gClientsOut, "Rewind": gRewind,
		"AuthUnion": gAuthUnion, "PromiseWait": gPromiseWait, "BootWait": gBootWait, "OpenWait": gOpenWait,
		"PendCheck": gPendCheck, "Term": gTerm, "Claim": gClaim, "Drift": gDrift, "RecordBehind": gRecordBehind,
		"EstMark": gEstMark, "Prefix": gPrefix, "ClientsGone": gClientsGone, "ClosedForGood": gClosedForGood, "Patience": gPatience, "Asked": gAsked, "EndedRun": gEndedRun, "Settle": gSettle,
		"Overdue": gOverdue, "Aside": gAside, "Dying": gDying, "Once": gOnce, "Quiet": gQuiet,
	}
}

// TestExplore searches for the seeds that miss a guard: EXPLORE=Gate,Term or all, N seeds of each configuration.
func TestExplore(t *testing.T) {
	only := os.Getenv("EXPLORE")
	if only == "" {
		t.Skip()
	}
	n := envNumber(t, "N", 500)
	for name, g := range guardNames() {
		if only != "all" && !strings.Contains(","+only+",", ","+name+",") {
			continue
		}
		for _, o := range configs() {
			o.off, o.noLive, o.heal = g, true, 8*time.Second
			for i := range n {
				if w := simulate(o, i); w.fail != "" {
					t.Logf("%-16s %-18s seed %d: %s", name, o.name, i, w.fail)
					break
				}
			}
		}
	}
}
