//! No service is started, what was there before stays, and what is missing comes.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::servers::{Policy, ensure_programs, program};

fn write(path: &Path, script: &str) {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn policy_is_gone_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy-rc.d");
    let policy = Policy::deny(&path).unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains("exit 101"));
    drop(policy);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn policy_of_somebody_else_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy-rc.d");
    write(&path, "#!/bin/sh\nexit 0\n");
    let policy = Policy::deny(&path).unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains("exit 101"));
    drop(policy);
    assert!(fs::read_to_string(&path).unwrap().contains("exit 0"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn policy_that_denies_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy-rc.d");
    write(&path, "#!/bin/sh\n# theirs\nexit 101\n");
    let policy = Policy::deny(&path).unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains("theirs"));
    drop(policy);
    assert!(fs::read_to_string(&path).unwrap().contains("theirs"));
}

#[test]
fn leftover_of_a_killed_process_is_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy-rc.d");
    write(&path, "#!/bin/sh\nexit 0\n");
    std::mem::forget(Policy::deny(&path).unwrap());
    drop(Policy::deny(&path).unwrap());
    assert!(fs::read_to_string(&path).unwrap().contains("exit 0"));
}

#[test]
fn programs_that_are_missing_are_installed() {
    let programs = ["nginx", "chromium"];
    ensure_programs(&programs);
    for name in programs {
        assert!(program(name).is_file(), "{name}");
    }
}

#[test]
#[should_panic(expected = "no package is known for emacs")]
fn program_nobody_knows_a_package_for_is_named() {
    ensure_programs(&["emacs"]);
}
