package preset

import (
	"bytes"
	"fmt"
	"strconv"

	v1 "github.com/caretaker-dev/caretaker/api/platform/v1"
)

// Preset is what an environment sets where the user does not.
type Preset struct {
	// PostgreSQLInstances and MySQLInstances are the database's servers. A MySQL group of two is less available than a
	// single server, so that MySQL has one more where PostgreSQL has two.
	PostgreSQLInstances, MySQLInstances int32
	// Storage of each.
	Storage string
	// Backup, and when and how long to keep it.
	Backup              bool
	Schedule, Retention string
	// Replicas of frontend and backend.
	Replicas int32
	// Strict: pods run under the restricted Pod Security Standard, and NetworkPolicies let in who has to be let in.
	Strict bool
}

// The schedule and retention of every environment with backups.
const (
	schedule  = "0 2 * * *"
	retention = "30d"
)

// Environments in the order of the documentation.
func Environments() []v1.Environment {
	return []v1.Environment{v1.Development, v1.Staging, v1.Production}
}

// Of an environment; development if it is not set.
func Of(environment v1.Environment) Preset {
	switch environment {
	case v1.Production:
		return Preset{
			PostgreSQLInstances: 3, MySQLInstances: 3, Storage: "100Gi", Backup: true, Schedule: schedule, Retention: retention,
			Replicas: 2, Strict: true,
		}
	case v1.Staging:
		return Preset{
			PostgreSQLInstances: 2, MySQLInstances: 3, Storage: "50Gi", Backup: true, Schedule: schedule, Retention: retention, Replicas: 1,
		}
	case v1.Development:
	}

	return Preset{PostgreSQLInstances: 1, MySQLInstances: 1, Storage: "10Gi", Replicas: 1}
}

// Instances of a database of the given type.
func (p Preset) Instances(database v1.DatabaseType) int32 {
	if database == v1.MySQL {
		return p.MySQLInstances
	}

	return p.PostgreSQLInstances
}

// Table is the presets in Markdown.
func Table() []byte {
	rows := []struct {
		field string
		value func(Preset) string
	}{
		{"PostgreSQL instances (`spec.database.replicas`)", func(p Preset) string { return number(p.PostgreSQLInstances) }},
		{"MySQL instances (`spec.database.replicas`)", func(p Preset) string { return number(p.MySQLInstances) }},
		{"storage of each (`spec.database.storage`)", func(p Preset) string { return p.Storage }},
		{"backups (`spec.database.backup`)", func(p Preset) string {
			if !p.Backup {
				return "off"
			}

			return fmt.Sprintf("`%s`, kept %s", p.Schedule, p.Retention)
		}},
		{"pods of frontend and backend (`spec.frontend.replicas`, `spec.backend.replicas`)", func(p Preset) string { return number(p.Replicas) }},
		{"database instances on different nodes, where there are enough", func(p Preset) string { return yes(p.PostgreSQLInstances > 1) }},
		{"disruption budgets", func(p Preset) string { return yes(p.Replicas > 1 || p.PostgreSQLInstances > 1) }},
		{"restricted security context of frontend and backend", func(p Preset) string { return yes(p.Strict) }},
		{"NetworkPolicies of cache, backend and frontend", func(p Preset) string { return yes(p.Strict) }},
	}

	var table bytes.Buffer

	table.WriteString("| |")

	for _, environment := range Environments() {
		fmt.Fprintf(&table, " %s |", environment)
	}

	table.WriteString("\n|---|---|---|---|\n")

	for _, row := range rows {
		fmt.Fprintf(&table, "| %s |", row.field)

		for _, environment := range Environments() {
			fmt.Fprintf(&table, " %s |", row.value(Of(environment)))
		}

		table.WriteString("\n")
	}

	return table.Bytes()
}

func number(n int32) string { return strconv.Itoa(int(n)) }

func yes(holds bool) string { //nolint:revive // a fact, not a mode
	if holds {
		return "yes"
	}

	return "no"
}
