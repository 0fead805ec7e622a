# Songmill's recipes. `./x RECIPE` installs what is missing first.

export CARGO_TERM_COLOR := env("CARGO_TERM_COLOR", "auto")
# Where cargo builds, if need be elsewhere than here.
export CARGO_TARGET_DIR := absolute_path(env("CARGO_TARGET_DIR", "target"))

nextest := if `cargo nextest --version >/dev/null 2>&1 && echo yes || echo no` == "yes" { "yes" } else { "no" }

# Lists the recipes
default:
    @just --list

# Runs everything against a simulator: 24 songs in ./songs
demo *args: build
    @"$CARGO_TARGET_DIR/debug/songmill" demo {{ args }}

# Builds the binary
build:
    cargo build --quiet --bin songmill

# Runs songmill with these arguments
run *args: build
    @"$CARGO_TARGET_DIR/debug/songmill" {{ args }}

# Runs a simulator of the four vendors on port 9090
sim *args: build
    @"$CARGO_TARGET_DIR/debug/songmill" sim {{ args }}

# Runs all tests: of every crate, and whole journeys over real processes and a real Redis
test *args: build
    #!/bin/sh
    set -eu
    export SONGMILL_BIN="$CARGO_TARGET_DIR/debug/songmill"
    if [ {{ nextest }} = yes ]; then
        cargo nextest run --workspace --profile "${NEXTEST_PROFILE:-default}" {{ args }}
    else
        cargo test --workspace --quiet {{ args }}
    fi

# Checks form and lints; warnings are errors
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --quiet -- -D warnings

# Builds the documentation; warnings are errors
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet --document-private-items

# Runs the vendors' official clients from PyPI against the simulator
clients: build
    sh tests/clients/run.sh

# Fuzzes the API by its own OpenAPI document, and checks our notices with the reference libraries of PyPI and npm
api: build
    sh tests/api/fuzz.sh
    sh tests/api/webhooks.sh

# Makes clients of the OpenAPI document by the generators that people use, and has each submit a song
generators: build
    sh tests/api/generators.sh

# Checks licences, sources, bans and advisories of what is built in, as deny.toml says; needs cargo-deny and RustSec's database
deny *args:
    cargo deny check {{ args }}

# Finds the digests of the images that deploy/ names, and writes them to deploy/.env, which compose reads
pin-images:
    #!/bin/sh
    set -eu
    digest() { docker buildx imagetools inspect "$1" --format '{{{{.Manifest.Digest}}'; }
    # The tags, as they stand in compose.yaml: NAME_IMAGE: ${NAME_IMAGE:-repository:tag}
    grep -oE '\$\{[A-Z]+_IMAGE:-[^}]+' deploy/compose.yaml | sed 's/^..//; s/:-/ /' | while read -r name image; do
        echo "$name=$image@$(digest "$image")"
    done >deploy/.env.new
    mv deploy/.env.new deploy/.env
    cat deploy/.env

# Fire: kills, stops and lost replies over two processes of each role, then three books compared: KILLS, SEED
chaos kills="300" seed="1":
    cargo build --quiet --release --bin songmill
    cargo build --quiet --release --package songmill-tests --bin chaos
    SONGMILL_BIN="$CARGO_TARGET_DIR/release/songmill" "$CARGO_TARGET_DIR/release/chaos" {{ kills }} {{ seed }}

# Measures everything beside its limit, a few minutes long; `just bench --quick`, `just bench --json FILE`, `just bench callbacks`
bench *args:
    cargo build --quiet --release --bin songmill
    cargo build --quiet --release --package songmill-bench
    SONGMILL_BIN="$CARGO_TARGET_DIR/release/songmill" "$CARGO_TARGET_DIR/release/songmill-bench" {{ args }}

# Exactly what CI runs
ci: lint test docs clients api generators

# Formats the code
fmt:
    cargo fmt --all
