#!/usr/bin/env bash
# From a fresh clone to a highly available PostgreSQL that answers SQL.
set -euo pipefail
# shellcheck source=hack/cluster.sh
source "$(dirname "$0")/cluster.sh"
# shellcheck source=hack/steps.sh
source hack/steps.sh
trap 'steps_report >&2; echo "The quick start did not finish; what is above says why. It can be run again: it goes on where it stopped." >&2' ERR

need_go
if [ -n "$DEVCLUSTER" ]; then
  step "Packages for building" need_packages
  step "Build devcluster" make -s bin/devcluster
  step "Can this machine run the development cluster?" bin/devcluster check || exit 1
  step "Start three nodes (builds Kubernetes once, about 10 minutes)" bin/devcluster up
  step "PostgreSQL ${POSTGRES_MAJORS[0]} image" hack/images.sh "${POSTGRES_MAJORS[0]}"
fi
step "Build and install the operator" hack/deploy.sh
step "Build the kubectl plugin" make -s plugin

apply_sample() {
  kubectl apply -f config/samples/quickstart.yaml
  local before=$SECONDS
  kubectl -n demo wait --for=condition=Ready cluster.postgresql.caretaker.dev/demo --timeout=300s
  echo "three instances are ready after $((SECONDS - before)) s"
}
answer_sql() {
  kubectl -n demo exec demo-0 -c postgres -- psql -XAtc 'select version()'
  kubectl -n demo exec demo-0 -c postgres -- psql -Xc 'select application_name, state, sync_state from pg_stat_replication order by 1'
}
step "A Cluster of three instances" apply_sample
step "Ask it something" answer_sql
steps_report

config=""
[ -z "$DEVCLUSTER" ] || config="export KUBECONFIG=$KUBECONFIG PATH=$ROOT/bin:\$PATH
"
cat <<EOF

There is now a Kubernetes cluster with the operator (namespace $NAMESPACE) and a PostgreSQL Cluster "demo" (namespace demo).
What you could type next:

${config}kubectl -n demo get pgc,pods,pvc                                  # what there is
kubectl caretaker status demo -n demo                             # how it is, and what to do next
kubectl caretaker promote demo demo-1 -n demo                     # make another instance the primary
kubectl -n demo exec -it demo-0 -c postgres -- psql app           # SQL, as the superuser
kubectl -n demo get secret demo-app -o jsonpath='{.data.uri}' | base64 -d   # how an application connects
make break                                                        # break something while clients write, and watch (a menu)
kubectl -n demo patch pgc demo --type=merge -p '{"spec":{"instances":2}}'   # scale
make down                                                         # remove all of it
EOF
