#!/usr/bin/env bash
# Build and install the object stores that tests run against, into a cache that outlives this checkout. Prints what cannot be had.
set -euo pipefail
# shellcheck source=hack/cluster.sh
source "$(dirname "$0")/cluster.sh"

VERSITYGW=v1.8.0
FAKE_GCS_SERVER=v1.56.0
AZURITE=3.35.0

cache=${XDG_CACHE_HOME:-$HOME/.cache}/caretaker/stores
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9

# go_store NAME-VERSION PACKAGE: built once; it appears whole or not at all.
go_store() {
  [ ! -x "$cache/$1" ] || return 0
  echo "building $1"
  go build -modfile="$ROOT/go.stores.mod" -ldflags '-s -w' -o "$cache/.$1" "$2"
  mv "$cache/.$1" "$cache/$1"
}
go_store "versitygw-$VERSITYGW" github.com/versity/versitygw/cmd/versitygw
go_store "fake-gcs-server-$FAKE_GCS_SERVER" github.com/fsouza/fake-gcs-server

if [ ! -d "$cache/azurite-$AZURITE" ]; then
  if ! command -v npm >/dev/null && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null || true
  fi
  if command -v npm >/dev/null; then
    echo "installing azurite $AZURITE"
    rm -rf "$cache/.azurite"
    mkdir "$cache/.azurite"
    npm install --prefix "$cache/.azurite" --omit=dev --no-audit --no-fund --loglevel=error "azurite@$AZURITE" >/dev/null
    mv "$cache/.azurite" "$cache/azurite-$AZURITE"
  else
    echo "azurite needs Node.js and npm, which are not here: the tests against Azure's API are skipped" >&2
    exit 3
  fi
fi
