#!/usr/bin/env bash
# Builds the operator, brings its image to the cluster and installs or upgrades the Helm chart.
# On your own cluster (KUBECONFIG=…) the image must be one that its nodes can pull: OPERATOR_IMAGE=… names it.
set -euo pipefail
# shellcheck source=hack/cluster.sh
source "$(dirname "$0")/cluster.sh"

if [ -n "$DEVCLUSTER" ]; then
  make -s bin/caretaker bin/caretaker-instance bin/caretaker-archive bin/caretaker-wal bin/images
  # The tag follows from the content, so that a new build is a new image and an old one is not loaded again.
  tag=$(cat bin/caretaker bin/caretaker-instance bin/caretaker-archive bin/caretaker-wal | sha256sum | cut -c1-12)
  image=caretaker.local/caretaker:$tag
  mkdir -p "$(images_dir)"
  bin/images operator --binary bin/caretaker --instance bin/caretaker-instance --archive bin/caretaker-archive --wal bin/caretaker-wal --tag "$image" --out "$(images_dir)/operator.tar"
  bin/devcluster load "$(images_dir)/operator.tar"
  default_postgres=$(postgres_image "${POSTGRES_MAJORS[0]}")
  databases=(--set-string database.defaultVersion="${POSTGRES_MAJORS[0]}" --set-string 'mysql.images.9\.7=caretaker.local/mysql:9.7')
  for major in "${POSTGRES_MAJORS[@]}"; do databases+=(--set-string "database.images.$major=$(postgres_image "$major")"); done
else
  databases=()
  image=${OPERATOR_IMAGE:-}
  default_postgres=${POSTGRES_IMAGE:-}
  if [ -z "$image" ]; then
    echo "OPERATOR_IMAGE is not set. Build the image with 'make build' and" >&2
    echo "'bin/images operator …', push it where your nodes can pull it, and name it: OPERATOR_IMAGE=registry/name:tag" >&2
    exit 1
  fi
fi

set -- --set image.repository="${image%:*}" --set image.tag="${image##*:}"
[ -z "$DEVCLUSTER" ] || set -- "$@" --set cache.image=caretaker.local/valkey:8
[ -z "$default_postgres" ] || set -- "$@" --set defaultPostgresImage="$default_postgres"
# What somebody changed by hand in the objects of the chart is the chart's again.
helm upgrade --install caretaker charts/caretaker --force-conflicts --namespace "$NAMESPACE" --create-namespace --wait --timeout 5m "$@" ${databases[@]+"${databases[@]}"} ${HELM_ARGS:-}
