#!/bin/sh
# Runs the vendors' official clients against a simulator on a free port.
set -eu
cd "$(dirname "$0")/../.."
if ! python3 -m venv --help >/dev/null 2>&1; then
    echo "clients: SKIPPED, there is no python3 with venv here"
    exit 0
fi
venv=target/clients
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import replicate, inferencesh' 2>/dev/null; then
    rm -rf "$venv"
    if ! python3 -m venv "$venv" || ! "$venv/bin/pip" install -q -r tests/clients/requirements.txt; then
        echo "clients: SKIPPED, the clients cannot be installed here"
        exit 0
    fi
fi
out=$(mktemp)
"${SONGMILL_BIN:-${CARGO_TARGET_DIR:-$PWD/target}/debug/songmill}" sim --port 0 >"$out" 2>/dev/null &
sim=$!
trap 'kill "$sim" 2>/dev/null || true; rm -f "$out"' EXIT
tries=0
until grep -q http "$out"; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || { echo "clients: the simulator does not start"; exit 1; }
    sleep 0.1
done
SIM_URL=$(sed -n 's/^simulator on //p' "$out") "$venv/bin/python" tests/clients/official_clients.py
