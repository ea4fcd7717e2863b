#!/usr/bin/env bash
# The tests, from the inside out: unit, API server, end to end. `hack/test.sh [unit|api|e2e]…` runs some of them.
# What this machine cannot run is said at the end; with CI=true that is a failure.
set -euo pipefail
# shellcheck source=hack/cluster.sh
source "$(dirname "$0")/cluster.sh"
# shellcheck source=hack/steps.sh
source hack/steps.sh

tiers=("$@")
[ ${#tiers[@]} -gt 0 ] || tiers=(unit api e2e)
wants() { [[ " ${tiers[*]} " == *" $1 "* ]]; }
results=$(mktemp -d)
left_out=()
failed=0

# gotest NAME MODULE ARGUMENTS…: one run of go test; its counts are added up at the end.
gotest() {
  local name=$1 module=$2
  shift 2
  (cd "$module" && "$ROOT/bin/gotestsum" --format "${GOTESTSUM_FORMAT:-pkgname-and-test-fails}" --hide-summary=skipped \
    --jsonfile "$results/$name.json" -- "$@")
}
try() { step "$@" || failed=1; }

count() { cat "$results"/*.json 2>/dev/null | grep -c "\"Action\":\"$1\",.*\"Test\":" || true; }
finish() {
  steps_report
  local word
  for word in "${left_out[@]}"; do echo "not run: $word"; done
  if [ ${#left_out[@]} -gt 0 ] && [ "${CI:-}" = true ]; then
    echo "CI=true: what could not run counts as a failure."
    failed=1
  fi
  echo
  echo "$(count pass) passed, $(count fail) failed, $(count skip) skipped"
  rm -rf "$results"
  exit "$failed"
}

build_tools() {
  make -s bin/devcluster bin/images
  go build -modfile="$ROOT/go.tools.mod" -o bin/gotestsum gotest.tools/gotestsum
}
unit() {
  gotest unit . ./api/... ./cmd/... ./internal/... ./charts/... ./test/internal/... || return
  gotest devcluster devcluster ./... || return
  gotest images images ./...
}
# Compile everything first: nothing competes with the end-to-end tests for the two cores.
precompile() {
  make -s build
  go test -count=1 -run '^$' ./test/... >/dev/null
}

need_go
step "Packages for building" need_packages
step "Build the tools" build_tools
if wants unit; then try "Unit tests" unit; fi

can_cluster=yes
reason=""
if [ -n "$DEVCLUSTER" ] && { wants api || wants e2e; }; then
  if ! reason=$(bin/devcluster check 2>&1); then
    can_cluster=""
    left_out+=("API-server and end-to-end tests need the development cluster, which this machine cannot run:" "$reason")
  fi
fi

if [ -n "$can_cluster" ]; then
  if [ -n "$DEVCLUSTER" ]; then step "Build Kubernetes for the tests (cached)" bin/devcluster build; fi
  step "Compile the tests" precompile
  if wants api; then
    try "API tests" env CARETAKER_REQUIRE_API=1 bash -c "$(declare -f gotest); ROOT='$ROOT' results='$results' gotest api . -count=1 -timeout 30m ./test/api/..."
  fi
  if wants e2e; then
    if [ -n "$DEVCLUSTER" ]; then
      step "Start three nodes" bin/devcluster up
      step "PostgreSQL images" hack/images.sh "${POSTGRES_MAJORS[@]}" "${POSTGRES_VARIANTS[@]}"
    fi
    step "Install the operator" hack/deploy.sh
    try "End-to-end tests" env CARETAKER_E2E=1 bash -c "$(declare -f gotest); ROOT='$ROOT' results='$results' gotest e2e . -count=1 -timeout 60m ./test/e2e/..."
  fi
fi
finish
