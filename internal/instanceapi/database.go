package instanceapi

// DatabaseRequest asks the primary to bring a database to what is wished. It may be asked again at any time.
type DatabaseRequest struct {
	// For names who asks: a role that is made for it carries the name, and its password is the asker's to set.
	For string `json:"for"`
	// Name of the database.
	Name string `json:"name"`
	// Owner of the database; a role that does not exist is made. If empty, DefaultOwner owns a new database, and an
	// existing one keeps its owner.
	Owner        string `json:"owner,omitempty"`
	DefaultOwner string `json:"defaultOwner"`
	// OwnerPassword of a role that was made for the asker; empty for none.
	OwnerPassword string `json:"ownerPassword,omitempty"`
	// Encoding, Locale, LocaleCollate and LocaleCType of a new database; the server's if empty.
	Encoding      string `json:"encoding,omitempty"`
	Locale        string `json:"locale,omitempty"`
	LocaleCollate string `json:"localeCollate,omitempty"`
	LocaleCType   string `json:"localeCType,omitempty"`
	// ConnectionLimit; nil leaves it alone.
	ConnectionLimit *int32 `json:"connectionLimit,omitempty"`
	// Schemas and Extensions, in this order.
	Schemas    []DatabaseSchema    `json:"schemas,omitempty"`
	Extensions []DatabaseExtension `json:"extensions,omitempty"`
}

// DatabaseSchema is a schema that shall be there, or not.
type DatabaseSchema struct {
	Name string `json:"name"`
	// Owner; the database's if empty.
	Owner  string `json:"owner,omitempty"`
	Absent bool   `json:"absent,omitempty"`
}

// DatabaseExtension is an extension that shall be there, or not.
type DatabaseExtension struct {
	Name string `json:"name"`
	// Version; any if empty.
	Version string `json:"version,omitempty"`
	// Schema; any if empty.
	Schema string `json:"schema,omitempty"`
	Absent bool   `json:"absent,omitempty"`
}

// DropDatabaseRequest asks the primary to drop a database, and the role that was made for it.
type DropDatabaseRequest struct {
	For  string `json:"for"`
	Name string `json:"name"`
	// Owner that may have been made for the asker; one that was not stays.
	Owner string `json:"owner"`
}

// DatabaseReport is what the primary has done.
type DatabaseReport struct {
	// Done are the changes, such as "created the role orders"; empty if all was as asked for.
	Done []string `json:"done,omitempty"`
	// Owner of the database.
	Owner string `json:"owner,omitempty"`
	// OwnerManaged: the owner was made for the asker, and has the password that he gave.
	OwnerManaged bool `json:"ownerManaged,omitempty"`
	// SystemID of the data that were changed.
	SystemID string `json:"systemID,omitempty"`
}
