#!/usr/bin/env bash
# Tidy, generate and lint; fails if a file changed, naming it.
set -euo pipefail
# shellcheck source=hack/cluster.sh
source "$(dirname "$0")/cluster.sh"
# shellcheck source=hack/steps.sh
source hack/steps.sh
trap steps_report EXIT

state() { git status --porcelain && git diff | sha256sum; }
tidy() {
  local module
  for module in . devcluster images; do (cd "$module" && go mod tidy); done
}
unchanged() {
  [ "$(state)" = "$before" ] && return 0
  git status --short
  git --no-pager diff --stat
  echo "The files above are not what 'make generate' and 'go mod tidy' make. Commit what they are now." >&2
  return 1
}

need_go
need_packages
before=$(state)
step "go mod tidy" tidy
step "generate" hack/generate.sh
step "nothing changed by it" unchanged
step "lint" hack/lint.sh
