//! A film catalogue: axum, MiniJinja, SQLite, and cache blocks in the templates.
//!
//! `cargo run --release --features axum,http --example catalogue`, then open the address it prints. `app/mod.rs` is
//! where the parts meet. With the feature `metrics` there is `/metrics` for Prometheus, with `tracing` a log that
//! `CATALOGUE_LOG=minijinja_cache=debug` switches on, and with `dashboard` `/cache` shows how the cache is doing.

mod app;
#[cfg(feature = "tracing")]
mod log;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use app::App;
use app::config::{Config, USAGE};
use tokio::net::TcpListener;

/// How long the end waits for answers under way.
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("catalogue: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("{USAGE}");
        return Ok(());
    }
    #[cfg(feature = "tracing")]
    log::start()?;
    let config = Config::read(arguments, std::env::vars_os())?;
    let listener = listen(config.port).await?;
    let app = App::open(&config).map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| format!("cannot tell the address: {error}"))?;
    // Asked for before anybody is told the address: from then on Ctrl-C ends it in order.
    let mut interrupt = Box::pin(interrupted());
    tokio::select! {
        biased;
        () = &mut interrupt => return Ok(()),
        () = std::future::ready(()) => {}
    }
    println!("the catalogue is at http://{address}/ (database {}, Ctrl-C ends it)", config.database.display());
    let cache = app.cache.clone();
    let server = axum::serve(listener, app::router(app)).with_graceful_shutdown(interrupt);
    tokio::select! {
        ended = server => ended.map_err(|error| format!("the server stopped: {error}"))?,
        () = overdue() => println!("somebody was still waiting for an answer"),
    }
    // What was invalidated last is told to the other processes before this one ends.
    tokio::task::block_in_place(|| cache.flush(PATIENCE));
    println!("the catalogue is closed");
    Ok(())
}

async fn listen(port: u16) -> Result<TcpListener, String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => format!("port {port} is already in use; set PORT to another one (0 for any free one)"),
        ErrorKind::PermissionDenied => format!("port {port} needs privileges; set PORT to one above 1023"),
        _ => format!("cannot listen on {address}: {error}"),
    })
}

/// Open requests are answered before the end, but none may put it off for ever.
async fn overdue() {
    interrupted().await;
    tokio::time::sleep(PATIENCE).await;
}

async fn interrupted() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        eprintln!("catalogue: cannot listen for Ctrl-C ({error}); end the process to stop");
        std::future::pending::<()>().await;
    }
}
