#!/usr/bin/env bash
# Builds the development images named on the command line and loads them into the development cluster: a major version of
# PostgreSQL (17), a variant of it (17-b), one in the layout of others' images (17-official, 17-cnpg), mysql, valkey,
# nginx, shop (the backend of the demonstration shop), or s3 (an object store to test backups with).
set -euo pipefail
# shellcheck source=hack/cluster.sh
source "$(dirname "$0")/cluster.sh"
[ -n "$DEVCLUSTER" ] || exit 0
make -s bin/images
mkdir -p "$(images_dir)"
archives=()
for image in "$@"; do
  if [ "$image" = s3 ]; then
    CGO_ENABLED=0 go build -trimpath -modfile="$ROOT/go.stores.mod" -ldflags '-s -w' -o bin/versitygw github.com/versity/versitygw/cmd/versitygw
    bin/images program --name versitygw --binary bin/versitygw --tag caretaker.local/versitygw:test --out "$(images_dir)/s3.tar"
    archives+=("$(images_dir)/s3.tar")
    continue
  fi
  archive=$(images_dir)/postgresql-$image.tar
  case $image in
    shop)
      # The backend of the demonstration shop is a program of ours.
      archive=$(images_dir)/shop.tar
      CGO_ENABLED=0 go build -trimpath -ldflags=-s -o bin/shop ./test/demo/shop
      bin/images program --name shop --binary bin/shop --out "$archive"
      archives+=("$archive")
      continue
      ;;
    mysql | valkey | nginx)
      archive=$(images_dir)/$image.tar
      bin/images "$image" --out "$archive"
      archives+=("$archive")
      continue
      ;;
    *-official | *-cnpg) flags=(--like "${image#*-}") ;;
    *-*) flags=(--variant "${image#*-}") ;;
    *) flags=() ;;
  esac
  bin/images postgresql --major "${image%%-*}" "${flags[@]}" --out "$archive"
  archives+=("$archive")
done
bin/devcluster load "${archives[@]}"
