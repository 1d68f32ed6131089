# shellcheck shell=bash
# The Rust side of the scripts: the toolchain they expect, tools from crates.io, where builds go.

# The minor version that Cargo.toml pins: one place, read here.
RUST_VERSION=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$ROOT/Cargo.toml")

# Outside the repository, so that a fresh clone builds on what the last one built.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}

require_rust() {
  need cargo "install it with rustup (https://rustup.rs)"
  rustc --version | grep -q "^rustc $RUST_VERSION\." ||
    die "this tree is built and tested with Rust $RUST_VERSION, here is $(rustc --version): rustup toolchain install $RUST_VERSION"
}

# static_release COMMAND…: cargo's COMMAND for the static release binaries that the images hold.
#
# Two things make these flags: `--target`, even for this very machine, keeps them off build scripts and macros, which
# cannot be static; and no path of this machine stays in a binary. Our own crates need no mapping, since cargo hands their
# sources over relative to the workspace; so a clone elsewhere uses the same dependencies.
static_release() {
  local command=$1 target mappings
  shift
  target=$(rustc -vV | sed -n 's/^host: //p')
  # The day of the source, not of the build: the same commit gives the same bytes. No day without a Git checkout.
  TESSERA_BUILT_ON=$(TZ=UTC git -C "$ROOT" log -1 --date=format-local:%Y-%m-%d --format=%cd 2>/dev/null || true)
  export TESSERA_BUILT_ON
  mappings=("${CARGO_HOME:-$HOME/.cargo}=/cargo" "$CARGO_TARGET_DIR=/target")
  # No linter's wrapper around the compiler of what is shipped.
  RUSTC_WORKSPACE_WRAPPER='' RUSTFLAGS="-C target-feature=+crt-static$(printf ' --remap-path-prefix=%s' "${mappings[@]}")" \
    CFLAGS="$(printf ' -ffile-prefix-map=%s' "${mappings[@]}")" SOURCE_DATE_EPOCH=0 CARGO_INCREMENTAL=0 \
    nice cargo "$command" --manifest-path "$ROOT/Cargo.toml" --locked --target "$target" "$@"
}

# cargo_tool NAME VERSION: the path of a tool from crates.io, built once and kept beside the other builds.
cargo_tool() {
  local root=$CACHE/cargo-tools/$1-$2
  [[ -x $root/bin/$1 ]] ||
    long_step "building $1 $2: once, about 5 minutes" "$CACHE/log/$1.log" \
      cargo install --locked --root "$root" --target-dir "$CACHE/cargo-tools/target" "$1" --version "$2"
  printf '%s/bin/%s\n' "$root" "$1"
}
