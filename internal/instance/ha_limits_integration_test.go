package instance_test

import "testing"

// TestLimitsOfClientsAreNotOurs: limits that suit an application must not keep PID 1 from arming replication: the
// checkpoint that proves the setting, and what is asked of the server, take longer than that.
func TestLimitsOfClientsAreNotOurs(t *testing.T) {
	newTrioOf(t, 1, func(w *world) {
		w.config.Parameters["statement_timeout"] = "1ms"
		w.config.Parameters["lock_timeout"] = "1ms"
		w.config.Parameters["idle_session_timeout"] = "2s"
	})
}
