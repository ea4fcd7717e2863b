#!/bin/sh
# Prints pg_settings of one PostgreSQL installation, one parameter a line, for main.go.
# Usage: dump.sh BINDIR > 17.tsv   (as a user that is not root: initdb refuses root)
# It needs initdb and postgres only: the query runs in single-user mode.
set -eu
bin=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$bin/initdb" -D "$work/data" -U postgres --auth=trust --no-sync --no-locale >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
printf '%s\n' "COPY (SELECT name, context, vartype, coalesce(unit, ''), coalesce(min_val, ''), coalesce(max_val, ''), \
CASE vartype WHEN 'string' THEN '' ELSE coalesce(boot_val, '') END, coalesce(array_to_string(enumvals, '|'), '') \
FROM pg_settings WHERE name NOT LIKE '%.%' ORDER BY lower(name) COLLATE \"C\") TO '$work/settings'" |
	"$bin/postgres" --single -D "$work/data" postgres >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
cat "$work/settings"
