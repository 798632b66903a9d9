#!/usr/bin/env bash
# Check the API definition: lint, format, compatibility with the last release, and that the generated code is fresh.
#
# Needs no network once .venv-proto exists. Runs every check, prints each finding, and ends with 1 if there is any.
# BUF names the buf binary (the one of .venv, or else on the path, if unset).
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

buf=${BUF:-.venv/bin/buf}
[ -x "$buf" ] || buf=$(command -v buf) || { echo "proto: no buf; pip install buf-bin, or set BUF" >&2; exit 1; }
failed=0
finding() { echo "proto: $*" >&2; failed=1; }

"$buf" lint || finding "lint failed (rules in buf.yaml)"
"$buf" format --diff --exit-code || finding "format differs; run: buf format -w"

# The last release is the last tag that HEAD descends from; fetch tags in a shallow clone.
if ! tag=$(git describe --tags --abbrev=0 2>/dev/null); then
  echo "proto: no tag yet, so there is no release to be compatible with"
elif ! git cat-file -e "$tag:buf.yaml" 2>/dev/null; then
  echo "proto: the last tag, $tag, has no API definition to be compatible with"
elif "$buf" breaking --against ".git#tag=$tag"; then
  echo "proto: compatible with $tag"
else
  finding "breaks clients of $tag; see proto/README.md"
fi

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
if ! proto/generate.sh "$fresh"; then
  finding "the code could not be generated"
else
  for path in clients/python/naiad/v1 docs/api.md; do
    diff -r --brief -x __pycache__ "$fresh/$path" "$path" || finding "$path is stale; run: make proto"
  done
fi

exit "$failed"
