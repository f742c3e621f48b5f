//! One nginx as a caching reverse proxy: what the pages' headers say to a shared cache is judged by a real one.

use std::fs::{read_to_string, write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::process::{self, Process, Recipe};
use super::{install, ports};

pub struct Nginx {
    _process: Process,
    dir: TempDir,
    port: u16,
}

impl Nginx {
    /// Forwards a free loopback port to this server, which need not run yet. It keeps what the server's headers allow,
    /// and `X-Proxy-Cache` says what it did: `MISS`, `HIT`, `EXPIRED`, `STALE`, `UPDATING`, `REVALIDATED`. An expired
    /// page is shown as `STALE` and refreshed in the background, whether or not it says `stale-while-revalidate`;
    /// `proxy_cache_use_stale off;` leaves that to the page.
    ///
    /// `extra` are directives for its `server` block. They take precedence over the same directive here; of
    /// `proxy_set_header` and `add_header` one of `extra` replaces all of those here. A `location` of its own forwards
    /// with `proxy_pass http://origin;`.
    pub fn start(upstream: SocketAddr, extra: &str) -> Nginx {
        install::ensure_programs(&["nginx"]);
        let dir = tempfile::tempdir().unwrap();
        let (process, port) = launch(dir.path(), upstream, extra);
        Nginx { _process: process, dir, port }
    }

    pub fn address(&self) -> SocketAddr {
        ports::loopback(self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it complained of so far.
    pub fn error_log(&self) -> String {
        process::log(self.dir.path())
    }

    /// How many pages it keeps.
    pub fn stored(&self) -> usize {
        files(&self.dir.path().join("pages"))
    }
}

fn launch(dir: &Path, upstream: SocketAddr, extra: &str) -> (Process, u16) {
    let recipe = Recipe {
        dir,
        command: &|port| {
            write(dir.join("nginx.conf"), config(port, upstream, extra)).unwrap();
            let mut command = Command::new(install::program("nginx"));
            // Without a slash at its end the prefix is not a directory to older ones.
            command.arg("-p").arg(dir.join("")).arg("-c").arg(dir.join("nginx.conf"));
            command
        },
        // The file is there when the port is bound.
        answers: &|port, id| {
            let pid = read_to_string(dir.join("nginx.pid")).unwrap_or_default();
            pid.trim() == id.to_string() && TcpStream::connect(ports::loopback(port)).is_ok()
        },
    };
    recipe.start()
}

fn config(port: u16, upstream: SocketAddr, extra: &str) -> String {
    // Otherwise root's workers become somebody who may not enter the directory; anybody else cannot choose.
    let user = if install::root() { "user root;" } else { "" };
    format!(
        "{user}
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path client_temp;
    proxy_temp_path proxy_temp;
    fastcgi_temp_path fastcgi_temp;
    uwsgi_temp_path uwsgi_temp;
    scgi_temp_path scgi_temp;
    proxy_cache_path pages levels=1:2 keys_zone=pages:1m inactive=1h use_temp_path=off;
    proxy_cache pages;
    proxy_cache_revalidate on;
    proxy_cache_use_stale updating error timeout;
    proxy_cache_background_update on;
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    add_header X-Proxy-Cache $upstream_cache_status always;
    upstream origin {{ server {upstream}; }}
    server {{
        listen 127.0.0.1:{port};
        {extra}
        location / {{ proxy_pass http://origin; }}
    }}
}}
"
    )
}

fn files(dir: &Path) -> usize {
    let Ok(entries) = dir.read_dir() else { return 0 };
    let paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.iter().map(|path| if path.is_dir() { files(path) } else { 1 }).sum()
}
