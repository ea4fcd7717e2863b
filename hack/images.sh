#!/usr/bin/env bash
# Builds the PostgreSQL development images named on the command line (majors), and loads them into the cluster.
set -euo pipefail
# shellcheck source=hack/cluster.sh
source "$(dirname "$0")/cluster.sh"
[ -n "$DEVCLUSTER" ] || exit 0
make -s bin/images
mkdir -p "$(images_dir)"
for major in "$@"; do
  tar=$(images_dir)/postgresql-$major.tar
  bin/images postgresql --major "$major" --tag "$(postgres_image "$major")" --out "$tar"
  bin/devcluster load "$tar"
done
