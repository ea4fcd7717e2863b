#!/usr/bin/env bash
# Build what the tests of MongoDB dumps run with, into a cache that outlives this checkout: FerretDB, a server that speaks MongoDB's
# protocol, and MongoDB's own programs, from a clone of their repository (MONGO_TOOLS_SOURCE names another place of it). Minutes of CPU.
set -euo pipefail
# shellcheck source=hack/cluster.sh
source "$(dirname "$0")/cluster.sh"

FERRETDB=v1.24.2
MONGO_TOOLS=100.18.0

cache=${XDG_CACHE_HOME:-$HOME/.cache}/caretaker/mongo
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
export CGO_ENABLED=0

if [ ! -d "$cache/mongo-tools-$MONGO_TOOLS" ]; then
  source=${MONGO_TOOLS_SOURCE:-https://github.com/mongodb/mongo-tools}
  rm -rf "$cache/.source" "$cache/.tools"
  if ! GIT_TERMINAL_PROMPT=0 git -c advice.detachedHead=false clone -q --depth 1 --branch "$MONGO_TOOLS" "$source" "$cache/.source"; then
    echo "MongoDB's programs cannot be had from $source: the tests with them are skipped" >&2
    exit 3
  fi
  mkdir "$cache/.tools"
  for program in mongodump mongorestore mongoimport mongoexport; do
    echo "building $program $MONGO_TOOLS"
    (cd "$cache/.source" && go build -trimpath -ldflags "-s -w -X main.VersionStr=$MONGO_TOOLS" -o "$cache/.tools/$program" "./$program/main")
  done
  mv "$cache/.tools" "$cache/mongo-tools-$MONGO_TOOLS"
  rm -rf "$cache/.source"
fi

if [ ! -x "$cache/ferretdb-$FERRETDB" ]; then
  echo "building ferretdb $FERRETDB"
  # Its makers generate a file with the version, without which it ends at once.
  folder=$(go mod download -json "github.com/FerretDB/FerretDB@$FERRETDB" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  rm -rf "$cache/.source"
  cp -r "$folder" "$cache/.source"
  chmod -R u+w "$cache/.source"
  echo "$FERRETDB" >"$cache/.source/build/version/version.txt"
  (cd "$cache/.source" && go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$cache/.ferretdb" ./cmd/ferretdb)
  rm -rf "$cache/.source"
  mv "$cache/.ferretdb" "$cache/ferretdb-$FERRETDB"
fi
