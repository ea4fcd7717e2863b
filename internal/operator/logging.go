package operator

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/go-logr/logr"
)

const (
	logLevelDebug = "debug"
	logLevelInfo  = "info"
	logLevelWarn  = "warn"
	logLevelError = "error"

	logFormatJSON    = "json"
	logFormatConsole = "console"
)

// NewLogger makes the process's logger: one structured line for each message.
func NewLogger(out io.Writer, level, format string) (logr.Logger, error) {
	levels := map[string]slog.Level{
		logLevelDebug: slog.LevelDebug, logLevelInfo: slog.LevelInfo, logLevelWarn: slog.LevelWarn, logLevelError: slog.LevelError,
	}

	threshold, ok := levels[level]
	if !ok {
		return logr.Logger{}, fmt.Errorf("--log-level is %q; use error, warn, info or debug", level)
	}

	options := &slog.HandlerOptions{Level: threshold, ReplaceAttr: replaceLevel}

	switch format {
	case logFormatJSON:
		return logr.FromSlogHandler(slog.NewJSONHandler(out, options)), nil
	case logFormatConsole:
		return logr.FromSlogHandler(slog.NewTextHandler(out, options)), nil
	default:
		return logr.Logger{}, fmt.Errorf("--log-format is %q; use json or console", format)
	}
}

// replaceLevel prints levels in lower case, and verbosities (which slog shows as INFO-1 to DEBUG) as debug.
func replaceLevel(groups []string, attr slog.Attr) slog.Attr {
	if len(groups) > 0 || attr.Key != slog.LevelKey {
		return attr
	}

	level, ok := attr.Value.Any().(slog.Level)
	if !ok {
		return attr
	}

	name := logLevelDebug

	switch {
	case level >= slog.LevelError:
		name = logLevelError
	case level >= slog.LevelWarn:
		name = logLevelWarn
	case level >= slog.LevelInfo:
		name = logLevelInfo
	}

	return slog.String(slog.LevelKey, name)
}
