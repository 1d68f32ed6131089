//! `cargo run -p tessera-crds` writes `crds/generated/*.yaml`, and removes from there what no type stands behind.

use std::io;
use std::path::{Path, PathBuf};
use std::{fs, process::ExitCode};

use tessera_crds::generate::{self, File};

fn main() -> ExitCode {
    match run() {
        Ok(files) => {
            println!("wrote {}", files.join(", "));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cannot write crds/generated: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<Vec<String>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("generated");
    let files = generate::files().map_err(io::Error::other)?;
    fs::create_dir_all(&directory)?;
    for stale in stale(&directory, &files)? {
        fs::remove_file(stale)?;
    }
    for file in &files {
        fs::write(directory.join(&file.name), &file.text)?;
    }
    Ok(files.into_iter().map(|file| file.name).collect())
}

fn stale(directory: &Path, files: &[File]) -> io::Result<Vec<PathBuf>> {
    let mut stale = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !files.iter().any(|file| *file.name == *entry.file_name()) {
            stale.push(entry.path());
        }
    }
    Ok(stale)
}
