#!/usr/bin/env bash
# WAL to an S3 store on loopback and back, and recovery from it beside recovery from pg_wal. Prints a line for each.
set -euo pipefail
# shellcheck source=hack/cluster.sh
source "$(dirname "$0")/cluster.sh"
need_go
need_postgres
hack/stores.sh
POSTGRES_BINDIR=$(postgres_bindir)
export POSTGRES_BINDIR CARETAKER_BENCH=1 CARETAKER_REQUIRE_STORES=1
go test -count=1 -timeout 60m -v -run TestBench ./test/bench/wal
