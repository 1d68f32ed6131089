//! What the root of the machine does to a pod of the local engine, whose processes are this machine's.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

/// How the command line of a node begins.
pub const NODE: &[u8] = b"/tessera-node";

/// The process of the node in the pod with this UID.
pub fn node_process(pod_uid: &str) -> Result<u32> {
    // The kubelet writes the UID into the names of control groups, with either sign.
    let names = [pod_uid.to_owned(), pod_uid.replace('-', "_")];
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if is_node(&path)
            && fs::read_to_string(path.join("cgroup"))
                .is_ok_and(|groups| names.iter().any(|name| groups.contains(name.as_str())))
        {
            return Ok(pid);
        }
    }
    bail!("no process of a node in pod {pod_uid} is on this machine")
}

fn is_node(process: &Path) -> bool {
    fs::read(process.join("cmdline")).is_ok_and(|line| line.starts_with(NODE))
}

/// Sets the limit of core files of a running process, soft and hard: `0` or `unlimited`.
pub async fn set_core_limit(pid: u32, limit: &str) -> Result<()> {
    let output = tokio::process::Command::new("prlimit")
        .args([format!("--pid={pid}"), format!("--core={limit}:{limit}")])
        .output()
        .await
        .context("starting prlimit (util-linux)")?;
    ensure!(output.status.success(), "prlimit: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
