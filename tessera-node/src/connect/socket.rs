//! The ledger's Unix socket: at its path only once it listens, with its mode; a file that a killed process left is replaced.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// Owner and group. The group is that of the directory: the kubelet gives volumes of a pod with `fsGroup` the set-group-ID bit.
const MODE: u32 = 0o660;

/// The socket cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Something else is there.
    #[error("{} is there and is no socket: remove it, or choose another path with --socket", .0.display())]
    NotASocket(PathBuf),
    /// The operating system refuses.
    #[error("socket {} cannot be bound: its directory must exist and be writable", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The file of a listening socket; it is removed on drop, unless another took its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

/// Listens on `path`.
pub(super) fn bind(path: &Path) -> Result<(UnixListener, SocketFile), BindError> {
    if fs::symlink_metadata(path).is_ok_and(|there| !there.file_type().is_socket()) {
        return Err(BindError::NotASocket(path.to_owned()));
    }
    listen(path).map_err(|source| BindError::Io { path: path.to_owned(), source })
}

/// Under another name until the mode is set: at its path nobody may connect who may not do so later.
fn listen(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let unnamed = path.with_file_name(format!(".{name}.new"));
    remove(&unnamed)?;
    let listener = UnixListener::bind(&unnamed)?;
    fs::set_permissions(&unnamed, Permissions::from_mode(MODE))?;
    let there = fs::symlink_metadata(&unnamed)?;
    fs::rename(&unnamed, path)?;
    tracing::info!(path = %path.display(), mode = format!("{MODE:o}"), group = there.gid(), "socket listens");
    Ok((listener, SocketFile { path: path.to_owned(), identity: identity(&there) }))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|there| identity(&there) == self.identity) {
            // The process ends; a file that stays is replaced at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn a_file_that_a_killed_process_left_is_replaced_and_the_own_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tm.sock");
        let (killed, file) = bind(&path).unwrap();
        drop(killed);
        assert!(UnixStream::connect(&path).is_err(), "nobody listens");

        let (_listener, second) = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
        UnixStream::connect(&path).unwrap();
        drop(file);
        assert!(path.exists(), "another's file was removed");
        drop(second);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn the_group_is_the_directorys() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o2770)).unwrap();
        let (_listener, _file) = bind(&dir.path().join("tm.sock")).unwrap();
        let group = |path: &Path| fs::metadata(path).unwrap().gid();
        assert_eq!(group(&dir.path().join("tm.sock")), group(dir.path()));
    }

    #[tokio::test]
    async fn no_file_that_is_no_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&path), Err(BindError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        assert!(matches!(bind(&dir.path().join("none/tm.sock")), Err(BindError::Io { .. })));
    }
}
