//! The example application on a port, and people who visit it.

use std::net::SocketAddr;
use std::path::Path;

use axum::Router;
use minijinja_cache::{CacheConfig, CacheType};

use crate::app::config::Config;
use crate::app::{self, App};
use crate::http::{Client, Reply, Request};

pub(crate) const TEMPLATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/templates");

/// An application on a free port, for as long as this lives.
pub(crate) struct Server {
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    pub(crate) fn start(database: &Path, templates: &Path, cache: bool) -> Server {
        Server::serve(app::router(open(database, templates, cache)))
    }

    pub(crate) fn serve(router: Router) -> Server {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, router).await });
        Server { address, _runtime: runtime }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Where a visitor goes: here, or to whatever is in front of it.
impl From<&Server> for SocketAddr {
    fn from(server: &Server) -> SocketAddr {
        server.address
    }
}

pub(crate) fn open(database: &Path, templates: &Path, cache: bool) -> App {
    App::open(&config(database, templates, cache)).unwrap()
}

/// As it runs for visitors: pages say nothing of the cache.
pub(crate) fn config(database: &Path, templates: &Path, cache: bool) -> Config {
    let mut settings = CacheConfig::default();
    settings.kind = if cache { CacheType::Memory } else { CacheType::Null };
    let (database, templates) = (database.into(), templates.into());
    Config { port: 0, database, templates, cache: settings, pages: true, debug: false }
}

/// A person with a browser: keeps the cookie, follows redirects by hand.
#[derive(Default, Clone)]
pub(crate) struct Browser {
    pub(crate) cookie: Option<String>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) body: String,
    pub(crate) reply: Reply,
}

impl Browser {
    pub(crate) fn get(&mut self, at: impl Into<SocketAddr>, path: &str) -> Answer {
        self.send(Client::new(at.into()).get(path))
    }

    pub(crate) fn page(&mut self, at: impl Into<SocketAddr>, path: &str) -> String {
        let answer = self.get(at, path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }

    pub(crate) fn post(&mut self, at: impl Into<SocketAddr>, path: &str, form: &[(&str, &str)]) -> Answer {
        self.send(Client::new(at.into()).post(path, form))
    }

    pub(crate) fn send(&mut self, mut request: Request) -> Answer {
        if let Some(cookie) = &self.cookie {
            request = request.header("Cookie", cookie);
        }
        let reply = request.send();
        if let Some(set) = reply.header("set-cookie") {
            let kept = !set.contains("Max-Age=0");
            self.cookie = set.split(';').next().filter(|_| kept).map(str::to_owned);
        }
        let location = reply.header("location").map(str::to_owned);
        Answer { status: reply.status, location, body: reply.text(), reply }
    }

    pub(crate) fn sign_in(&mut self, at: impl Into<SocketAddr>, name: &str) {
        let at = at.into();
        let form = self.page(at, "/login");
        let answer = self.post(at, "/login", &[("csrf", &csrf(&form)), ("name", name)]);
        assert_eq!(answer.location.as_deref(), Some("/watchlist"), "{}", answer.body);
    }

    pub(crate) fn toggle(&mut self, at: impl Into<SocketAddr>, film: u32) {
        let at = at.into();
        let page = self.page(at, &format!("/film/{film}"));
        let answer = self.post(at, &format!("/film/{film}/watch"), &[("csrf", &csrf(&page))]);
        assert_eq!(answer.status, 303, "{}", answer.body);
    }

    /// What the edit form sends when nothing but the title was typed over; the film becomes a drama.
    pub(crate) fn edit_of(
        &mut self,
        at: impl Into<SocketAddr>,
        film: &str,
        title: &str,
    ) -> Vec<(&'static str, String)> {
        let form = self.page(at, &format!("{film}/edit"));
        let version = form.split_once("name=\"version\" value=\"").unwrap().1.split('"').next().unwrap().to_owned();
        vec![
            ("csrf", csrf(&form)),
            ("version", version),
            ("title", title.to_owned()),
            ("genre", "drama".to_owned()),
            ("director", String::new()),
            ("imdb", "9.9".to_owned()),
            ("minutes", String::new()),
        ]
    }

    pub(crate) fn save(&mut self, at: impl Into<SocketAddr>, film: &str, edit: &[(&'static str, String)]) -> Answer {
        let edit: Vec<(&str, &str)> = edit.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.post(at, &format!("{film}/edit"), &edit)
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.reply.header(name).unwrap_or_default()
    }
}

pub(crate) fn csrf(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"csrf\" value=\"").expect("a form of ours");
    rest.split('"').next().unwrap().to_owned()
}

pub(crate) fn title_of(film_page: &str) -> &str {
    film_page.split_once("<h1>").unwrap().1.split_once("</h1>").unwrap().0
}

/// The first film of a list.
pub(crate) fn first_film(list: &str) -> String {
    format!("/film/{}", list.split_once("/film/").unwrap().1.split('"').next().unwrap())
}
