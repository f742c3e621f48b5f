//! What is compared: the catalogue without caches, and with more and more of them; each started in this process, from
//! the settings its own command line and variables would give it.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use minijinja_cache::Builder;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::app::config::Config;
use crate::app::{self, App};

/// All there are, the shared tier where the features have one.
pub(crate) const SCENARIOS: [&str; 4] = ["off", "fragments", "pages", "shared"];

/// How long the end waits for answers under way.
const PATIENCE: Duration = Duration::from_secs(5);

/// A way to run the catalogue.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What it is, in words.
    pub(crate) title: String,
    /// Variables and arguments of the catalogue that make it so.
    variables: Vec<(&'static str, &'static str)>,
    arguments: Vec<String>,
    tier: Tier,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Tier {
    /// As the settings say.
    Configured,
    #[cfg(feature = "shared")]
    Local,
}

impl Scenario {
    fn new(name: &'static str, title: &str, variables: &[(&'static str, &'static str)]) -> Scenario {
        let variables = variables.to_vec();
        Scenario { name, title: title.to_owned(), variables, arguments: Vec::new(), tier: Tier::Configured }
    }

    fn on_one_node() -> Vec<Scenario> {
        vec![
            Scenario::new("off", "no cache", &[("CATALOGUE_CACHE", "off")]),
            Scenario::new("fragments", "blocks and query results", &[("CATALOGUE_PAGES", "off")]),
            Scenario::new("pages", "and whole responses", &[]),
        ]
    }

    /// With a shared tier in this process, where it is compiled in.
    pub(crate) fn usual() -> Vec<Scenario> {
        #[allow(unused_mut)]
        let mut scenarios = Scenario::on_one_node();
        #[cfg(feature = "shared")]
        scenarios.push(Scenario { tier: Tier::Local, ..Scenario::new("shared", "and a store in this process", &[]) });
        scenarios
    }

    /// With a server behind the cache: `--redis` or `--memcached`, and where.
    pub(crate) fn with_store(option: &str, at: &str) -> Vec<Scenario> {
        let title = format!("and {}", if option == "--redis" { "Redis" } else { "Memcached" });
        let arguments = vec![option.to_owned(), at.to_owned()];
        let mut scenarios = Scenario::on_one_node();
        scenarios.push(Scenario { arguments, ..Scenario::new("shared", &title, &[]) });
        scenarios
    }

    /// How the catalogue itself is started in this way; without the URL, which may hold a password.
    pub(crate) fn settings(&self) -> String {
        let mut settings: Vec<String> = self.variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        settings.extend(self.arguments.first().cloned());
        settings.join(" ")
    }
}

/// A catalogue, and what is asked of it.
pub(crate) struct Site {
    pub(crate) app: App,
    pub(crate) router: Router,
    /// Where its database is, for as long as it lives.
    _folder: tempfile::TempDir,
}

impl Site {
    /// Opens the catalogue with a database of its own.
    pub(crate) fn open(scenario: &Scenario) -> Result<Site, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("cannot make a folder for the database: {error}"))?;
        let mut variables: Vec<(OsString, OsString)> =
            scenario.variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        // As it runs for visitors, in whatever build.
        variables.push(("CATALOGUE_DEBUG".into(), "off".into()));
        variables.push(("CATALOGUE_DB".into(), folder.path().join("films.sqlite").into()));
        let config = Config::read(scenario.arguments.iter().map(OsString::from), variables)?;
        let failed = |error: &dyn std::fmt::Display| format!("the scenario {:?} cannot start: {error}", scenario.name);
        let app = App::open_with(&config, |cache| scenario.tier.behind(cache)).map_err(|error| failed(&error))?;
        Ok(Site { router: app::router(app.clone()), app, _folder: folder })
    }
}

impl Tier {
    fn behind(self, builder: Builder) -> Builder {
        match self {
            Tier::Configured => builder,
            #[cfg(feature = "shared")]
            Tier::Local => builder.shared(minijinja_cache::LocalStore::new()),
        }
    }
}

/// A site on a port, for as long as this lives. Its runtime is its own, as the catalogue's is.
pub(crate) struct Server {
    pub(crate) site: Site,
    pub(crate) address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Server {
    pub(crate) fn start(site: Site) -> Result<Server, String> {
        let failed = |error: std::io::Error| format!("cannot serve the catalogue: {error}");
        let runtime = Runtime::new().map_err(failed)?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let router = site.router.clone();
        runtime.spawn(async move { axum::serve(listener, router).await });
        Ok(Server { site, address, runtime: Some(runtime) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(PATIENCE);
        }
    }
}
