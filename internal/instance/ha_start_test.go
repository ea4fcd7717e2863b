package instance

import "testing"

// The titles are of PostgreSQL 15 to 18. A process that is taken for the server's own although it serves a client would let
// a successor open while that client can still be answered.
func TestServesNoClient(t *testing.T) {
	t.Parallel()

	for title, want := range map[string]bool{
		"postgres: demo: checkpointer \x00\x00\x00":                                true,
		"postgres: demo: checkpointer performing shutdown checkpoint":              true,
		"postgres: demo: background writer ":                                       true,
		"postgres: demo: walwriter ":                                               true,
		"postgres: demo: autovacuum launcher ":                                     true,
		"postgres: demo: logical replication launcher ":                            true,
		"postgres: demo: archiver ":                                                true,
		"postgres: demo: archiver last was 000000010000000000000003":               true,
		"postgres: demo: io worker 2":                                              true,
		"postgres: demo: walsender streaming_replica 10.1.2.3(4242) streaming 0/6": true,
		"postgres: checkpointer ":                                                  true,

		"postgres: demo: walsender streaming_replica 10.1.2.3(4242) idle": true,
		"postgres: demo: walsender streaming_replica [local] idle":        false,
		"postgres: demo: walsender app shop 10.1.2.3(4242) idle":          false,
		"postgres: demo: walsender app shop 10.1.2.3(4242) COMMIT":        false,
		"postgres: demo: walsender shop 10.1.2.3(4242) COMMIT":            false, // a role of that name
		"postgres: demo: app x: walsender y 10.1.2.3(4242) COMMIT":        false, // a database of that name

		"postgres: demo: app shop 10.1.2.3(4242) idle":           false,
		"postgres: demo: app shop 10.1.2.3(4242) COMMIT":         false,
		"postgres: demo: checkpointer app 10.1.2.3(4242) idle":   false,
		"postgres: demo: archiver app [local] idle":              false,
		"postgres: demo: parallel worker for PID 4242 ":          false,
		"postgres: demo: autovacuum worker app":                  false,
		"postgres: demo: pg_cron launcher ":                      false,
		"/usr/lib/postgresql/17/bin/postgres\x00-D\x00/data\x00": false, // a child that has no title yet
		"": false,
	} {
		if got := servesNoClient(title); got != want {
			t.Errorf("%q: %v", title, got)
		}
	}
}
