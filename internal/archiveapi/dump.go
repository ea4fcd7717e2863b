package archiveapi

import (
	"fmt"
	"strings"
	"time"

	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

// EnvDump is the variable that tells a dump's pod what to do: a Dump as JSON.
const EnvDump = "CARETAKER_DUMP"

// Where a dump's pod finds the Secrets that a Dump names, and the volume that takes the place of an object store.
const (
	DumpSourceDir = "/opt/caretaker/source"
	DumpTargetDir = "/opt/caretaker/target"
	DumpStoreDir  = "/opt/caretaker/store"
	DumpVolumeDir = "/opt/caretaker/dumps"
	// DumpScratchDir is shared with the container that runs throw-away servers.
	DumpScratchDir = "/opt/caretaker/scratch"
)

// The engines of databases that are dumped.
const (
	EnginePostgreSQL = "postgresql"
	EngineMySQL      = "mysql"
	EngineMongoDB    = "mongodb"
)

// Dump is a database to dump and a place to keep its dumps. It holds no secrets: those are files.
type Dump struct {
	// Name of whom the dumps are for, such as shop/nightly. Only dumps of this name are subject to its retention.
	Name string `json:"name"`
	// Source to dump; a restore goes there, too, unless there is a Target.
	Source DumpServer `json:"source"`
	// Target of a restore.
	Target *DumpServer `json:"target,omitempty"`
	// Store of the dumps. Its credentials' files are left to StoreDir.
	Store storeconfig.Config `json:"store"`
	// StoreDir holds the store's credentials, each in a file with the name of its key; see the keys in package dump.
	StoreDir string `json:"storeDir,omitempty"`
	// Recipients are age public keys; empty: not encrypted by us.
	Recipients []string `json:"recipients,omitempty"`
	// Retention such as 30d, or a number of dumps; empty keeps all.
	Retention string `json:"retention,omitempty"`
	// Verification of each dump by a test restore; nil for none.
	Verification *DumpVerification `json:"verification,omitempty"`
}

// DumpVerification says how a dump is verified once it is stored: a throw-away server takes it, and the checks are run there.
type DumpVerification struct {
	Checks []DumpCheck `json:"checks,omitempty"`
}

// DumpCheck is a query that must return one row whose first column is true.
type DumpCheck struct {
	Name string `json:"name"`
	SQL  string `json:"sql"`
}

// DumpServer is a database and how to connect to it. What is empty is left to the program's own defaults, or to SecretDir.
type DumpServer struct {
	Engine   string `json:"engine"`
	Host     string `json:"host,omitempty"`
	Port     int32  `json:"port,omitempty"`
	Database string `json:"database,omitempty"`
	// SSLMode in libpq's words.
	SSLMode string `json:"sslMode,omitempty"`
	// SecretDir holds username, password, and optionally host, port, dbname, uri and ca.crt, each in a file of that name.
	SecretDir string `json:"secretDir,omitempty"`
}

// DumpResult is what a dump's pod leaves as its last words.
type DumpResult struct {
	ID          string    `json:"id,omitempty"`
	Database    string    `json:"database,omitempty"`
	Started     time.Time `json:"started,omitzero"`
	Completed   time.Time `json:"completed,omitzero"`
	DataBytes   int64     `json:"dataBytes,omitempty"`
	StoredBytes int64     `json:"storedBytes,omitempty"`
	// Kept is how many dumps there are, this one included; Deleted how many the retention let go.
	Kept    int `json:"kept,omitempty"`
	Deleted int `json:"deleted,omitempty"`
	// Warning that did not make it fail.
	Warning string `json:"warning,omitempty"`
	// Test is what the test restore found; nil where none was asked for.
	Test *DumpTest `json:"test,omitempty"`
	// Error that ended it.
	Error string `json:"error,omitempty"`
}

// DumpTest is a test restore of a dump.
type DumpTest struct {
	Started   time.Time `json:"started,omitzero"`
	Completed time.Time `json:"completed,omitzero"`
	// Server that took the dump, by its own word.
	Server string `json:"server,omitempty"`
	// Tables that came, and Rows in all of them; collections and documents of a MongoDB.
	Tables int64 `json:"tables"`
	Rows   int64 `json:"rows"`
	// Checks that were true, by name.
	Checks []string `json:"checks,omitempty"`
	// Error says why the dump does not count as verified; empty if it does.
	Error string `json:"error,omitempty"`
}

// String says in a sentence what came of it.
func (t DumpTest) String() string {
	if t.Error != "" {
		return "the test restore failed: " + t.Error
	}

	text := fmt.Sprintf("restored into a throw-away server (%s): %d tables, %d rows", t.Server, t.Tables, t.Rows)
	if len(t.Checks) > 0 {
		text += "; true: " + strings.Join(t.Checks, ", ")
	}

	return text
}

// Keys of the Secret with a store's credentials.
const (
	KeyAccessKeyID      = "ACCESS_KEY_ID"
	KeyAccessSecretKey  = "ACCESS_SECRET_KEY"
	KeySecretAccessKey  = "SECRET_ACCESS_KEY" // the other order, which manifests for other operators have
	KeySessionToken     = "ACCESS_SESSION_TOKEN"
	KeyGoogle           = "GOOGLE_CREDENTIALS"
	KeyAzureConnection  = "AZURE_CONNECTION_STRING"
	KeyAzureAccount     = "AZURE_STORAGE_ACCOUNT"
	KeyAzureKey         = "AZURE_STORAGE_KEY"
	KeyAzureSASToken    = "AZURE_STORAGE_SAS_TOKEN"
	KeyStoreCertificate = "ca.crt"
)

// MissingStoreKeys says which keys the Secret of a store needs, if it does not have them; empty if it does.
func MissingStoreKeys(store storeconfig.Type, has func(key string) bool) string {
	switch store {
	case storeconfig.TypeS3:
		if !has(KeyAccessKeyID) || !has(KeyAccessSecretKey) && !has(KeySecretAccessKey) {
			return KeyAccessKeyID + " and " + KeyAccessSecretKey
		}
	case storeconfig.TypeGCS:
		if !has(KeyGoogle) {
			return KeyGoogle
		}
	case storeconfig.TypeAzure:
		if !has(KeyAzureConnection) && (!has(KeyAzureAccount) || !has(KeyAzureKey) && !has(KeyAzureSASToken)) {
			return KeyAzureConnection + ", or " + KeyAzureAccount + " with " + KeyAzureKey + " or " + KeyAzureSASToken
		}
	case storeconfig.TypeDir:
	}

	return ""
}
