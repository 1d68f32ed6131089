//! The committed corpus: every secret is found, and no ordinary manifest gives a hit.

use std::path::Path;

use serde_json::Value;
use tessera_clear_text::{scan, scan_object};

/// Each document of the files in `folder`, with the file's name.
fn documents(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(folder);
    let mut documents = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the corpus is committed") {
        let path = entry.expect("the folder is readable").path();
        let name = path.file_name().expect("it has a name").to_string_lossy().into_owned();
        // A mark in the tokens keeps the scanners of Git hosts from taking them for real.
        let text = std::fs::read_to_string(&path).expect("it is text").replace('¤', "");
        let parts = text.split("\n---\n").filter(|part| part.contains("kind:"));
        documents.extend(parts.map(|part| (name.clone(), part.to_owned())));
    }
    documents
}

fn parse(text: &str) -> Value {
    serde_yaml::from_str(text).expect("it is one document of YAML")
}

#[test]
fn every_secret_is_found() {
    let documents = documents("secrets");
    assert!(documents.len() >= 40, "{} secrets", documents.len());
    let missed = documents.iter().filter(|(_, text)| scan_object(&parse(text)).hits.is_empty());
    let missed: Vec<_> =
        missed.map(|(name, text)| format!("{name}: {}", parse(text)["metadata"]["name"])).collect();
    assert!(missed.is_empty(), "{missed:#?}");
}

/// As objects, and more strictly as text in which each field could be one of a configuration.
#[test]
fn no_ordinary_manifest_gives_a_hit() {
    let documents = documents("ordinary");
    assert!(documents.len() >= 200, "{} manifests", documents.len());
    let mut wrong = Vec::new();
    for (name, text) in &documents {
        let (object, whole) = (scan_object(&parse(text)), scan(text));
        assert!(object.complete && whole.complete, "{name}: not searched whole");
        if !object.hits.is_empty() || !whole.hits.is_empty() {
            wrong.push(format!("{name}: {:?} {:?} in\n{text}", object.hits, whole.hits));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
