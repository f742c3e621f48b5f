//! A log on stderr, if one is asked for.

use std::env::VarError;
use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// What names what is logged, as `tracing-subscriber` reads it. The first that is set counts.
const VARIABLES: [&str; 2] = ["CATALOGUE_LOG", "RUST_LOG"];

/// Logs what the variables name: nothing, if none is set. Spans are logged as they end, with how long they took.
pub(crate) fn start() -> Result<(), String> {
    for name in VARIABLES {
        let wanted = match std::env::var(name) {
            Ok(wanted) => wanted,
            Err(VarError::NotPresent) => continue,
            Err(VarError::NotUnicode(_)) => return Err(format!("{name} is not valid UTF-8")),
        };
        let filter = EnvFilter::try_new(&wanted).map_err(|error| format!("{name} is {wanted:?}: {error}"))?;
        return tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_span_events(FmtSpan::CLOSE)
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr)
            .try_init()
            .map_err(|error| format!("cannot log: {error}"));
    }
    Ok(())
}
