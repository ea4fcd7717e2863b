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
  for module in . devcluster devcluster/parts/csi-driver images; do (cd "$module" && go mod tidy); done
}
# What two modules have in common is compiled once, if every package below it is of the same version in both: a third of the
# first quick start on a machine.
versions() { go list -deps -f '{{with .Module}}{{.Path}} {{.Version}}{{end}}' "$@" | sort -u; }
agree() {
  local ours others differ
  ours=$(versions ./cmd/...)
  others=$( (cd devcluster && versions .) && versions -modfile=go.tools.mod helm.sh/helm/v4/cmd/helm)
  differ=$(join <(echo "$ours") <(sort -u <<<"$others") | awk '$2 != $3 {print "  " $1 ": " $2 ", elsewhere " $3}')
  [ -z "$differ" ] && return 0
  printf 'go.mod has other versions than devcluster/go.mod or go.tools.mod of:\n%s\nMake them the same, the newest of both.\n' "$differ" >&2
  return 1
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
step "modules agree" agree
step "generate" hack/generate.sh
step "nothing changed by it" unchanged
step "lint" hack/lint.sh
