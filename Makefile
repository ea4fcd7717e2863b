# Caretaker. `make help` lists the targets; KUBECONFIG=… points any of them at a cluster of your own.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/caretaker-dev/caretaker/internal/version.version=$(VERSION)
GO_BUILD := CGO_ENABLED=0 go build -trimpath
TOOL := go tool -modfile=$(CURDIR)/go.tools.mod
MODULES := . devcluster images

export PATH := $(CURDIR)/bin:$(PATH)

##@ The two that matter

.PHONY: quickstart
quickstart: ## Install what is missing, start a cluster, end with a highly available PostgreSQL that answers SQL
	@hack/quickstart.sh

.PHONY: test
test: ## All tests that fit in 40 minutes: unit, API server, end to end, the short set of fault tests
	@hack/test.sh

.PHONY: test-all
test-all: ## Everything, the long tests included
	@CARETAKER_E2E_LONG=1 hack/test.sh

##@ Development

.PHONY: build
build: bin/caretaker bin/caretaker-instance bin/caretaker-archive bin/caretaker-wal bin/kubectl-caretaker bin/devcluster bin/images ## Build every binary into bin/

.PHONY: bin/caretaker bin/caretaker-instance bin/caretaker-archive bin/caretaker-wal bin/kubectl-caretaker bin/devcluster bin/images
bin/caretaker bin/caretaker-instance bin/caretaker-archive bin/caretaker-wal bin/kubectl-caretaker:
	@$(GO_BUILD) -ldflags '$(LDFLAGS)' -o $@ ./cmd/$(notdir $@)
bin/devcluster:
	@cd devcluster && $(GO_BUILD) -o ../$@ .
bin/images:
	@cd images && $(GO_BUILD) -o ../$@ .

.PHONY: plugin
plugin: bin/kubectl-caretaker ## Build the kubectl plugin (kubectl caretaker) and its shell completion into bin/
	@install -m 0755 hack/kubectl_complete-caretaker bin/

.PHONY: generate
generate: ## Generate deep copies, CRDs, the chart's CRDs, the reference pages and the OLM bundle
	@hack/generate.sh

.PHONY: bundle
bundle: ## Make the OLM bundle from the chart (HELM_ARGS="--set image.repository=… …")
	@hack/bundle.sh

.PHONY: fmt
fmt: ## Format the code
	@$(TOOL) golangci-lint fmt ./...

.PHONY: lint
lint: ## Run the linters on every module
	@hack/lint.sh

.PHONY: verify
verify: ## Tidy, generate and lint; fails if any of them changes a file
	@hack/verify.sh

.PHONY: unit
unit: ## Unit tests only
	@hack/test.sh unit

.PHONY: test-api
test-api: ## Tests against a real API server only
	@hack/test.sh api

.PHONY: test-e2e
test-e2e: ## End-to-end tests only
	@hack/test.sh e2e

.PHONY: soak
soak: ## Run the protocol's simulator over SEEDS seeds from FIRST on (default 1,000,000 from 1)
	@CARETAKER_SEEDS=$${SEEDS:-1000000} CARETAKER_FIRST=$${FIRST:-1} go test -timeout 0 -count=1 -run 'TestSimulation$$' ./internal/ha

.PHONY: chaos
chaos: ## Run the fault tests, or those whose names have CASE in them (SET=short|all|long)
	@hack/chaos.sh run

.PHONY: chaos-soak
chaos-soak: ## Fail over and switch over in turn (FAILOVERS=200 SWITCHOVERS=200), and look for every acknowledged row
	@hack/chaos.sh soak

.PHONY: break
break: ## Break the quick start's PostgreSQL and watch (a menu, or FAULT=kill-postgres)
	@hack/chaos.sh break

.PHONY: bench-failover
bench-failover: ## Measure the gaps that faults make, RUNS=5 of each, and write them into docs/benchmarks.md
	@hack/chaos.sh bench

.PHONY: bench-wal
bench-wal: ## Measure how fast WAL goes to an S3 store on this machine and comes back (MIB=2048)
	@hack/bench-wal.sh

.PHONY: bench-apply
bench-apply: ## Measure the time from apply to three ready instances
	@hack/bench-apply.sh

.PHONY: bench-drift
bench-drift: ## Measure how long what is changed by hand stays so, RUNS=5 times each, and write it into docs/benchmarks.md
	@hack/bench-drift.sh

.PHONY: bench-memory
bench-memory: ## Measure the operator's memory with many Clusters (COUNTS="1 100 1000")
	@hack/bench-memory.sh

.PHONY: bench-backup
bench-backup: bin/caretaker-archive ## Measure backups beside pgBackRest and pg_basebackup (SIZE=4096 MiB, RUNS=5, BIN=PostgreSQL's programs)
	@go run ./test/bench/backup -archive bin/caretaker-archive -size $${SIZE:-4096} -runs $${RUNS:-5} -bin $${BIN:-/usr/lib/postgresql/15/bin}

##@ The development cluster

.PHONY: up
up: bin/devcluster ## Start the development cluster (three nodes)
	@bin/devcluster up

.PHONY: down
down: bin/devcluster ## Stop the development cluster and remove every trace of it
	@bin/devcluster down

.PHONY: status
status: bin/devcluster ## Show the development cluster
	@bin/devcluster status

.PHONY: deploy
deploy: ## Build the operator, load it, and install or upgrade the Helm chart
	@hack/deploy.sh

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*##"} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*##/ {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
