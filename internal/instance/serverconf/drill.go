package serverconf

import "github.com/caretaker-dev/caretaker/internal/postgres"

// DrillConf is the configuration of a throw-away server: everything is PostgreSQL's default but what replay needs.
func DrillConf(libraries []string) string {
	all := map[string]string{
		"max_prepared_transactions": "1000", "max_wal_size": "4GB", "checkpoint_timeout": "30min", "logging_collector": "off",
	}

	if len(libraries) > 0 {
		all["shared_preload_libraries"] = postgres.JoinLibraries(libraries)
	}

	return postgres.RenderConf(all)
}
