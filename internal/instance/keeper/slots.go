package keeper

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// SlotPrefix begins the name of every slot of ours; others are the user's and are left alone.
const SlotPrefix = "caretaker_"

// Slot is a physical replication slot of ours.
type Slot struct {
	Name   string
	Active bool
	// Status is wal_status; "lost" means that WAL it needs is gone. Empty if it never held any.
	Status string
	// RestartLSN is where its WAL begins; empty if it holds none.
	RestartLSN string
}

const slotsQuery = `
SELECT slot_name::text, active, COALESCE(wal_status, ''), COALESCE(restart_lsn::text, '')
  FROM pg_catalog.pg_replication_slots
 WHERE slot_type = 'physical' AND starts_with(slot_name, $1)
 ORDER BY slot_name`

// ListSlots lists our slots on a server.
func ListSlots(ctx context.Context, conn *pgx.Conn) ([]Slot, error) {
	rows, err := conn.Query(ctx, slotsQuery, SlotPrefix)
	if err != nil {
		return nil, fmt.Errorf("list replication slots: %w", err)
	}

	slots, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Slot])
	if err != nil {
		return nil, fmt.Errorf("list replication slots: %w", err)
	}

	return slots, nil
}

// SlotChange is what makes the slots those that are wanted.
type SlotChange struct {
	Drop, Create []string
}

// PlanSlots plans a slot for each wanted name. One that nobody needs any more is dropped, and so is one whose WAL is lost,
// to be made anew: it protects nothing. One in use is left alone.
func PlanSlots(wanted []string, existing []Slot) SlotChange {
	var change SlotChange

	missing := map[string]bool{}
	for _, name := range wanted {
		missing[name] = true
	}

	for _, slot := range existing {
		isWanted, isLost := missing[slot.Name], slot.Status == "lost"
		if (!isWanted || isLost) && !slot.Active {
			change.Drop = append(change.Drop, slot.Name)

			continue
		}

		delete(missing, slot.Name)
	}

	for _, name := range wanted {
		if missing[name] {
			change.Create = append(change.Create, name)
		}
	}

	return change
}

// EnsureSlots makes the slots those that are wanted. They hold WAL from their creation on.
func EnsureSlots(ctx context.Context, conn *pgx.Conn, wanted []string) (SlotChange, error) {
	existing, err := ListSlots(ctx, conn)
	if err != nil {
		return SlotChange{}, err
	}

	change := PlanSlots(wanted, existing)

	for _, name := range change.Drop {
		if _, err := conn.Exec(ctx, "SELECT pg_catalog.pg_drop_replication_slot($1)", name); err != nil {
			return change, fmt.Errorf("drop replication slot %s: %w", name, err)
		}
	}

	for _, name := range change.Create {
		if _, err := conn.Exec(ctx, "SELECT pg_catalog.pg_create_physical_replication_slot($1, true)", name); err != nil {
			return change, fmt.Errorf("create replication slot %s: %w", name, err)
		}
	}

	return change, nil
}

// advanceQuery moves a slot forward, never back and never beyond what was replayed here. A slot that holds nothing is
// left alone, and so is one in use.
const advanceQuery = `
SELECT pg_catalog.pg_replication_slot_advance(slot_name, LEAST($2::pg_lsn, pg_catalog.pg_last_wal_replay_lsn()))
  FROM pg_catalog.pg_replication_slots
 WHERE slot_name = $1 AND NOT active AND restart_lsn IS NOT NULL
   AND restart_lsn < LEAST($2::pg_lsn, pg_catalog.pg_last_wal_replay_lsn())`

// AdvanceSlots moves this standby's slots to where the primary's are, so that after a failover the other members find
// here the WAL that they still need, and no more of it is kept than on the primary. own is the primary's slot for this
// standby: what this standby has itself is also what it keeps for the primary.
func AdvanceSlots(ctx context.Context, conn *pgx.Conn, primary []Slot, own, primaryName string) error {
	var failed []error

	for _, slot := range primary {
		name := slot.Name
		if name == own {
			name = primaryName
		}

		if slot.RestartLSN == "" {
			continue
		}

		if _, err := conn.Exec(ctx, advanceQuery, name, slot.RestartLSN); err != nil {
			failed = append(failed, fmt.Errorf("advance replication slot %s: %w", name, err))
		}
	}

	return errors.Join(failed...)
}
