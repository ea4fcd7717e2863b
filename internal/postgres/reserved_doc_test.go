package postgres

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/reference/parameters-reserved.md anew")

func TestReservedParametersAreDocumented(t *testing.T) {
	const file = "../../docs/reference/parameters-reserved.md"
	want := reservedMarkdown()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is not up to date; run go test ./internal/postgres -update (-want +got):\n%s", file, diff)
	}
}

func reservedMarkdown() string {
	var out strings.Builder
	out.WriteString(`<!-- Written by go test ./internal/postgres -update; do not edit. -->
# PostgreSQL parameters: what is reserved, what has another default

` + "`spec.postgresql.parameters`" + ` takes every parameter of the Cluster's PostgreSQL major (14 to 19), and extensions'
parameters (` + "`extension.name`" + `). Names, types, units, ranges and values are checked against the major's own table
before anything changes. 19's table is of its first release candidate.

## Reserved

Caretaker sets these itself. A manifest that names one is refused with the reason, unless it names an accepted value.

| parameter | accepted | reason |
|---|---|---|
`)
	code := func(text string) string {
		if text == "" {
			return ""
		}
		return "`" + text + "`"
	}
	for _, r := range ReservedParameters() {
		accepted := make([]string, len(r.Accepted))
		for i, value := range r.Accepted {
			accepted[i] = code(value)
		}
		fmt.Fprintf(&out, "| %s | %s | %s |\n", code(r.Name), strings.Join(accepted, ", "), r.Reason)
	}
	out.WriteString(`
## Other defaults

Caretaker's defaults where they are not PostgreSQL's own. Each can be changed in ` + "`spec.postgresql.parameters`" + `.

| parameter | Caretaker | PostgreSQL 18 |
|---|---|---|
`)
	settings := defaults(Input{Major: 18})
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		parameter, _ := Lookup(18, name)
		if !parameter.sameNumber(settings[name], parameter.Boot) && settings[name] != parameter.Boot {
			fmt.Fprintf(&out, "| %s | %s | %s |\n", code(name), code(settings[name]), code(parameter.human()))
		}
	}
	out.WriteString("| `shared_buffers` | 25 % of the memory limit, if there is one | `128MB` |\n" +
		"| `effective_cache_size` | 75 % of the memory limit, if there is one | `4GB` |\n" +
		"| `max_wal_size` | `1GB` (64 segments), at most 1/8 of the volume | `1GB` |\n" +
		"| `wal_keep_size` | `512MB`, at most 1/16 of the volume | `0` |\n" +
		"| `max_slot_wal_keep_size` | 1/4 of the volume | `-1` |\n\n" +
		"On a WAL volume of its own the three shares double.\n\n" +
		"## Least values\n\nLower values are refused, since instances could not work with them.\n\n" +
		"| parameter | at least | reason |\n|---|---|---|\n")
	for _, name := range []string{
		"max_connections", "max_replication_slots", "max_wal_senders", "wal_receiver_timeout", "wal_sender_timeout",
	} {
		parameter, _ := Lookup(18, name)
		least, reason := floorOf(name)
		fmt.Fprintf(&out, "| %s | %s | %s |\n", code(name), code(humanQuantity(least, parameter.Unit)), reason)
	}
	return out.String()
}

// sameNumber compares two values in the parameter's unit.
func (p Parameter) sameNumber(a, b string) bool {
	x, errX := p.number(a)
	y, errY := p.number(b)
	return errX == nil && errY == nil && x == y
}

// human is the built-in default in its largest unit.
func (p Parameter) human() string {
	if number, err := p.number(p.Boot); err == nil {
		return humanQuantity(number, p.Unit)
	}
	if p.Boot == "" {
		return "initdb's choice"
	}
	return p.Boot
}
