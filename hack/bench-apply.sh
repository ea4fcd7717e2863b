#!/usr/bin/env bash
# Measures the time from apply to three of three instances ready, over several runs on an otherwise idle cluster.
set -euo pipefail
# shellcheck source=hack/cluster.sh
source "$(dirname "$0")/cluster.sh"
go run ./test/bench/apply -runs "${RUNS:-5}" -image "${POSTGRES_IMAGE:-$(postgres_image "${POSTGRES_MAJORS[0]}")}"
