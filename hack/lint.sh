#!/usr/bin/env bash
# golangci-lint on every module, with the one configuration.
set -euo pipefail
# shellcheck source=hack/cluster.sh
source "$(dirname "$0")/cluster.sh"
mkdir -p "$ROOT/bin"
go build -modfile="$ROOT/go.tools.mod" -o "$ROOT/bin/golangci-lint" github.com/golangci/golangci-lint/v2/cmd/golangci-lint
for module in . devcluster devcluster/parts/csi-driver images; do
  echo "lint $module"
  (cd "$module" && golangci-lint run --config "$ROOT/.golangci.yml" ./...)
done
