package postgres

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Problem is one thing wrong with a parameter.
type Problem struct {
	Name  string
	Value string
	// Message says what is wrong and what to do.
	Message string
}

// String is one line for a condition or an event.
func (p Problem) String() string {
	return p.Name + ": " + p.Message
}

// Validate checks a manifest's parameters against that major's own table, sorted by name.
// Major 0, not known yet, takes what any supported major takes.
func Validate(major int, params map[string]string) []Problem {
	v := validator{major: major, reserved: reservedByName()}
	byKey := map[string]string{}
	var problems []Problem
	for _, name := range slices.Sorted(maps.Keys(params)) {
		key := strings.ToLower(name)
		message := v.check(key, params[name])
		if twin, ok := byKey[key]; ok {
			message = fmt.Sprintf("is the same parameter as %s: remove one of them", twin)
		}
		byKey[key] = name
		if message != "" {
			problems = append(problems, Problem{Name: name, Value: params[name], Message: message})
		}
	}
	if len(problems) == 0 {
		problems = v.checkTogether(params)
	}
	return problems
}

type validator struct {
	major    int
	reserved map[string]Reserved
}

// check gives the message of one parameter; "" when it is good.
func (v validator) check(name, value string) string {
	if r, ok := v.reserved[name]; ok && !r.accepts(value) {
		return r.message()
	}
	if strings.ContainsRune(value, 0) {
		return "holds a NUL character: remove it"
	}
	found := variants(v.major, name)
	if len(found) == 0 {
		return v.unknown(name)
	}
	message := ""
	for _, p := range found {
		if p.Context == "internal" {
			return "is fixed when the server is built or its data directory is made: remove it"
		}
		if message = p.checkValue(value); message == "" {
			return p.belowFloor(value)
		}
	}
	return message
}

// message says why it is reserved; what is accepted goes last.
func (r Reserved) message() string {
	text := "is set by Caretaker: " + r.Reason
	if len(r.Accepted) > 0 {
		text += " (accepted: " + strings.Join(r.Accepted, ", ") + ")"
	}
	return text
}

// unknown explains a name that this major does not have.
func (v validator) unknown(name string) string {
	if strings.Contains(name, ".") {
		if isCustomName(name) {
			return ""
		}
		return "is not a valid name for an extension's parameter: use words of letters, digits and _, with dots between"
	}
	if renamed, since := renamedParameter(name); renamed != "" {
		return fmt.Sprintf("was renamed in PostgreSQL %d: use %s", since, renamed)
	}
	if all := variants(0, name); len(all) > 0 {
		oldest, newest := all[0], all[len(all)-1]
		switch {
		case v.major > newest.to:
			return fmt.Sprintf("was removed in PostgreSQL %d: remove it", newest.to+1)
		case v.major < oldest.from:
			return fmt.Sprintf("exists only from PostgreSQL %d on, this is %d: remove it", oldest.from, v.major)
		}
	}
	text := "is not a parameter of PostgreSQL"
	if v.major != 0 {
		text += " " + strconv.Itoa(v.major)
	}
	if near := v.nearest(name); near != "" {
		return text + ": did you mean " + near + "?"
	}
	return text + ": check its spelling, or put the extension's name and a dot before it"
}

// renamedParameter knows the names that servers dropped for another, and since when.
func renamedParameter(name string) (renamed string, since int) {
	switch name {
	case "force_parallel_mode":
		return "debug_parallel_query", 16
	case "ssl_ecdh_curve":
		return "ssl_groups", 18
	case "wal_keep_segments":
		return "wal_keep_size", 13
	case "sort_mem":
		return "work_mem", 8
	case "vacuum_mem":
		return "maintenance_work_mem", 8
	case "checkpoint_segments":
		return "max_wal_size", 9
	case "replication_timeout":
		return "wal_sender_timeout", 9
	default:
		return "", 0
	}
}

// isCustomName is PostgreSQL's valid_custom_variable_name: identifiers with dots between.
func isCustomName(name string) bool {
	for part := range strings.SplitSeq(name, ".") {
		if part == "" {
			return false
		}
		for i := range len(part) {
			c := part[i]
			letter := c == '_' || c >= 0x80 || isAlphanumeric(c) && (c < '0' || c > '9')
			if !letter && (i == 0 || c != '$' && (c < '0' || c > '9')) {
				return false
			}
		}
	}
	return true
}

// floorOf is the least value that Caretaker can work with, where it is above PostgreSQL's.
func floorOf(name string) (least float64, reason string) {
	switch name {
	case "max_connections":
		return 10, "the instance needs some of its own"
	case "max_wal_senders":
		return 5, "each standby needs one, and two while it is cloned"
	case "max_replication_slots":
		return 5, "each instance needs one"
	case "wal_sender_timeout", "wal_receiver_timeout":
		return 1, "without it a dead connection between instances would go unnoticed"
	default:
		return 0, ""
	}
}

func (p Parameter) belowFloor(value string) string {
	least, reason := floorOf(p.Name)
	if number, err := p.number(value); reason != "" && err == nil && number < least {
		return fmt.Sprintf("%q is too low: use %s or more, since %s", value, humanQuantity(least, p.Unit), reason)
	}
	return ""
}

// maxBackends is the most processes a server can have, MAX_BACKENDS in its source.
const maxBackends = 1<<18 - 1

// checkTogether holds the rules between parameters that keep a server from starting.
func (v validator) checkTogether(params map[string]string) []Problem {
	major := v.major
	if major == 0 {
		major = MaxMajor
	}
	workers := "autovacuum_worker_slots"
	if major < 18 {
		workers = "autovacuum_max_workers"
	}
	sum := func(names ...string) int {
		total := 0
		for _, name := range names {
			total += valueOf(major, name, params)
		}
		return total
	}
	connections := sum("max_connections")
	kept := sum("superuser_reserved_connections", "reserved_connections")
	problem := Problem{Name: "max_connections", Value: params["max_connections"]}
	switch {
	case kept >= connections:
		problem.Message = fmt.Sprintf("%d connections, but superuser_reserved_connections and reserved_connections keep %d: "+
			"raise it, or lower those", connections, kept)
	case connections+1+sum(workers, "max_worker_processes", "max_wal_senders") > maxBackends:
		problem.Message = fmt.Sprintf("%d connections, with %s, max_worker_processes and max_wal_senders, "+
			"are more processes than the %d of a server: lower it", connections, workers, maxBackends)
	default:
		return nil
	}
	return []Problem{problem}
}

// nearest finds the known name that a typing error is likely to have missed; "" when none is near.
func (v validator) nearest(name string) string {
	best, bestDistance := "", max(2, len(name)/4)+1
	for row := range rows(v.major) {
		candidate, _, _ := strings.Cut(row, "\t")
		if d := editDistance(name, strings.ToLower(candidate)); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// editDistance is Levenshtein's, in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
