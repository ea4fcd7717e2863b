#!/usr/bin/env bash
# Makes the bundle for the Operator Lifecycle Manager from the chart, the CRDs and the samples. HELM_ARGS="--set …" are the chart's values,
# such as image.repository: there are none to set when OLM installs it.
set -euo pipefail
# shellcheck source=hack/cluster.sh
source "$(dirname "$0")/cluster.sh"
# shellcheck disable=SC2086 # HELM_ARGS is a list.
helm template caretaker charts/caretaker --namespace caretaker-system --set crds.install=false ${HELM_ARGS:-} | go run ./hack/bundle
