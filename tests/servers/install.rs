//! Which server programs there are, and how a container that lacks them gets them.

use std::env::{split_paths, var_os};
use std::fs::{self, Permissions};
use std::io::{ErrorKind, Result};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::Duration;

/// Debian's packages start a service on the usual port as they are installed, unless this says no.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// The answer that no service is to be started.
const DENIED: i32 = 101;
const DENY: &str = "#!/bin/sh\n# No services while a test installs servers.\nexit 101\n";

/// Makes sure of both servers. Root in a Debian container gets them installed, anybody else is told what to install.
#[track_caller]
pub fn ensure() {
    static DONE: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    if let Err(message) = DONE.get_or_init(find_or_install) {
        panic!("{message}");
    }
}

/// Redis, or Valkey where only that is; `REDIS_SERVER` names another one.
pub fn redis_server() -> PathBuf {
    find_redis().unwrap_or_else(|| "redis-server".into())
}

pub fn memcached() -> PathBuf {
    find("memcached").unwrap_or_else(|| "memcached".into())
}

/// Whether this process may do what root may: the owner of what it creates says so.
pub fn root() -> bool {
    tempfile::tempfile().and_then(|file| file.metadata()).is_ok_and(|it| it.uid() == 0)
}

fn find_or_install() -> std::result::Result<(), String> {
    if missing().is_empty() {
        return Ok(());
    }
    let advice = "the tests of the shared tier run real servers: install redis-server (or valkey), memcached and \
                  openssl, on Debian and Ubuntu with `apt-get install redis-server memcached openssl`";
    if find("apt-get").is_none() || !root() {
        return Err(advice.into());
    }
    let _alone = lock();
    // Another process may have installed them while this one waited.
    let output = install(&missing()).unwrap_or_else(|error| error.to_string());
    if missing().is_empty() { Ok(()) } else { Err(format!("{advice}\napt-get says:\n{output}")) }
}

fn missing() -> Vec<&'static str> {
    let redis = find_redis().is_none().then_some("redis-server");
    let memcached = find("memcached").is_none().then_some("memcached");
    // For a certificate to speak TLS with.
    let openssl = find("openssl").is_none().then_some("openssl");
    redis.into_iter().chain(memcached).chain(openssl).collect()
}

fn find_redis() -> Option<PathBuf> {
    match var_os("REDIS_SERVER") {
        Some(program) => Some(program.into()),
        None => find("redis-server").or_else(|| find("valkey-server")),
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = var_os("PATH")?;
    split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Returns what apt-get had to say.
fn install(packages: &[&str]) -> Result<String> {
    if packages.is_empty() {
        return Ok(String::new());
    }
    let policy = Policy::deny(Path::new(POLICY))?;
    // Without network the lists that are there may do.
    let mut said = apt(&["update"])?;
    let wait = ["-o", "DPkg::Lock::Timeout=300"];
    said += &apt(&[&wait[..], &["install", "-y", "--no-install-recommends"], packages].concat())?;
    drop(policy);
    if find("systemctl").is_some() {
        // Nor are they to start with the machine. Without systemd it fails, and there is nothing to disable.
        let _ = quiet("systemctl").arg("disable").args(packages).output();
    }
    Ok(said)
}

fn apt(args: &[&str]) -> Result<String> {
    let output = quiet("apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive").output()?;
    Ok([output.stdout, output.stderr].iter().map(|it| String::from_utf8_lossy(it)).collect())
}

fn quiet(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}

/// Held by one process at a time and, unlike a file, by none that is gone.
#[cfg(target_os = "linux")]
fn lock() -> std::os::unix::net::UnixListener {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    let name = SocketAddr::from_abstract_name("minijinja-cache test servers").unwrap();
    loop {
        match UnixListener::bind_addr(&name) {
            Ok(lock) => return lock,
            Err(error) if error.kind() == ErrorKind::AddrInUse => sleep(Duration::from_millis(200)),
            Err(error) => panic!("cannot lock the installation of servers: {error}"),
        }
    }
}

/// There is no apt-get to protect.
#[cfg(not(target_os = "linux"))]
fn lock() {}

/// No package starts a service while this lives.
pub struct Policy {
    path: PathBuf,
    /// A denial of somebody else is left alone.
    ours: bool,
}

impl Policy {
    pub fn deny(path: &Path) -> Result<Policy> {
        // A process that was killed leaves its own behind.
        let left = fs::read(path).is_ok_and(|text| text == DENY.as_bytes());
        let policy = Policy { path: path.into(), ours: left || !denies(path) };
        if policy.ours && !left {
            match fs::rename(path, policy.aside()) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::write(path, DENY)?;
            fs::set_permissions(path, Permissions::from_mode(0o755))?;
        }
        Ok(policy)
    }

    /// Where a policy that was there before waits.
    fn aside(&self) -> PathBuf {
        self.path.with_extension("minijinja-cache")
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(&self.path);
            // Mostly there was none.
            let _ = fs::rename(self.aside(), &self.path);
        }
    }
}

/// Whether the policy there is says no to both already.
fn denies(path: &Path) -> bool {
    ["redis-server", "memcached"].iter().all(|service| {
        let status = quiet(&path.to_string_lossy()).args([service, "start"]).status();
        status.is_ok_and(|status| status.code() == Some(DENIED))
    })
}
