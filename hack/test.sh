#!/usr/bin/env bash
# The tests, from the inside out: unit, API server, end to end, faults. `hack/test.sh [unit|api|e2e|chaos]…` runs some of them.
# What this machine cannot run is said at the end; with CI=true that is a failure.
set -euo pipefail
# shellcheck source=hack/cluster.sh
source "$(dirname "$0")/cluster.sh"
# shellcheck source=hack/steps.sh
source hack/steps.sh

tiers=("$@")
[ ${#tiers[@]} -gt 0 ] || tiers=(unit api e2e chaos)
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
  # A developer goes on with the cluster; CI leaves nothing behind.
  if [ "${CI:-}" = true ] && [ -n "$DEVCLUSTER" ] && [ -x bin/devcluster ]; then
    step "Remove the development cluster" bin/devcluster down || failed=1
  fi
  steps_report
  local word
  for word in ${left_out[@]+"${left_out[@]}"}; do echo "not run: $word"; done
  if [ ${#left_out[@]} -gt 0 ] && [ "${CI:-}" = true ]; then
    echo "CI=true: what could not run counts as a failure."
    failed=1
  fi
  # Once more, at the end: what a reader of a long log looks for.
  cat "$results"/*.json 2>/dev/null | sed -nE '/"Action":"fail"/ s/.*"Package":"([^"]*)"(,"Test":"([^"]*)")?.*/failed: \1 \3/p' | sort -u || true
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
  export POSTGRES_BINDIR
  POSTGRES_BINDIR=$(postgres_bindir)
  [ -z "$POSTGRES_BINDIR" ] || export CARETAKER_REQUIRE_POSTGRES=1
  # What the object stores' tests run against. Where one cannot be had, its tests are skipped and say so.
  if hack/stores.sh; then export CARETAKER_REQUIRE_STORES=1; else left_out+=("some object stores' tests, as said above"); fi
  # A server for dumps of MongoDB, and its programs, take minutes to build.
  if [ "${CARETAKER_E2E_LONG:-}" = 1 ]; then
    if hack/mongo.sh; then export CARETAKER_REQUIRE_MONGO=1; else left_out+=("tests of MongoDB dumps, as said above"); fi
  fi
  # The package that takes longest begins first: the others fill the second core beside it.
  gotest unit . -timeout 30m ./internal/instance ./api/... ./cmd/... ./internal/... ./charts/... ./hack/... ./test/internal/... ./test/chaos/... || return
  gotest devcluster devcluster ./... || return
  gotest csi-driver devcluster/parts/csi-driver ./... || return
  gotest images images ./...
}
# One API server for all of them; they wait for it more than they compute. On a cluster of the user's own they start one, where the machine can.
api() {
  local state status=0
  state=$(mktemp -d)
  bin/devcluster up --control-plane-only --dir "$state" || return
  CARETAKER_REQUIRE_API=1 CARETAKER_APISERVER_KUBECONFIG=$state/kubeconfig \
    gotest api . -count=1 -p 1 -parallel 4 -timeout 30m ./test/api/... ./internal/instance/term/... || status=$?
  bin/devcluster down --dir "$state" >/dev/null
  rm -rf "$state"
  return "$status"
}
# The short set of the fault tests; `make chaos` runs all of them.
chaos() { CARETAKER_CHAOS=1 gotest chaos . -count=1 -timeout 30m -run 'TestShort$' ./test/chaos; }
e2e() { CARETAKER_E2E=1 gotest e2e . -count=1 -timeout 60m ./test/e2e/...; }
# Compile everything first: nothing competes with the end-to-end tests for the two cores.
precompile() {
  make -s build
  go test -count=1 -run '^$' ./test/... >/dev/null
}

need_go
step "Packages for building" need_packages
step "Build the tools" build_tools
if wants unit; then
  step "PostgreSQL's programs" need_postgres
  try "Unit tests" unit
fi

# An API server runs anywhere; nodes need root and namespaces. On a cluster of the user's own nothing is checked.
nodes=yes
if [ -n "$DEVCLUSTER" ] && { wants e2e || wants chaos; } && ! why=$(bin/devcluster check 2>&1); then
  nodes=""
  left_out+=("end-to-end tests, since this machine cannot run the development cluster:"$'\n'"$why")
fi

if wants api || wants e2e || wants chaos; then
  if [ -n "$DEVCLUSTER" ] && [ -n "$nodes" ]; then step "Build Kubernetes (cached)" bin/devcluster build; fi
  step "Compile the tests" precompile
fi
if wants api; then try "API tests" api; fi
if { wants e2e || wants chaos; } && [ -n "$nodes" ]; then
  if [ -n "$DEVCLUSTER" ]; then
    step "Start three nodes" bin/devcluster up
    images=("${POSTGRES_MAJORS[@]}" "${POSTGRES_VARIANTS[@]}" mysql)
    if [ -f go.stores.mod ]; then images+=(s3); else export CARETAKER_S3_IMAGE=""; fi
    step "Database images" hack/images.sh "${images[@]}"
    step "Images of applications" hack/images.sh "${APPLICATION_IMAGES[@]}"
  fi
  step "Install the operator" hack/deploy.sh
  if wants e2e; then try "End-to-end tests" e2e; fi
  if wants chaos; then try "Fault tests, the short set" chaos; fi
fi
finish
