#!/usr/bin/env bash
# Everything in the repository that is made from something else in it.
set -euo pipefail
# shellcheck source=hack/cluster.sh
source "$(dirname "$0")/cluster.sh"
tool() { go tool -modfile="$ROOT/go.tools.mod" "$@"; }

tool controller-gen object paths=./api/...
tool controller-gen crd paths=./api/... output:crd:dir=config/crd
tool crd-ref-docs --source-path=api --config=hack/crd-ref-docs/config.yaml --renderer=markdown --output-path=docs/reference/api.md --max-depth=20 >/dev/null
