//! What the environment variables say.

use std::ffi::OsString;
use std::path::PathBuf;

pub(crate) struct Config {
    pub(crate) port: u16,
    pub(crate) database: PathBuf,
    pub(crate) templates: PathBuf,
    /// Whether anything is cached; every page is the same without, only slower.
    pub(crate) cache: bool,
}

impl Config {
    /// Reads `PORT`, `CATALOGUE_DB`, `CATALOGUE_TEMPLATES` and `CATALOGUE_CACHE`.
    pub(crate) fn from_env(variable: impl Fn(&str) -> Option<OsString>) -> Result<Config, String> {
        let text = |name: &str| match variable(name).map(OsString::into_string) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(_)) => Err(format!("{name} is not valid UTF-8")),
        };
        let port = match text("PORT")? {
            None => 3000,
            Some(port) => port
                .parse()
                .map_err(|_| format!("PORT is {port:?}, but must be a number from 0 to 65535 (0 for any free port)"))?,
        };
        let cache = match text("CATALOGUE_CACHE")?.as_deref() {
            None | Some("on") => true,
            Some("off") => false,
            Some(other) => return Err(format!("CATALOGUE_CACHE is {other:?}, but must be \"on\" or \"off\"")),
        };
        let path = |name: &str, default: PathBuf| variable(name).map_or(default, PathBuf::from);
        Ok(Config {
            port,
            cache,
            database: path("CATALOGUE_DB", std::env::temp_dir().join("minijinja-cache-catalogue.sqlite")),
            templates: path("CATALOGUE_TEMPLATES", PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/templates"))),
        })
    }
}
