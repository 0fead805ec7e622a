#!/bin/sh
# Has a fuzzer read our OpenAPI document and try every operation with what fits it and what does not: no 5xx, no
# undocumented status or media type, no body that does not fit its schema. CASES for each operation, 25 by default.
set -eu
cd "$(dirname "$0")/../.."
. tests/api/lib.sh
python_with fuzz tests/api/fuzz.txt
begin --set api.requests_per_minute=0 --set log.level=warn,songmill_api=info
field() { "$venv/bin/python" -c "import json,sys; print(json.load(sys.stdin)['$1'])"; }

# The first key closes the API to whoever has none.
key=$("$songmill" key create --scope admin 2>/dev/null)
spare=$("$songmill" key create --name spare --json | field id)
endpoint=$("$songmill" endpoint add http://127.0.0.1:9/nobody --json | field id)
printf '%s\n' '{"vendor":"replicate","prompt":"one","duration_s":4}' '{"vendor":"replicate","prompt":"two","duration_s":4}' >"$world/fuzz.jsonl"
"$songmill" submit "$world/fuzz.jsonl" --batch fuzz --wait >/dev/null
job=$("$songmill" job list --batch fuzz --limit 1 --json | field id)
notice=$("$songmill" notice test "$endpoint" --json | field id)
cat - tests/api/fuzz.toml >"$world/known.toml" <<END
[parameters]
"path.id" = "$job"
"path.n" = 1
"path.batch" = "fuzz"
"path.endpoint" = "$endpoint"
"path.key" = "$spare"
"path.notice" = "$notice"
"path.vendor" = "replicate"

END
# Streams do not end by themselves; a vendor's rules for a song cannot be said in a schema, so what fits ours may be
# refused.
fuzz() {
    "$venv/bin/st" "$@" run "$server/openapi.json" --header "Authorization: Bearer $key" --max-examples "${CASES:-25}" \
        --seed "${SEED:-1}" --exclude-path-regex 'stream$' --exclude-checks positive_data_acceptance \
        --continue-on-failure --max-failures 20 >"$world/fuzz.log" 2>&1 || {
        sed -n '/= FAILURES/,$p; /= ERRORS/,$p' "$world/fuzz.log"
        exit 1
    }
    sed -n 's/^ *\([0-9]* generated.*\)/fuzz: \1/p' "$world/fuzz.log"
}
fuzz --config-file tests/api/fuzz.toml
fuzz --config-file "$world/known.toml"
if grep -E ' ERROR |panicked' "$world/up.log"; then
    echo "fuzz: the API complained, see above"
    exit 1
fi
