# For the scripts beside this one: a simulator and `songmill up` in a folder of their own, ended with them.
begin() {
    songmill="${SONGMILL_BIN:-${CARGO_TARGET_DIR:-$PWD/target}/debug/songmill}"
    world=$(mktemp -d)
    trap 'end' EXIT
    "$songmill" sim --port 0 --write-config "$world/songmill.toml" >"$world/sim.out" 2>"$world/sim.log" &
    sim=$!
    wait_for "$world/sim.out" http "the simulator"
    export SONGMILL_CONFIG="$world/songmill.toml" SONGMILL_DATA_DIR="$world/data"
    "$songmill" up --set "deliver.storage=\"$world/songs\"" --set listener.listen=127.0.0.1:0 --set api.listen=127.0.0.1:0 \
        "$@" 2>"$world/up.log" &
    up=$!
    wait_for "$world/up.log" "api: serves" "songmill up"
    server=$(sed -n 's/.*api: serves \(http:[^ ]*\).*/\1/p' "$world/up.log")
}

wait_for() {
    tries=0
    until grep -q "$2" "$1" 2>/dev/null; do
        tries=$((tries + 1))
        if [ "$tries" -gt 200 ]; then
            echo "$3 does not start:"
            cat "$1"
            exit 1
        fi
        sleep 0.1
    done
}

end() {
    status=$?
    kill "$up" "$sim" 2>/dev/null || true
    wait "$up" 2>/dev/null || true
    if [ "$status" != 0 ]; then grep -E 'ERROR|WARN' "$world/up.log" | tail -20 || true; fi
    rm -rf "$world"
}

# What is installed for these scripts, kept from one run to the next.
cache="${XDG_CACHE_HOME:-$HOME/.cache}/songmill"

# No more of this where something cannot be had; but in CI it must be there.
skip() {
    echo "$1: SKIPPED, $2"
    [ "${CI:-}" != true ] || exit 1
    exit 0
}

# A Python with what a requirements file names.
python_with() {
    venv=$cache/$1
    python3 -m venv --help >/dev/null 2>&1 || skip "$1" "there is no python3 with venv here"
    if [ ! -f "$venv/ready" ] || ! cmp -s "$2" "$venv/ready"; then
        rm -rf "$venv"
        mkdir -p "$cache"
        if ! python3 -m venv "$venv" || ! "$venv/bin/pip" install -q -r "$2"; then
            skip "$1" "what $2 names cannot be installed here"
        fi
        cp "$2" "$venv/ready"
    fi
}

# A folder with the modules that a package.json names.
npm_with() {
    modules=$cache/$1-npm
    if [ ! -f "$modules/ready" ] || ! cmp -s "$2" "$modules/ready"; then
        rm -rf "$modules"
        mkdir -p "$modules"
        cp "$2" "$modules/package.json"
        npm install --silent --no-audit --no-fund --prefix "$modules" >&2 ||
            skip "$1" "what $2 names cannot be installed here"
        cp "$2" "$modules/ready"
    fi
}
