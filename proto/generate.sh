#!/usr/bin/env bash
# Generate clients/python/naiad/v1 and docs/api.md from proto/naiad/v1: proto/generate.sh [FOLDER]
# With FOLDER, write FOLDER/clients/python/naiad/v1 and FOLDER/docs/api.md instead.
#
# The generators live in an environment of their own, .venv-proto, made on first use from proto/requirements.txt: the
# server's environment has newer ones, and generated code sets the floor for everyone who runs it.
# PYTHON names the interpreter that makes the environment (python3 if unset).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=${1:-$root}
venv=$root/.venv-proto
pins=$root/proto/requirements.txt

if ! cmp -s "$pins" "$venv/.installed"; then
  rm -rf "$venv"
  "${PYTHON:-python3}" -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$pins"
  cp "$pins" "$venv/.installed"
fi

# Into a folder aside first: code that is in use is only replaced by code that is whole.
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
cd "$root/proto"
protoc=("$venv/bin/python" -W ignore -m grpc_tools.protoc -I .)
"${protoc[@]}" --python_out="$new" --pyi_out="$new" naiad/v1/*.proto
# Services alone get gRPC code, and stubs for it: grpcio-tools writes none.
"${protoc[@]}" --grpc_python_out="$new" \
  --plugin=protoc-gen-mypy_grpc="$venv/bin/protoc-gen-mypy_grpc" \
  --mypy_grpc_out=quiet,generate_concrete_servicer_stubs:"$new" \
  naiad/v1/*_service.proto
# mypy --strict wants the arguments of a generic type.
sed -i.orig 's/_Mapping\]/_Mapping[str, object]]/g' "$new"/naiad/v1/*_pb2.pyi
rm "$new"/naiad/v1/*.orig
printf '"""%s"""\n' "The API of Naiad, version 1, generated from proto/naiad/v1: one module for each .proto file." \
  > "$new/naiad/v1/__init__.py"
touch "$new/naiad/v1/py.typed"  # its types hold for whoever installs it

"${protoc[@]}" --descriptor_set_out="$new/api.bin" --include_source_info naiad/v1/*.proto
"$venv/bin/python" reference.py "$new/api.bin" > "$new/api.md"

code=$out/clients/python/naiad/v1
mkdir -p "$code" "$out/docs"
cp "$new"/naiad/v1/* "$code/"
cp "$new/api.md" "$out/docs/api.md"
for file in "$code"/*_pb2*; do
  [ -e "$new/naiad/v1/$(basename "$file")" ] || rm "$file"  # its .proto is gone
done
