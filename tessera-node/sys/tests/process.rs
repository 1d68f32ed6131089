//! What hardening does to a whole process: each test runs itself again as a child.

use std::process::{Command, Output};

use rustix::process::{DumpableBehavior, Resource, Rlimit, dumpable_behavior, getrlimit, setrlimit};
use tessera_sys::{Arena, ArenaError, MAX_DESCRIPTORS, harden, raise_descriptor_limit};

const ROLE: &str = "TESSERA_SYS_TEST_CHILD";

/// Runs the named test of this binary again with a role, and waits for it.
fn child(test: &str, role: &str) -> Output {
    let this = std::env::current_exe().expect("a running test has a path");
    Command::new(this)
        .args(["--exact", test, "--nocapture"])
        .env(ROLE, role)
        .output()
        .expect("the test binary starts")
}

fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

#[test]
fn a_hardened_process_has_no_core_limit_and_is_not_dumpable() {
    const NAME: &str = "a_hardened_process_has_no_core_limit_and_is_not_dumpable";
    match role().as_deref() {
        Some("hardened") => {
            harden().expect("a process may give up dumps");
            let none = Rlimit { current: Some(0), maximum: Some(0) };
            assert_eq!((getrlimit(Resource::Core), is_dumpable()), (none, false));
            println!("child: hardened");
        }
        // The control: without `harden` the same observation comes out otherwise.
        Some("soft") => {
            assert!(is_dumpable());
            println!("child: dumpable");
        }
        _ => {
            for (role, said) in [("hardened", "child: hardened"), ("soft", "child: dumpable")] {
                let output = child(NAME, role);
                assert!(output.status.success(), "{role}: {output:?}");
                assert!(String::from_utf8_lossy(&output.stdout).contains(said));
            }
        }
    }
}

#[test]
fn the_soft_limit_of_descriptors_is_raised_within_bounds() {
    const NAME: &str = "the_soft_limit_of_descriptors_is_raised_within_bounds";
    let raised = |current, maximum| {
        setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum })
            .expect("within the hard limit");
        raise_descriptor_limit();
        getrlimit(Resource::Nofile).current
    };
    if role().is_none() {
        let output = child(NAME, "limited");
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("child: raised"));
        return;
    }
    let hard = getrlimit(Resource::Nofile).maximum;
    assert_eq!(raised(256, hard), Some(hard.unwrap_or(u64::MAX).min(MAX_DESCRIPTORS)));
    assert_eq!(raised(256, Some(1024)), Some(1024), "to the hard limit");
    assert_eq!(raised(1024, Some(1024)), Some(1024));
    println!("child: raised");
}

#[test]
fn a_refused_lock_names_the_limit() {
    const NAME: &str = "a_refused_lock_names_the_limit";
    if role().is_none() {
        let output = child(NAME, "unlocked");
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("child: refused"));
        return;
    }
    let limit = Rlimit { current: Some(4096), maximum: Some(4096) };
    setrlimit(Resource::Memlock, limit).expect("a process may lower its own limit");
    give_up_root();
    let error = Arena::new(16 * 1024).err().expect("four pages are too many");
    assert!(matches!(error, ArenaError::Lock { .. }), "{error}");
    assert!(error.to_string().contains("4096 bytes"), "{error}");
    println!("child: refused");
}

#[test]
fn locked_memory_is_seen_in_the_limits() {
    let before = locked_bytes();
    let arena = Arena::new(8192).expect("two pages can be locked");
    let during = locked_bytes();
    assert!(during >= before + 8192, "{before} {during}");
    drop(arena);
}

fn is_dumpable() -> bool {
    dumpable_behavior().expect("prctl answers") != DumpableBehavior::NotDumpable
}

/// `VmLck` of this process.
fn locked_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).expect("a line for locked memory");
    let kib = line.trim().strip_suffix(" kB").expect("a unit");
    kib.parse::<u64>().expect("a number") * 1024
}

/// Root ignores `RLIMIT_MEMLOCK`.
fn give_up_root() {
    // SAFETY: changes only the ids of this child, which touches nothing that needs them.
    let code = unsafe { libc::setresuid(65534, 65534, 65534) };
    let already = std::io::Error::last_os_error().kind() == std::io::ErrorKind::PermissionDenied;
    assert!(code == 0 || already, "the child can give up root");
}
