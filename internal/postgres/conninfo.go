package postgres

import (
	"net/netip"
	"strconv"
	"strings"
)

// ConnInfo describes one connection. Empty and zero fields are left out of what is
// rendered. Every value may hold any character but NUL.
type ConnInfo struct {
	Host     string
	Port     int
	User     string
	Password string
	DBName   string

	// SSLMode is "require", "verify-ca", "verify-full", …
	SSLMode string
	// SSLRootCert, SSLCert and SSLKey are files on the client's side.
	SSLRootCert string
	SSLCert     string
	SSLKey      string

	// ApplicationName is the standby's member ID in primary_conninfo.
	ApplicationName string
	// TargetSessionAttrs is "read-write", "standby", …
	TargetSessionAttrs string
	// ConnectTimeoutSeconds and TCPUserTimeoutMillis bound how long a dead server is waited
	// for: the first while connecting, the second while it acknowledges nothing.
	ConnectTimeoutSeconds int
	TCPUserTimeoutMillis  int
	// KeepalivesIdleSeconds, KeepalivesIntervalSeconds and KeepalivesCount probe an idle connection.
	KeepalivesIdleSeconds     int
	KeepalivesIntervalSeconds int
	KeepalivesCount           int

	// Options are command-line options for the session, such as "-c idle_session_timeout=0".
	Options string
}

// option is one libpq keyword with its value.
type option struct{ key, value string }

// String is the keyword form, "host=… port=…", as primary_conninfo and PQconnectdb take it.
// It holds the password when one is set: do not log it.
func (c ConnInfo) String() string {
	all := append([]option{
		{"host", c.Host}, {"port", number(c.Port)}, {"user", c.User}, {"password", c.Password}, {"dbname", c.DBName},
	}, c.options()...)
	var words []string
	for _, o := range all {
		if o.value != "" {
			words = append(words, o.key+"="+quoteConnValue(o.value))
		}
	}
	return strings.Join(words, " ")
}

// options are the keywords beyond those that have a place of their own in a URI.
func (c ConnInfo) options() []option {
	return []option{
		{"sslmode", c.SSLMode},
		{"sslrootcert", c.SSLRootCert},
		{"sslcert", c.SSLCert},
		{"sslkey", c.SSLKey},
		{"application_name", c.ApplicationName},
		{"target_session_attrs", c.TargetSessionAttrs},
		{"connect_timeout", number(c.ConnectTimeoutSeconds)},
		{"tcp_user_timeout", number(c.TCPUserTimeoutMillis)},
		{"keepalives_idle", number(c.KeepalivesIdleSeconds)},
		{"keepalives_interval", number(c.KeepalivesIntervalSeconds)},
		{"keepalives_count", number(c.KeepalivesCount)},
		{"options", c.Options},
	}
}

// URI is libpq's "postgresql://user:password@host:port/dbname?…".
func (c ConnInfo) URI() string {
	var out strings.Builder
	out.WriteString("postgresql://")
	if c.User != "" || c.Password != "" {
		out.WriteString(percentEncode(c.User))
		if c.Password != "" {
			out.WriteString(":" + percentEncode(c.Password))
		}
		out.WriteString("@")
	}
	out.WriteString(uriHost(c.Host))
	if c.Port != 0 {
		out.WriteString(":" + number(c.Port))
	}
	if c.DBName != "" {
		out.WriteString("/" + percentEncode(c.DBName))
	}
	out.WriteString(query(c.options()))
	return out.String()
}

// JDBC is the PostgreSQL JDBC driver's URL, with its own names: there is no user
// part, timeouts are in seconds, and what has no counterpart is left out.
func (c ConnInfo) JDBC() string {
	var out strings.Builder
	out.WriteString("jdbc:postgresql://" + uriHost(c.Host))
	if c.Port != 0 {
		out.WriteString(":" + number(c.Port))
	}
	out.WriteString("/" + percentEncode(c.DBName))
	keepalive := ""
	if c.TCPUserTimeoutMillis != 0 || c.KeepalivesIdleSeconds != 0 {
		keepalive = "true"
	}
	out.WriteString(query([]option{
		{"user", c.User},
		{"password", c.Password},
		{"sslmode", c.SSLMode},
		{"sslrootcert", c.SSLRootCert},
		{"sslcert", c.SSLCert},
		{"sslkey", c.SSLKey},
		{"ApplicationName", c.ApplicationName},
		{"targetServerType", jdbcServerType(c.TargetSessionAttrs)},
		{"connectTimeout", number(c.ConnectTimeoutSeconds)},
		{"tcpKeepAlive", keepalive},
	}))
	return out.String()
}

// jdbcServerType translates target_session_attrs into the driver's targetServerType.
func jdbcServerType(attrs string) string {
	switch attrs {
	case "read-write", "primary":
		return "primary"
	case "read-only", "standby":
		return "secondary"
	case "prefer-standby":
		return "preferSecondary"
	default:
		return ""
	}
}

// PGPass is one line of a .pgpass file, with its line end. An empty field is "*".
func (c ConnInfo) PGPass() string {
	fields := []string{c.Host, number(c.Port), c.DBName, c.User}
	escape := strings.NewReplacer(`\`, `\\`, `:`, `\:`)
	for i, field := range fields {
		fields[i] = escape.Replace(field)
		if field == "" {
			fields[i] = "*"
		}
	}
	return strings.Join(append(fields, escape.Replace(c.Password)), ":") + "\n"
}

// number renders a non-zero number; 0 means "not set" in ConnInfo.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// quoteConnValue quotes for the keyword form: quotes around what is not a plain word,
// backslashes before quotes and backslashes.
func quoteConnValue(value string) string {
	if value != "" && !strings.ContainsAny(value, " \t\n\r\v\f'\\=") {
		return value
	}
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}

func query(options []option) string {
	var parts []string
	for _, o := range options {
		if o.value != "" {
			parts = append(parts, o.key+"="+percentEncode(o.value))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "?" + strings.Join(parts, "&")
}

// uriHost puts an IPv6 address in brackets and encodes a socket folder.
func uriHost(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() {
		return "[" + host + "]"
	}
	return percentEncode(host)
}

// percentEncode encodes everything but RFC 3986's unreserved characters. It is
// stricter than net/url, whose "+" for a space libpq does not undo.
func percentEncode(value string) string {
	const hexDigits = "0123456789ABCDEF"
	var out strings.Builder
	for i := range len(value) {
		c := value[i]
		if isAlphanumeric(c) || strings.IndexByte("-._~", c) >= 0 {
			out.WriteByte(c)
			continue
		}
		out.WriteString(string([]byte{'%', hexDigits[c>>4], hexDigits[c&15]}))
	}
	return out.String()
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
