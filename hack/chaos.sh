#!/usr/bin/env bash
# Fault tests: run, soak, break, bench. docs/how-to/test-failover.md tells more; FLAGS="…" adds flags of the program.
set -euo pipefail
# shellcheck source=hack/cluster.sh
source "$(dirname "$0")/cluster.sh"
mkdir -p bin
go build -o bin/chaos ./test/chaos

flags=(--devcluster "$ROOT/.devcluster")
[ -z "${SLACK:-}" ] || flags+=(--slack "$SLACK")
case $1 in
  run)
    [ -z "$DEVCLUSTER" ] || hack/images.sh "${POSTGRES_MAJORS[@]}" s3
    flags+=(--set "${SET:-all}" --case "${CASE:-}")
    ;;
  soak) flags+=(--failovers "${FAILOVERS:-200}" --switchovers "${SWITCHOVERS:-200}") ;;
  break) flags+=(--namespace "${CLUSTER_NAMESPACE:-demo}" --cluster "${CLUSTER:-demo}" --fault "${FAULT:-}") ;;
  bench) flags+=(--runs "${RUNS:-5}" --api-down "${API_DOWN:-30s}" --write docs/benchmarks.md) ;;
esac
# shellcheck disable=SC2086
exec bin/chaos "$1" "${flags[@]}" ${FLAGS:-}
