//! Which programs the tests run, and how a container that lacks them gets them.

use std::collections::BTreeMap;
use std::env::{split_paths, var_os};
use std::fs::{self, Permissions};
use std::io::{ErrorKind, Result};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread::sleep;
use std::time::Duration;

/// A program that tests run.
struct Program {
    /// What it can be called. The first is what tests call it.
    names: &'static [&'static str],
    /// What Debian has it in.
    package: &'static str,
    /// Whether the package has a service, called like the package.
    service: bool,
    /// Names another program to be taken instead.
    variable: Option<&'static str>,
}

const PROGRAMS: [Program; 10] = [
    Program { service: true, variable: Some("REDIS_SERVER"), ..plain(&["redis-server", "valkey-server"]) },
    Program { service: true, ..plain(&["memcached"]) },
    // For a certificate to speak TLS with.
    plain(&["openssl"]),
    // For clocks that can be set.
    Program { package: "gcc", ..plain(&["cc"]) },
    Program { service: true, ..plain(&["nginx"]) },
    plain(&["chromium", "chromium-browser", "google-chrome"]),
    Program { service: true, ..plain(&["prometheus"]) },
    Program { package: "prometheus", ..plain(&["promtool"]) },
    plain(&["curl"]),
    plain(&["wrk"]),
];

/// Debian's packages start a service on the usual port as they are installed, unless this says no.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// The answer that no service is to be started.
const DENIED: i32 = 101;
const DENY: &str = "#!/bin/sh\n# No services while a test installs servers.\nexit 101\n";

/// Where servers are and the PATH of an ordinary user may not lead.
const SYSTEM: [&str; 2] = ["/usr/local/sbin", "/usr/sbin"];

/// Makes sure of what the tests of the shared tier run.
#[track_caller]
pub fn ensure() {
    ensure_programs(&["redis-server", "memcached", "openssl"]);
}

/// Makes sure of these programs. Root in a Debian container gets those installed that are missing, anybody else is told
/// what to install.
#[track_caller]
pub fn ensure_programs(names: &[&'static str]) {
    static DONE: Mutex<BTreeMap<Vec<&str>, std::result::Result<(), String>>> = Mutex::new(BTreeMap::new());
    let programs: Vec<&Program> = names.iter().map(|name| known(name)).collect();
    let mut done = DONE.lock().unwrap();
    let outcome = done.entry(names.to_vec()).or_insert_with(|| find_or_install(&programs)).clone();
    // The next caller is to hear what is missing, and not of a poisoned lock.
    drop(done);
    if let Err(message) = outcome {
        panic!("{message}");
    }
}

/// Redis, or Valkey where only that is; `REDIS_SERVER` names another one.
pub fn redis_server() -> PathBuf {
    program("redis-server")
}

/// Where a program is that [`ensure_programs`] made sure of, or else its name.
pub fn program(name: &str) -> PathBuf {
    known(name).find().unwrap_or_else(|| name.into())
}

/// Whether this process may do what root may: the owner of what it creates says so.
pub fn root() -> bool {
    tempfile::tempfile().and_then(|file| file.metadata()).is_ok_and(|it| it.uid() == 0)
}

const fn plain(names: &'static [&'static str]) -> Program {
    Program { names, package: names[0], service: false, variable: None }
}

impl Program {
    fn find(&self) -> Option<PathBuf> {
        match self.variable.and_then(var_os) {
            Some(program) => Some(program.into()),
            None => self.names.iter().find_map(|name| find(name)),
        }
    }
}

#[track_caller]
fn known(name: &str) -> &'static Program {
    PROGRAMS.iter().find(|it| it.names[0] == name).unwrap_or_else(|| panic!("no package is known for {name}"))
}

fn find_or_install(programs: &[&Program]) -> std::result::Result<(), String> {
    let lacking = missing(programs);
    if lacking.is_empty() {
        return Ok(());
    }
    if find("apt-get").is_none() || !root() {
        return Err(advice(&lacking));
    }
    let _alone = lock();
    // Another process may have installed them while this one waited.
    let output = install(&missing(programs)).unwrap_or_else(|error| error.to_string());
    let lacking = missing(programs);
    if lacking.is_empty() { Ok(()) } else { Err(format!("{}\napt-get says:\n{output}", advice(&lacking))) }
}

fn missing<'a>(programs: &[&'a Program]) -> Vec<&'a Program> {
    programs.iter().copied().filter(|program| program.find().is_none()).collect()
}

fn advice(lacking: &[&Program]) -> String {
    let programs: Vec<String> = lacking.iter().map(|program| program.names.join(" or ")).collect();
    let packages: Vec<&str> = lacking.iter().map(|program| program.package).collect();
    format!(
        "the tests run real programs, and some are missing: install {}, on Debian and Ubuntu with `apt-get install {}`",
        programs.join(", "),
        packages.join(" ")
    )
}

fn find(program: &str) -> Option<PathBuf> {
    let path = var_os("PATH")?;
    let dirs = split_paths(&path).chain(SYSTEM.map(PathBuf::from));
    dirs.map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Returns what apt-get had to say.
fn install(programs: &[&Program]) -> Result<String> {
    if programs.is_empty() {
        return Ok(String::new());
    }
    let packages: Vec<&str> = programs.iter().map(|program| program.package).collect();
    let policy = Policy::deny(Path::new(POLICY))?;
    // Without network the lists that are there may do.
    let mut said = apt(&["update"])?;
    let wait = ["-o", "DPkg::Lock::Timeout=300"];
    said += &apt(&[&wait[..], &["install", "-y", "--no-install-recommends"], &packages].concat())?;
    drop(policy);
    for program in programs.iter().filter(|program| program.service && find("systemctl").is_some()) {
        // Nor are they to start with the machine. Without systemd it fails, and there is nothing to disable.
        let _ = quiet("systemctl").args(["disable", program.package]).output();
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

/// Whether the policy there is says no to all of them already.
fn denies(path: &Path) -> bool {
    PROGRAMS.iter().filter(|program| program.service).all(|program| {
        let status = quiet(&path.to_string_lossy()).args([program.package, "start"]).status();
        status.is_ok_and(|status| status.code() == Some(DENIED))
    })
}
