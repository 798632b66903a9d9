#!/usr/bin/env bash
# Creates or refreshes .venv with both distributions (editable), the extras, and the recorded outcomes.
#
#   scripts/setup.sh [EXTRAS]     default: demo,dev
#
# Needs Python >= 3.11. PYTHON=/path/to/python chooses one; otherwise the newest found is taken.
set -euo pipefail
cd "$(dirname "$0")/.."

extras="${1:-demo,dev}"
venv=.venv
outcomes="paretobandit==0.1.1" # data only: 3,609 real prompts with graded answers; never imported

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
    if new_enough "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  die "no Python >= 3.11 found; install one (Debian 12 or later: apt-get install python3 python3-venv)" \
    "or name it: make PYTHON=/path/to/python3.12"
}

# Debian splits ensurepip, without which no venv gets a pip, into a package of its own.
need_ensurepip() {
  local python="$1" version packages
  "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 && return
  version="$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
  packages="python${version}-venv"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing $packages (Debian keeps ensurepip there)"
    DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$packages" </dev/null >&2
    "$python" -c 'import ensurepip, venv' || die "$packages is installed, but $python still lacks ensurepip"
  else
    die "$python lacks ensurepip; run: sudo apt-get install $packages"
  fi
}

# -qq keeps errors and drops chatter; bytecode is left to the first import of what is really used.
pip_install() {
  "$venv/bin/python" -m pip install -qq --no-compile --disable-pip-version-check --no-input --prefer-binary \
    --root-user-action=ignore "$@" </dev/null
}

if ! new_enough "$venv/bin/python" || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
  python="$(find_python)"
  need_ensurepip "$python"
  say "creating $venv with $("$python" --version)"
  "$python" -m venv --clear "$venv"
fi

say "installing naiad, naiad-client and extras [$extras]"
pip_install "setuptools>=77" # the build backend, once, instead of an isolated copy for each distribution
pip_install --no-build-isolation -e "./clients/python" -e ".[$extras]"
pip_install --no-deps "$outcomes"
say "ready: $venv/bin/naiad"
