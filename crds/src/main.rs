//! `cargo run -p tessera-crds` writes `crds/generated/*.yaml`.

fn main() {}
