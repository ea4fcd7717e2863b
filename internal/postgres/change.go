package postgres

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Change says what a changed parameter needs before it takes effect.
type Change string

const (
	// ChangeReload takes effect on SIGHUP.
	ChangeReload Change = "reload"
	// ChangeRestart takes effect when the server starts again.
	ChangeRestart Change = "restart"
	// ChangeUnknown is an extension's parameter: reload, then ask
	// pg_settings.pending_restart.
	ChangeUnknown Change = "unknown"
)

// ChangeKind says what a change of the parameter needs in that major (0: in any).
func ChangeKind(major int, name string) Change {
	kind := ChangeUnknown
	for _, p := range variants(major, name) {
		switch p.Context {
		case "postmaster":
			return ChangeRestart
		case "internal":
		default:
			kind = ChangeReload
		}
	}
	return kind
}

// standbySensitive are the parameters that a hot standby must set at least as high as its
// primary does: with less it pauses replay, and after a restart it does not start
// (PostgreSQL documentation, "Hot Standby: Administrator's Overview").
func standbySensitive() []string {
	return []string{
		"max_connections",
		"max_locks_per_transaction",
		"max_prepared_transactions",
		"max_wal_senders",
		"max_worker_processes",
	}
}

// Order says which servers of a Cluster restart first.
type Order string

const (
	// OrderAny is for changes that servers need not agree on. Standbys first is still kinder.
	OrderAny Order = "any"
	// OrderStandbysFirst is for a sensitive parameter that grows.
	OrderStandbysFirst Order = "standbys-first"
	// OrderPrimaryFirst is for a sensitive parameter that shrinks: a standby may only follow once
	// it replayed the primary's change, which StandbyFloor sees to.
	OrderPrimaryFirst Order = "primary-first"
)

// RestartStep is one round of restarts.
type RestartStep struct {
	Order Order
	// Settings are the values that the sensitive parameters have in this round, where they
	// differ from the new ones.
	Settings map[string]string
}

// RestartPlan is the way from one set of parameters to another.
type RestartPlan struct {
	// Steps are one, or two when some sensitive parameters grow and others shrink.
	Steps []RestartStep
	// Reason explains the order to a person; empty for OrderAny.
	Reason string
}

// RestartOrder compares the sensitive parameters of the old and the new settings; a missing
// one has PostgreSQL's default. Growing alone goes to standbys first, shrinking alone to
// the primary first. Both at once take two rounds: first everything at the larger of
// its two values, then the new values.
func RestartOrder(major int, before, after map[string]string) RestartPlan {
	grown, shrunk := map[string]string{}, map[string]string{}
	for _, name := range standbySensitive() {
		from, to := valueOf(major, name, before), valueOf(major, name, after)
		switch {
		case to > from:
			grown[name] = strconv.Itoa(to)
		case to < from:
			shrunk[name] = strconv.Itoa(from)
		}
	}
	const why = "a standby must never have less than its primary"
	up, down := names(grown), names(shrunk)
	switch {
	case len(grown) > 0 && len(shrunk) > 0:
		return RestartPlan{
			Steps: []RestartStep{
				{Order: OrderStandbysFirst, Settings: shrunk},
				{Order: OrderPrimaryFirst},
			},
			Reason: "increase of " + up + ", decrease of " + down + ": " + why +
				"; so first the increase, standbys first, then the decrease, primary first",
		}
	case len(grown) > 0:
		return RestartPlan{
			Steps:  []RestartStep{{Order: OrderStandbysFirst}},
			Reason: "increase of " + up + ": standbys first; " + why,
		}
	case len(shrunk) > 0:
		return RestartPlan{
			Steps:  []RestartStep{{Order: OrderPrimaryFirst}},
			Reason: "decrease of " + down + ": primary first; " + why,
		}
	default:
		return RestartPlan{Steps: []RestartStep{{Order: OrderAny}}}
	}
}

func names(settings map[string]string) string {
	return strings.Join(slices.Sorted(maps.Keys(settings)), ", ")
}

// valueOf reads a number as PostgreSQL would, with its default where
// it is missing or wrong.
func valueOf(major int, name string, settings map[string]string) int {
	p, ok := Lookup(major, name)
	if !ok {
		return 0
	}
	for _, text := range []string{settings[name], p.Boot} {
		if value, err := p.number(text); err == nil {
			return int(value)
		}
	}
	return 0
}

// StandbyFloor gives the values that a standby must have at least, for Input.Overrides: the
// larger of what is configured and what the primary had when it wrote the standby's WAL
// (ControlData.Settings). Only those above the configured ones are returned.
func StandbyFloor(major int, configured, controlData map[string]string) map[string]string {
	floor := map[string]string{}
	for _, name := range standbySensitive() {
		theirs, err := strconv.Atoi(controlData[name])
		if err == nil && theirs > valueOf(major, name, configured) {
			floor[name] = strconv.Itoa(theirs)
		}
	}
	return floor
}
