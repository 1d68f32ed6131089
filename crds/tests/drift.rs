//! `crds/generated` is what the types say: no file differs, none is missing, none is extra.

// `.clippy.toml` allows these in `#[test]` functions only, not in what they share.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tessera_crds::generate;

#[test]
fn the_generated_files_are_what_the_types_say() {
    let expected: BTreeMap<String, String> =
        generate::files().unwrap().into_iter().map(|file| (file.name, file.text)).collect();
    let committed = committed();

    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(&committed),
        names(&expected),
        "missing or extra files: run `cargo run -p tessera-crds`"
    );
    for (name, text) in expected {
        assert!(committed[&name] == text, "{name} differs from the types: run `cargo run -p tessera-crds`");
    }
}

#[test]
fn generating_twice_gives_the_same_bytes() {
    assert_eq!(generate::files().unwrap(), generate::files().unwrap());
}

fn committed() -> BTreeMap<String, String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("generated");
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap()))
        .collect()
}
