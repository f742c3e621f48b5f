//! A real browser without a window: what its cache makes of the headers, and its scripts of the pages.
//!
//! Here is the process; `tab` owns what a test does with a page, `devtools` the connection, `observed` what the browser
//! told about it.

mod devtools;
mod observed;
mod tab;

use std::fs::{read_to_string, remove_dir_all};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use observed::Seen;
pub use tab::Tab;

use super::process::{self, Process, Recipe};
use super::{install, ports};

/// Nothing that would ask, update, report or keep what it may not.
const FLAGS: [&str; 16] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--remote-debugging-port=0",
    "--window-size=1280,900",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--metrics-recording-only",
    "--password-store=basic",
    // Only this machine: a page that names another host must not depend on the network.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost , EXCLUDE 127.0.0.1",
];

/// How long helpers that were killed may take until they write no more.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// One browser with a profile of its own: its tabs share cookies and the cache.
pub struct Chromium {
    _process: Process,
    profile: Profile,
    port: u16,
}

impl Chromium {
    pub fn start() -> Chromium {
        install::ensure_programs(&["chromium"]);
        let profile = Profile(tempfile::tempdir().unwrap());
        let process = launch(profile.path());
        let port = port(profile.path()).unwrap();
        Chromium { _process: process, profile, port }
    }

    /// Opens an empty tab.
    pub fn tab(&self) -> Tab {
        Tab::new(self.address())
    }

    pub fn log(&self) -> String {
        process::log(self.profile.path())
    }

    /// The directory of all it writes.
    pub fn profile(&self) -> &Path {
        self.profile.path()
    }

    fn address(&self) -> SocketAddr {
        ports::loopback(self.port)
    }
}

fn launch(dir: &Path) -> Process {
    let recipe = Recipe {
        dir,
        // It takes a port by itself and says which: another one's would not stop it from running.
        command: &|_| {
            let mut command = Command::new(install::program("chromium"));
            command.args(FLAGS).arg(format!("--user-data-dir={}", dir.display())).arg("about:blank");
            // Small in containers.
            command.arg("--disable-dev-shm-usage");
            for variable in ["HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"] {
                command.env(variable, dir);
            }
            command
        },
        answers: &|_, _| port(dir).is_some_and(|port| TcpStream::connect(ports::loopback(port)).is_ok()),
    };
    recipe.start().0
}

/// Where the browser says that it listens.
fn port(dir: &Path) -> Option<u16> {
    let text = read_to_string(dir.join("DevToolsActivePort")).ok()?;
    // The second line is written last.
    text.lines().nth(1)?;
    text.lines().next()?.parse().ok()
}

/// Holds what the browser writes.
struct Profile(TempDir);

impl Profile {
    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        let deadline = Instant::now() + LAST_WORDS;
        while let Err(error) = remove_dir_all(self.path()) {
            if error.kind() == ErrorKind::NotFound || Instant::now() > deadline {
                return;
            }
            sleep(Duration::from_millis(10));
        }
    }
}
