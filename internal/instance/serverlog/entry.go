package serverlog

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// Entry is one message of the server; the tags are jsonlog's keys.
type Entry struct {
	Timestamp   string `json:"timestamp"`
	User        string `json:"user"`
	Database    string `json:"dbname"`
	PID         int    `json:"pid"`
	RemoteHost  string `json:"remote_host"`
	Severity    string `json:"error_severity"`
	SQLState    string `json:"state_code"`
	Message     string `json:"message"`
	Detail      string `json:"detail"`
	Hint        string `json:"hint"`
	Context     string `json:"context"`
	Statement   string `json:"statement"`
	Application string `json:"application_name"`
	BackendType string `json:"backend_type"`
	QueryID     int64  `json:"query_id"`
}

// timestampLayout of jsonlog and csvlog.
const timestampLayout = "2006-01-02 15:04:05.000 MST"

// Time of the message; false if it cannot be told (a time zone that is not UTC).
func (e Entry) Time() (time.Time, bool) {
	at, err := time.Parse(timestampLayout, e.Timestamp)

	return at, err == nil && strings.HasSuffix(e.Timestamp, " UTC")
}

// Level of the message. LOG is PostgreSQL's word for information that is always written.
func (e Entry) Level() slog.Level {
	switch {
	case strings.HasPrefix(e.Severity, "DEBUG"):
		return slog.LevelDebug
	case e.Severity == "WARNING":
		return slog.LevelWarn
	case e.Severity == "ERROR", e.Severity == "FATAL", e.Severity == "PANIC":
		return slog.LevelError
	default:
		return slog.LevelInfo
	}
}

// Attrs are the rest of the message that is not empty.
func (e Entry) Attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("severity", e.Severity), slog.Int("pid", e.PID)}

	for _, pair := range []struct{ key, value string }{
		{"backend", e.BackendType},
		{"sqlstate", strings.TrimPrefix(e.SQLState, "00000")},
		{"user", e.User},
		{"database", e.Database},
		{"remoteHost", e.RemoteHost},
		{"application", e.Application},
		{"detail", e.Detail},
		{"hint", e.Hint},
		{"context", e.Context},
		{"statement", e.Statement},
	} {
		if pair.value != "" {
			attrs = append(attrs, slog.String(pair.key, pair.value))
		}
	}

	if e.QueryID != 0 {
		attrs = append(attrs, slog.Int64("queryID", e.QueryID))
	}

	return attrs
}

func parseJSON(record string) (Entry, error) {
	var e Entry
	if err := json.Unmarshal([]byte(record), &e); err != nil {
		return Entry{}, fmt.Errorf("no JSON log record: %w", err)
	}

	return e, nil
}

// csvColumns of PostgreSQL 14.
const csvColumns = 26

func parseCSV(record string) (Entry, error) {
	fields, err := csv.NewReader(strings.NewReader(record)).Read()
	if err != nil || len(fields) < csvColumns {
		return Entry{}, fmt.Errorf("no CSV log record (%d columns): %w", len(fields), err)
	}

	pid, _ := strconv.Atoi(fields[3])
	queryID, _ := strconv.ParseInt(fields[25], 10, 64)

	return Entry{
		Timestamp: fields[0], User: fields[1], Database: fields[2], PID: pid, RemoteHost: fields[4],
		Severity: fields[11], SQLState: fields[12], Message: fields[13], Detail: fields[14], Hint: fields[15],
		Context: fields[18], Statement: fields[19], Application: fields[22], BackendType: fields[23], QueryID: queryID,
	}, nil
}
