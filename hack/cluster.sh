#!/usr/bin/env bash
# Which cluster the scripts talk to, and the tools they do it with. Sourced.
# With KUBECONFIG set by the user it is the user's cluster; otherwise the development cluster of this checkout.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT" || exit 1
export PATH="$ROOT/bin:$PATH"

DEV_KUBECONFIG=$ROOT/.devcluster/kubeconfig
NAMESPACE=${NAMESPACE:-caretaker-system}
if [ -n "${KUBECONFIG:-}" ] && [ "$KUBECONFIG" != "$DEV_KUBECONFIG" ]; then
  DEVCLUSTER=""
else
  DEVCLUSTER=yes
  export KUBECONFIG=$DEV_KUBECONFIG
fi

# What is built and what is tested is compiled alike, so that each package is compiled once.
export CGO_ENABLED=0
export GOFLAGS="${GOFLAGS:+$GOFLAGS }-trimpath"

# The PostgreSQL majors that there are development images of; the first is the default.
POSTGRES_MAJORS=(17 15 18)
# The images that the end-to-end tests need beside those.
POSTGRES_VARIANTS=(17-b 17-official 17-cnpg)
# What applications on top of a database are tested with.
APPLICATION_IMAGES=(valkey nginx shop)

# go run and not go tool, which knows nothing of GOFLAGS: it would compile all of Kubernetes' libraries once more.
helm() { go run -modfile="$ROOT/go.tools.mod" helm.sh/helm/v4/cmd/helm "$@"; }

need_go() {
  command -v go >/dev/null || {
    echo "Go is missing. Install Go 1.26 or newer and put it on PATH." >&2
    exit 1
  }
}

# Debian's packages that building needs before any tool of ours can run.
need_packages() {
  local missing=() pair
  for pair in gcc:gcc pkg-config:pkg-config git:git; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  command -v apt-get >/dev/null || {
    echo "Missing: ${missing[*]}. This machine has no apt-get, so please install them yourself." >&2
    exit 1
  }
  [ "$(id -u)" -eq 0 ] || {
    echo "Missing: ${missing[*]}. You are not root; install them first: sudo apt-get install ${missing[*]}" >&2
    exit 1
  }
  echo "installing Debian packages: ${missing[*]}"
  apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# The server's programs, for the tests of PID 1; Debian's package would start a server of its own unless told not to.
postgres_bindir() { find /usr/lib/postgresql -path '*/bin/initdb' -printf '%h\n' 2>/dev/null | sort -V | tail -n 1; }
need_postgres() {
  [ -z "$(postgres_bindir)" ] || return 0
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "no PostgreSQL here and no way to install it: the tests that need its programs are skipped"
    return 0
  fi
  echo "installing Debian package: postgresql (its programs only; no server is started)"
  mkdir -p /etc/postgresql-common
  [ -e /etc/postgresql-common/createcluster.conf ] || echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
  apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql >/dev/null
}

images_dir() { echo "$ROOT/dist/images"; }
postgres_image() { echo "caretaker.local/postgresql:$1"; }
