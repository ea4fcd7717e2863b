package instance_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// awaitSlots waits until every member has a slot for each other one, and none holds WAL from before a position.
func (c *trio) awaitSlots(members []string, after string) {
	c.t.Helper()

	for _, name := range members {
		var want []string

		for _, other := range members {
			if other != name {
				want = append(want, "caretaker_"+strings.ReplaceAll(other, "-", "_"))
			}
		}

		c.members[name].awaitQuery(fmt.Sprintf(`SELECT string_agg(slot_name, ',' ORDER BY slot_name) FROM pg_replication_slots
			WHERE slot_name NOT LIKE 'caretaker%%' OR restart_lsn >= '%s'`, after), strings.Join(want, ","))
		c.members[name].awaitQuery("SELECT count(*) FROM pg_replication_slots", fmt.Sprint(len(want)))
	}
}

// TestSlots: any member can feed the others after a failover, and none keeps WAL for those that are gone.
func TestSlots(t *testing.T) {
	c := newTrio(t)
	old := c.awaitPrimary("")
	c.members[old].mustQuery("CREATE TABLE filler (what text)")

	position := func() string {
		primary := c.members[c.awaitPrimary("")]
		lsn := primary.mustQuery("SELECT pg_current_wal_lsn()")
		primary.mustQuery("INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 1000)")

		return lsn
	}

	c.awaitSlots(c.config.Members, position())

	c.members[old].kill()
	c.awaitPrimary(old)
	c.startMember(old)
	c.awaitWhole()
	c.awaitSlots(c.config.Members, position())

	gone := slices.DeleteFunc(slices.Clone(c.config.Members), func(n string) bool { return n == c.awaitPrimary("") })[0]
	left := slices.DeleteFunc(slices.Clone(c.config.Members), func(n string) bool { return n == gone })

	c.members[gone].kill()

	for _, name := range left {
		must(t, c.members[name].put(func(config *instanceapi.Config) { config.Members = left }))
	}

	c.awaitSlots(left, position())
}
