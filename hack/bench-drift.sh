#!/usr/bin/env bash
# Measures how long what somebody edits or deletes by hand stays so, for everything that the operator owns. Fails above 2 s. ONLY=WebApp,AppConfig
# takes some kinds, KEEP=1 leaves the namespace for a look.
set -euo pipefail
# shellcheck source=hack/cluster.sh
source "$(dirname "$0")/cluster.sh"
[ -n "$DEVCLUSTER" ] || {
  echo "This needs the development cluster's images: unset KUBECONFIG, and run 'make up deploy' first." >&2
  exit 1
}
hack/images.sh "${POSTGRES_MAJORS[0]}" mysql "${APPLICATION_IMAGES[@]}"
go run ./test/bench/drift -runs "${RUNS:-5}" -only "${ONLY:-}" ${KEEP:+-keep} -write docs/benchmarks.md
