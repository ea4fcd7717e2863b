#!/usr/bin/env bash
# Everything in the repository that is made from something else in it.
set -euo pipefail
# shellcheck source=hack/cluster.sh
source "$(dirname "$0")/cluster.sh"
tool() { go run -modfile="$ROOT/go.tools.mod" "$@"; }

tool sigs.k8s.io/controller-tools/cmd/controller-gen object paths=./api/...
tool sigs.k8s.io/controller-tools/cmd/controller-gen crd paths=./api/... output:crd:dir=config/crd
tool github.com/elastic/crd-ref-docs --source-path=api --config=hack/crd-ref-docs/config.yaml --renderer=markdown --output-path=docs/reference/api.md --max-depth=20 >/dev/null

# The chart ships the CRDs, and its values page follows values.yaml.
mkdir -p charts/caretaker/files/crds
cp config/crd/*.yaml charts/caretaker/files/crds/
go test -count=1 ./charts -run TestValuesReference -update >/dev/null
go test -count=1 ./internal/postgres -run Reference -update >/dev/null
# The OLM bundle is made of all of these.
HELM_ARGS="" hack/bundle.sh
