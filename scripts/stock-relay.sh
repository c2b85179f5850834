#!/bin/sh
# Builds the stock Rust relay (moq-relay, from its published crates) and prints the path of the program. It takes some
# minutes the first time, nothing afterwards.
#
#   scripts/stock-relay.sh [folder]      default folder: node_modules/.cache/moq-relay
#
# The folder also keeps what the build leaves, so that a build that was broken off goes on. MOQ_RELAY_VERSION asks for
# another version.
set -eu

version="${MOQ_RELAY_VERSION:-0.17.10}"
here="$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)"
folder="${1:-$here/node_modules/.cache/moq-relay}"
program="$folder/bin/moq-relay"

fail() {
  echo "$1" >&2
  exit 1
}

if [ -x "$program" ] && "$program" --version 2>/dev/null | grep -qF "$version"; then
  echo "$program"
  exit 0
fi

command -v cargo >/dev/null 2>&1 ||
  fail "cargo is not installed; the stock moq-relay is a Rust program. https://rustup.rs has it (Rust 1.95 or later)."

mkdir -p "$folder"
folder="$(CDPATH='' cd -- "$folder" && pwd)"
log="$folder/build.log"

# Without the parts that find peers on a LAN or on iroh: nothing here uses them and they double the build.
build() {
  cargo install moq-relay --version "$version" --no-default-features --features noq,websocket \
    --root "$folder" --target-dir "$folder/target" "$@" >>"$log" 2>&1
}

: >"$log"
echo "Building moq-relay $version; its output goes to $log." >&2
# Its lock file may name a crate that a mirror does not have yet.
build --locked || build || {
  tail -n 20 "$log" >&2
  fail "moq-relay $version could not be built: see above whether the crates could not be fetched or the compiler is too old (it needs Rust 1.95)."
}
echo "$folder/bin/moq-relay"
