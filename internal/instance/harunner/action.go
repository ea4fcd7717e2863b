package harunner

import (
	"fmt"
	"strings"

	"github.com/caretaker-dev/caretaker/internal/ha"
)

// opOf is the operation's number of an action that reports its end.
func opOf(action ha.Action) (op uint64, ok bool) {
	switch a := action.(type) {
	case ha.StartStandby:
		return a.Op, true
	case ha.StartPrimary:
		return a.Op, true
	case ha.StopReceiving:
		return a.Op, true
	case ha.WaitReplayEnd:
		return a.Op, true
	case ha.Promote:
		return a.Op, true
	case ha.CommitTermMessage:
		return a.Op, true
	case ha.Fence:
		return a.Op, true
	case ha.StopFast:
		return a.Op, true
	case ha.Rewind:
		return a.Op, true
	case ha.Discard:
		return a.Op, true
	case ha.Reclone:
		return a.Op, true
	default:
		return 0, false
	}
}

func nameOf(action ha.Action) string { return strings.TrimPrefix(fmt.Sprintf("%T", action), "ha.") }

// SyncNames is the value of synchronous_standby_names for a rule; empty for none.
func SyncNames(s ha.Sync) string {
	if s.Acks == 0 || len(s.Voters) == 0 {
		return ""
	}

	names := make([]string, 0, len(s.Voters))
	for _, v := range s.Voters {
		names = append(names, `"`+strings.ReplaceAll(string(v), `"`, `""`)+`"`)
	}

	return fmt.Sprintf("ANY %d (%s)", s.Acks, strings.Join(names, ", "))
}
