//! Looking for a secret's bytes in everything that a machine keeps: raw, in hex, and in base64 at each alignment.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use aho_corasick::AhoCorasick;
use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// One form of one secret.
struct Form {
    secret: String,
    label: &'static str,
    bytes: Vec<u8>,
}

/// A set of secrets to look for at once.
pub struct Search {
    forms: Vec<Form>,
    automaton: AhoCorasick,
    unread: Mutex<Vec<PathBuf>>,
}

/// How the command line of a node begins.
const NODE: &[u8] = b"/tessera-node";
/// `ESRCH`: what the files of an ended process answer.
const NO_SUCH_PROCESS: i32 = 3;

/// Where a secret was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The name that the secret was given.
    pub secret: String,
    /// Raw, hex or base64.
    pub form: &'static str,
    /// The file.
    pub file: PathBuf,
}

impl Search {
    /// Prepares a search for named secrets.
    pub fn new(secrets: &[(String, Vec<u8>)]) -> Result<Self> {
        let forms: Vec<Form> = secrets.iter().flat_map(|(name, bytes)| forms_of(name, bytes)).collect();
        let automaton = AhoCorasick::new(forms.iter().map(|f| &f.bytes))?;
        Ok(Self { forms, automaton, unread: Mutex::default() })
    }

    /// All regular files below `root`, whatever their owner, without following links. Files that vanish are passed over.
    pub fn tree(&self, root: &Path, skip: &dyn Fn(&Path) -> bool) -> Result<(Vec<Hit>, usize)> {
        let (mut hits, mut read) = (Vec::new(), 0);
        let mut pending = vec![root.to_owned()];
        while let Some(directory) = pending.pop() {
            let Ok(entries) = fs::read_dir(&directory) else { continue };
            for entry in entries {
                let entry = entry.with_context(|| format!("listing {}", directory.display()))?;
                let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
                if skip(&path) {
                    continue;
                }
                if kind.is_dir() {
                    pending.push(path);
                } else if kind.is_file() {
                    read += usize::from(self.file(&path, &mut hits, true));
                }
            }
        }
        Ok((hits, read))
    }

    /// The files that are there and could not be read.
    pub fn unread(&self) -> Vec<PathBuf> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The environment and command line of every process. Those of the nodes must be readable; what else runs on the
    /// machine may belong to another owner.
    pub fn processes(&self) -> Result<(Vec<Hit>, usize)> {
        let (mut hits, mut read, mut nodes) = (Vec::new(), 0, 0);
        for entry in fs::read_dir("/proc")? {
            let path = entry?.path();
            let numeric = path
                .file_name()
                .and_then(|n| n.to_str())
                .is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
            if numeric {
                let is_node = fs::read(path.join("cmdline")).is_ok_and(|line| line.starts_with(NODE));
                nodes += usize::from(is_node);
                for file in ["environ", "cmdline"] {
                    read += usize::from(self.file(&path.join(file), &mut hits, is_node));
                }
            }
        }
        ensure!(nodes > 0, "no process of a node is on this machine");
        Ok((hits, read))
    }

    /// Whether the file could be read. One that `must` be is noted when it cannot.
    fn file(&self, path: &Path, hits: &mut Vec<Hit>, must: bool) -> bool {
        let content = match fs::read(path) {
            Ok(content) => content,
            Err(error) => {
                // What went away meanwhile holds nothing; what cannot be read could hold anything.
                let gone =
                    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(NO_SUCH_PROCESS);
                if must && !gone {
                    self.unread.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
                }
                return false;
            }
        };
        let mut found: Vec<usize> =
            self.automaton.find_overlapping_iter(&content).map(|m| m.pattern().as_usize()).collect();
        found.sort_unstable();
        found.dedup();
        hits.extend(found.into_iter().map(|i| {
            let form = &self.forms[i];
            Hit { secret: form.secret.clone(), form: form.label, file: path.to_owned() }
        }));
        true
    }
}

fn forms_of(name: &str, bytes: &[u8]) -> Vec<Form> {
    let form = |label, bytes| Form { secret: name.to_owned(), label, bytes };
    let mut forms = vec![
        form("raw", bytes.to_vec()),
        form("hex", hex::encode(bytes).into_bytes()),
        form("HEX", hex::encode_upper(bytes).into_bytes()),
    ];
    for (shift, label) in [(0, "base64"), (1, "base64 shifted by 1"), (2, "base64 shifted by 2")] {
        // Characters that mix in neighbouring bytes differ from place to place: only those in between are the secret's own.
        let mut padded = vec![0_u8; shift];
        padded.extend_from_slice(bytes);
        let encoded = STANDARD.encode(&padded);
        let first = (shift * 8).div_ceil(6);
        let last = padded.len() * 8 / 6;
        forms.push(form(label, encoded.as_bytes()[first..last].to_vec()));
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_each_form_at_each_alignment() {
        let secret: Vec<u8> = (1..=32).map(|i: u8| i.wrapping_mul(37)).collect();
        let search = Search::new(&[("s".to_owned(), secret.clone())]).unwrap();
        for before in 0..6 {
            let mut text = vec![b'x'; before];
            text.extend_from_slice(&secret);
            text.push(b'y');
            let directory = tempfile::tempdir().unwrap();
            fs::write(directory.path().join("raw"), &text).unwrap();
            fs::write(directory.path().join("base64"), STANDARD.encode(&text)).unwrap();
            fs::write(directory.path().join("hex"), hex::encode(&text)).unwrap();
            let (hits, read) = search.tree(directory.path(), &|_| false).unwrap();
            let mut files: Vec<_> = hits.iter().map(|h| h.file.file_name().unwrap().to_owned()).collect();
            files.sort();
            files.dedup();
            assert_eq!((files.len(), read), (3, 3), "{before}: {hits:?}");
        }
    }
}
