//! How much memory the process may take: the least limit among the control groups that it is in, else what the machine
//! has.

use std::fs;
use std::path::{Path, PathBuf};

/// Assumed where `/proc` does not even name the machine's memory.
const UNKNOWN_MACHINE: u64 = 512 << 20;

/// Bytes, and where the number comes from.
pub(super) fn find(configured: Option<u64>) -> (u64, &'static str) {
    configured.map_or_else(|| read(Path::new("/")), |bytes| (bytes, "tesseraNode.memoryBytes"))
}

fn read(root: &Path) -> (u64, &'static str) {
    let machine = machine(root);
    match (control_groups(root), machine) {
        // A limit above what the machine has limits nothing.
        (Some(limit), machine) if machine.is_none_or(|bytes| limit <= bytes) => (limit, "control group"),
        (_, Some(bytes)) => (bytes, "memory of the machine"),
        (_, None) => (UNKNOWN_MACHINE, "assumed: neither a control group nor /proc/meminfo tells"),
    }
}

/// The least limit of version 2 (`memory.max`) and of version 1 (`memory.limit_in_bytes`), of our own groups and of all
/// above them. Inside a container our path may not be visible under the mount; the mount itself is our group then.
fn control_groups(root: &Path) -> Option<u64> {
    let membership = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let files = membership.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            list if list.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        Some(limits_of(&root.join(mount), path, file))
    });
    files.flatten().min()
}

fn limits_of(mount: &Path, path: &str, file: &str) -> Option<u64> {
    let group = Path::new(path.trim_start_matches('/'));
    let limit = |group: &Path| -> Option<u64> {
        let file: PathBuf = mount.join(group).join(file);
        // "max" is no number and no limit.
        fs::read_to_string(file).ok()?.trim().parse().ok()
    };
    group.ancestors().filter_map(limit).min()
}

fn machine(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> (u64, &'static str) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        read(root.path())
    }

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemFree: 1 kB\nMemTotal:    8388608 kB\n");

    #[test]
    fn version_2_counts_the_least_of_all_groups_above() {
        let found = files(&[
            MACHINE,
            ("proc/self/cgroup", "0::/kubepods/pod1/node\n"),
            ("sys/fs/cgroup/kubepods/memory.max", "max\n"),
            ("sys/fs/cgroup/kubepods/pod1/memory.max", "134217728\n"),
            ("sys/fs/cgroup/kubepods/pod1/node/memory.max", "268435456\n"),
        ]);
        assert_eq!(found, (128 << 20, "control group"));
    }

    #[test]
    fn a_container_sees_its_group_as_the_mount() {
        let found =
            files(&[MACHINE, ("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "536870912\n")]);
        assert_eq!(found, (512 << 20, "control group"));
        // Version 1, with the host's path in the list and only the group itself mounted.
        let found = files(&[
            MACHINE,
            ("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/kubepods/pod1/node\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "134217728\n"),
        ]);
        assert_eq!(found, (128 << 20, "control group"));
    }

    #[test]
    fn without_a_limit_the_machine_counts() {
        let unlimited = files(&[
            MACHINE,
            ("proc/self/cgroup", "4:memory:/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ]);
        assert_eq!(unlimited, (8 << 30, "memory of the machine"));
        assert_eq!(files(&[MACHINE]), (8 << 30, "memory of the machine"));
        assert_eq!(files(&[]).0, UNKNOWN_MACHINE);
    }
}
