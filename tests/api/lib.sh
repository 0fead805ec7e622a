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

# A Python with what a requirements file names, or no more of this where it cannot be had.
python_with() {
    venv=target/$1
    if ! python3 -m venv --help >/dev/null 2>&1; then
        echo "$1: SKIPPED, there is no python3 with venv here"
        exit 0
    fi
    if [ ! -f "$venv/ready" ] || ! cmp -s "$2" "$venv/ready"; then
        rm -rf "$venv"
        if ! python3 -m venv "$venv" || ! "$venv/bin/pip" install -q -r "$2"; then
            echo "$1: SKIPPED, what $2 names cannot be installed here"
            exit 0
        fi
        cp "$2" "$venv/ready"
    fi
}
