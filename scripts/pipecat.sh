#!/bin/sh
# Installs Pipecat and its MoQ library from PyPI into a folder of their own, and prints the path of its Python.
#
#   scripts/pipecat.sh [folder]      default folder: node_modules/.cache/pipecat
#
# UNSAY_PIPECAT names another one. It takes a minute the first time, nothing afterwards. PYTHON names another Python (3.11 or later).
set -eu

here="$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)"
folder="${1:-${UNSAY_PIPECAT:-$here/node_modules/.cache/pipecat}}"
python="$folder/bin/python"
versions="pipecat-ai[websocket]==1.14.0 moq-rs==0.5.1 fastapi uvicorn websockets"

if ! "$python" -c "import fastapi, moq, pipecat, uvicorn, websockets" >/dev/null 2>&1; then
  "${PYTHON:-python3}" -m venv "$folder"
  # shellcheck disable=SC2086
  "$python" -m pip install --quiet $versions >&2
fi
echo "$python"
