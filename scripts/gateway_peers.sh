#!/usr/bin/env bash
# Makes .venv-gateway, the peers of benchmarks/gateway.py: LiteLLM's proxy and TensorZero from PyPI, Portkey's gateway from
# npm in .venv-gateway/node, and nginx and node from Debian where they are missing and this runs as root.
#
#   scripts/gateway_peers.sh
#
# What cannot be had is named and left out; the benchmark then says that it is absent. Nothing runs as a root service: a
# freshly installed nginx is told not to start, and the benchmark starts one of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

home=.venv-gateway
say() { printf 'gateway-peers: %s\n' "$*" >&2; }
missing=()

debian() { # debian COMMAND PACKAGE...
  local command="$1"
  shift
  PATH="$PATH:/usr/sbin" command -v "$command" >/dev/null && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing $*"
    DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null >&2
    # RUNLEVEL=1 keeps the package's scripts from starting a service
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >&2 && return
  fi
  say "$command is missing; as root: apt-get install $*"
  missing+=("$command")
}

debian nginx nginx-light
debian node nodejs
debian npm npm

python="${PYTHON:-python3}"
[ -x "$home/bin/python" ] || "$python" -m venv "$home"
say "installing LiteLLM's proxy and TensorZero"
"$home/bin/python" -m pip install -q --disable-pip-version-check --no-input -r benchmarks/gateway_peers.txt </dev/null >&2 ||
  missing+=("litellm or tensorzero")

if command -v npm >/dev/null; then
  say "installing Portkey's gateway"
  rm -rf "$home/node"
  mkdir -p "$home/node"
  cp benchmarks/gateway_peers.json "$home/node/package.json"
  npm install --prefix "$home/node" --no-audit --no-fund --ignore-scripts --silent </dev/null >&2 ||
    missing+=("@portkey-ai/gateway")
fi

if ((${#missing[@]})); then
  say "not there: ${missing[*]}"
  exit 1
fi
say "ready: $home"
