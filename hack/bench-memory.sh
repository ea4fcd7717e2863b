#!/usr/bin/env bash
# Measures the operator's resident memory with COUNTS Clusters of three instances each, one after the other, on a control plane
# without nodes: all objects are there, no pod runs, and the operator looks at every Cluster every second.
set -euo pipefail
# shellcheck source=hack/cluster.sh
source "$(dirname "$0")/cluster.sh"

read -ra counts <<<"${COUNTS:-1 100 1000}"
state=$(mktemp -d)
operator=""
finish() {
  [ -z "$operator" ] || kill "$operator" 2>/dev/null || true
  bin/devcluster down --dir "$state" >/dev/null 2>&1 || true
  rm -rf "$state"
}
trap finish EXIT

make --no-print-directory bin/caretaker bin/devcluster
bin/devcluster up --control-plane-only --dir "$state"
export KUBECONFIG=$state/kubeconfig
kubectl apply --server-side -f config/crd >/dev/null
kubectl create namespace bench-memory >/dev/null

bin/caretaker operator --operator-image=example.org/caretaker:bench --log-level=error --metrics-bind-address=127.0.0.1:0 \
  --health-probe-bind-address=127.0.0.1:0 --kube-api-qps=1000 >"$state/operator.log" 2>&1 &
operator=$!

clusters() {
  local i
  for ((i = $1; i <= $2; i++)); do
    printf -- '---\napiVersion: postgresql.caretaker.dev/v1\nkind: Cluster\nmetadata: {name: c%04d, namespace: bench-memory}\nspec: {instances: 3, storage: {size: 1Gi}}\n' "$i"
  done
}

# What the API server has of a resource.
count() { kubectl get --raw "/api/v1/namespaces/bench-memory/$1?limit=1" | grep -o '"remainingItemCount":[0-9]*' | grep -o '[0-9]*$' || echo 0; }

resident() { awk '/^VmRSS/ {print $2}' "/proc/$operator/status"; }

previous=0 before=0
echo "Clusters  resident memory   per Cluster since the row above"
for n in "${counts[@]}"; do
  clusters $((previous + 1)) "$n" | kubectl create -f - >/dev/null
  # The last objects of a Cluster are its pods.
  for ((waited = 0; $(count pods) + 1 < n; waited++)); do
    [ "$waited" -lt 900 ] || { echo "there are $(count pods) pods after 15 minutes" >&2; tail -5 "$state/operator.log" >&2; exit 1; }
    sleep 1
  done
  sleep "${SETTLE:-120}" # several cycles of the garbage collector
  samples=()
  for _ in 1 2 3 4 5 6 7 8 9; do
    samples+=("$(resident)")
    sleep 2
  done
  now=$(printf '%s\n' "${samples[@]}" | sort -n | sed -n 5p)
  slope=""
  [ "$previous" -eq 0 ] || slope="$(((now - before) / (n - previous))) KiB"
  printf '%8d  %10d KiB   %s\n' "$n" "$now" "$slope"
  previous=$n before=$now
done
echo "objects of the last row: $(count pods) pods, $(count secrets) secrets, $(count services) services, $(count persistentvolumeclaims) volumes"
