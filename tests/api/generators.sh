#!/bin/sh
# Has the generators that people use make clients of our OpenAPI document, without a warning, and each client submit a
# song. Versions are pinned in generators/, and what is installed is kept for the next time.
set -eu
cd "$(dirname "$0")/../.."
. tests/api/lib.sh
here=$PWD/tests/api/generators
for tool in node npm java go; do
    command -v $tool >/dev/null 2>&1 || skip generators "there is no $tool here (./x generators installs it)"
done
python_with generators "$here/requirements.txt"
npm_with generators "$here/package.json"
begin
KEY=$("$songmill" key create --scope submit --scope read 2>/dev/null)
SERVER=$server
export KEY SERVER
document=$world/openapi.json
"$songmill" openapi >"$document"
work=$world/clients
mkdir "$work"

# Runs a generator; whatever it warns of fails this. The one line that is passed over is said by openapi-generator's
# python of every document, even one with a single string in it.
quietly() {
    said=$1
    shift
    "$@" >"$world/generator.log" 2>&1 && status=0 || status=$?
    if grep -v 'Failed to get the schema name: null' "$world/generator.log" | grep -iE "$said" || [ "$status" != 0 ]; then
        echo "generators: the document is not accepted as it is by: $*"
        tail -n 20 "$world/generator.log"
        exit 1
    fi
}
openapi_generator() {
    quietly '\b(WARN|ERROR)\b' java -XX:TieredStopAtLevel=1 -jar \
        "$("$venv/bin/python" -c 'import openapi_generator_cli as it; print(it.__path__[0])')/openapi-generator.jar" \
        generate -i "$document" -g "$1" -o "$2" --package-name "$3" --additional-properties=withGoMod=false \
        --global-property apis,models,supportingFiles,apiTests=false,modelTests=false,apiDocs=false,modelDocs=false
}

# openapi-python-client formats what it makes by the ruff beside it.
PATH="$venv/bin:$PATH" quietly 'warn|error' openapi-python-client generate --path "$document" \
    --output-path "$work/python/songmill_client" --meta none --fail-on-warning
PYTHONPATH=$work/python "$venv/bin/python" "$here/openapi_python_client.py"

openapi_generator python "$work/generator" songmill_client
PYTHONPATH=$work/generator "$venv/bin/python" "$here/openapi_generator.py"

openapi_generator go "$work/go/songmill" songmill
cp "$here/main.go" "$work/go/"
printf 'module generators\n\ngo 1.19\n' >"$work/go/go.mod"
(cd "$work/go" && GOFLAGS=-mod=mod GOPROXY=off GOCACHE=$cache/go go vet . ./songmill && GOPROXY=off GOCACHE=$cache/go go run .)

mkdir "$work/typescript"
ln -s "$modules/node_modules" "$work/typescript/node_modules"
cp "$here/client.ts" "$here/package.json" "$work/typescript/"
(
    cd "$work/typescript"
    quietly 'warn|error|⚠|✘' node_modules/.bin/openapi-typescript "$document" -o songmill.d.ts
    node_modules/.bin/tsc --strict --target es2022 --module nodenext --lib es2022,dom client.ts
    node client.js
)
