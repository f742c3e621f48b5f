//! What the command line and the environment variables say.

use std::ffi::OsString;
use std::path::PathBuf;

use minijinja_cache::CacheConfig;

/// What `--help` prints.
pub(crate) const USAGE: &str = "\
usage: catalogue [--port N] [--redis URL | --memcached HOST:PORT[,HOST:PORT…]]

  --port N          the port on 127.0.0.1; 3000 unless given, 0 for any free one (or PORT)
  --redis URL       share fragments with other processes through a Redis or Valkey server
  --memcached LIST  the same through Memcached servers

Settings of the cache are read from CACHE_… variables, see examples/cache.toml; CATALOGUE_DB is the database file,
CATALOGUE_TEMPLATES the template folder. CATALOGUE_CACHE=off switches caching off, CATALOGUE_PAGES=off that of whole
responses: fragments are cached then, and pages are made of them for each request. CATALOGUE_DEBUG=on has pages show what
the cache did for them (with the feature debug; in debug builds they do unless it is off), /?debug of one page its
fragments. Built with the feature tracing it logs what CATALOGUE_LOG (or RUST_LOG) names: minijinja_cache=debug, or =trace
for every hit.";

pub(crate) struct Config {
    pub(crate) port: u16,
    pub(crate) database: PathBuf,
    pub(crate) templates: PathBuf,
    pub(crate) cache: CacheConfig,
    /// Whether whole responses are cached, and not only what they are made of.
    pub(crate) pages: bool,
    /// Whether pages show what the cache did for them.
    pub(crate) debug: bool,
}

impl Config {
    /// Reads arguments, `PORT`, `CATALOGUE_DB`, `CATALOGUE_TEMPLATES`, `CATALOGUE_CACHE`, `CATALOGUE_PAGES`,
    /// `CATALOGUE_DEBUG` and `CACHE_…`.
    pub(crate) fn read(
        arguments: impl IntoIterator<Item = OsString>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Config, String> {
        let mut config = Config {
            port: 3000,
            database: std::env::temp_dir().join("minijinja-cache-catalogue.sqlite"),
            templates: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/templates")),
            cache: CacheConfig::default(),
            pages: true,
            debug: cfg!(debug_assertions),
        };
        let mut settings = Vec::new();
        for (name, value) in variables {
            let Some(name) = name.to_str() else { continue };
            match name {
                "CATALOGUE_DB" => config.database = value.into(),
                "CATALOGUE_TEMPLATES" => config.templates = value.into(),
                "PORT" => config.port = port(name, &text(name, value)?)?,
                "CATALOGUE_CACHE" if !switch(name, value.clone())? => {
                    settings.push(("CACHE_TYPE".to_owned(), "null".to_owned()));
                }
                "CATALOGUE_PAGES" => config.pages = switch(name, value)?,
                "CATALOGUE_DEBUG" => config.debug = switch(name, value)?,
                name if name.starts_with("CACHE_") => settings.push((name.to_owned(), text(name, value)?)),
                _ => {}
            }
        }
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let name = text("an argument", argument)?;
            let mut value = || match arguments.next() {
                Some(value) => text(&name, value),
                None => Err(format!("{name} needs a value\n\n{USAGE}")),
            };
            match name.as_str() {
                "--port" => config.port = port("--port", &value()?)?,
                "--redis" => settings.extend(store("redis", "CACHE_REDIS_URL", value()?)),
                "--memcached" => settings.extend(store("memcached", "CACHE_MEMCACHED_SERVERS", value()?)),
                other => return Err(format!("unknown argument {other:?}\n\n{USAGE}")),
            }
        }
        config.cache = CacheConfig::from_variables("CACHE_", settings).map_err(|error| error.to_string())?;
        Ok(config)
    }
}

fn store(kind: &str, setting: &str, value: String) -> [(String, String); 2] {
    [("CACHE_TYPE".to_owned(), kind.to_owned()), (setting.to_owned(), value)]
}

fn switch(name: &str, value: OsString) -> Result<bool, String> {
    match text(name, value)?.as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        other => Err(format!("{name} is {other:?}, but must be \"on\" or \"off\"")),
    }
}

fn text(name: &str, value: OsString) -> Result<String, String> {
    value.into_string().map_err(|_| format!("{name} is not valid UTF-8"))
}

fn port(name: &str, value: &str) -> Result<u16, String> {
    value
        .parse()
        .map_err(|_| format!("{name} is {value:?}, but must be a number from 0 to 65535 (0 for any free port)"))
}
