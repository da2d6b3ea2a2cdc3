#!/usr/bin/env bash
# Fails when the generated code is not what proto/ generates: generates into a scratch folder and compares.
# Changes nothing in the working tree.
set -euo pipefail
cd "$(dirname "$0")/.."
generated=packages/shared/src/wire/generated

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
pnpm --silent exec buf generate --output "$scratch"
if ! diff -r "$scratch/$generated" "$generated" >"$scratch/diff" 2>&1; then
  head -n 40 "$scratch/diff" >&2
  echo "generated code differs from proto/: run \"make gen\" and commit the result" >&2
  exit 1
fi
