#!/bin/sh
# Sends notices to a receiver that checks them with the reference libraries of Standard Webhooks, of PyPI and of npm.
set -eu
cd "$(dirname "$0")/../.."
. tests/api/lib.sh
python_with webhooks tests/api/webhooks.txt
begin --set 'deliver.notices.schedule=["500ms", "1s"]' --set policy.vendors.replicate.poll_first=500ms
key=$("$songmill" key create --scope submit --scope read 2>/dev/null)
"$venv/bin/python" tests/api/webhooks.py "$server" "$key" "$world/received.json"
modules=target/webhooks/npm
if ! command -v npm >/dev/null 2>&1; then
    echo "webhooks: the library of npm SKIPPED, there is no npm here"
elif ! npm install --silent --no-audit --no-fund --prefix "$modules" standardwebhooks@1.0.0 >/dev/null 2>&1; then
    echo "webhooks: the library of npm SKIPPED, it cannot be installed here"
else
    node tests/api/webhooks.mjs "$PWD/$modules" "$world/received.json"
fi
