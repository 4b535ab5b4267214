#!/usr/bin/env bash
# Build the sdist and, from it, the wheel; install the wheel without napari or Qt in a fresh
# environment outside the checkout; look whether it works there.
set -euo pipefail

readonly PYTHON=$(realpath -s "${1:-.venv/bin/python}")
readonly ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

cd "$ROOT"
"$PYTHON" -m build --outdir "$WORK/dist" .
"$PYTHON" -m venv "$WORK/env"
"$WORK/env/bin/python" -m pip install -q -c constraints.txt --upgrade pip
"$WORK/env/bin/python" -m pip install -q -c constraints.txt "$WORK"/dist/*.whl npe2
cp scripts/smoke.py "$WORK/smoke.py"
cd "$WORK"
PATH="$WORK/env/bin:$PATH" "$WORK/env/bin/python" -P smoke.py
