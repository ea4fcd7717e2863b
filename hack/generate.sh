#!/usr/bin/env bash
# Everything in the repository that is made from something else in it.
set -euo pipefail
# shellcheck source=hack/cluster.sh
source "$(dirname "$0")/cluster.sh"
tool() { go tool -modfile="$ROOT/go.tools.mod" "$@"; }

tool controller-gen object paths=./api/...
