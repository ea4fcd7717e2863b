package instanceapi

// Drill is what a throw-away instance is told, as JSON in EnvDrill.
type Drill struct {
	// Recovery without a target: all of the archive is replayed.
	Recovery Recovery `json:"recovery"`
	// Major version of the data.
	Major int `json:"major"`
	// Libraries that the server must load to replay.
	Libraries []string `json:"libraries,omitempty"`
	// Amcheck: run pg_amcheck, where it is.
	Amcheck bool         `json:"amcheck"`
	Checks  []DrillCheck `json:"checks,omitempty"`
}

// DrillCheck is SQL whose first column must be true.
type DrillCheck struct {
	Name     string `json:"name"`
	Database string `json:"database"`
	SQL      string `json:"sql"`
}

const (
	// EnvDrill holds the Drill.
	EnvDrill = "CARETAKER_DRILL"
	// DrillDir is the scratch volume.
	DrillDir = "/scratch"
)
