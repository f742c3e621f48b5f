//! The example application, driven over HTTP as a browser would, and as a process.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, dead_code)]

#[path = "../examples/catalogue/app/mod.rs"]
mod app;
#[allow(unreachable_pub)]
#[path = "servers/http.rs"]
mod http;
#[path = "catalogue/visit.rs"]
mod visit;

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use app::App;
use app::config::Config;
use minijinja_cache::{CacheConfig, CacheType};

use visit::{Answer, Browser, Server, TEMPLATES, csrf, first_film, title_of};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn server() -> (tempfile::TempDir, Server) {
    let folder = folder();
    let server = Server::start(&folder.path().join("films.sqlite"), Path::new(TEMPLATES), true);
    (folder, server)
}

#[test]
fn two_visitors_never_see_each_others_list() {
    let (_folder, server) = server();
    let (mut ada, mut bob) = (Browser::default(), Browser::default());
    ada.sign_in(&server, "Ada");
    bob.sign_in(&server, "Bob <b>");
    ada.toggle(&server, 10);
    bob.toggle(&server, 20);
    let ten = title_of(&ada.page(&server, "/film/10")).to_owned();
    let twenty = title_of(&ada.page(&server, "/film/20")).to_owned();
    for _ in 0..3 {
        let hers = ada.page(&server, "/watchlist");
        assert!(hers.contains(&ten) && !hers.contains(&twenty) && hers.contains("Ada") && !hers.contains("Bob"));
        let his = bob.page(&server, "/watchlist");
        assert!(his.contains(&twenty) && !his.contains(&ten) && his.contains("Bob &lt;b&gt;") && !his.contains("Ada"));
        for path in ["/", "/film/10", "/genre/drama"] {
            let page = bob.page(&server, path);
            assert!(page.contains("Bob") && !page.contains("Ada"), "{path}");
            assert!(!Browser::default().page(&server, path).contains("Signed in"), "{path}");
        }
    }
    ada.toggle(&server, 10);
    assert!(ada.page(&server, "/watchlist").contains("Nothing yet"));
    assert!(bob.page(&server, "/watchlist").contains(&twenty));
}

#[test]
fn an_edit_shows_at_once_wherever_the_film_is_shown() {
    let (_folder, server) = server();
    let mut ada = Browser::default();
    ada.sign_in(&server, "Ada");
    let genre = ada.page(&server, "/genre/drama");
    let film = first_film(&genre);
    let (old, _) = (title_of(&ada.page(&server, &film)).to_owned(), ada.page(&server, "/"));
    assert!(genre.contains(&old));

    let edit = ada.edit_of(&server, &film, "Edited & <new>");
    assert_eq!(ada.save(&server, &film, &edit).status, 303);
    for path in [film.as_str(), "/genre/drama"] {
        let page = ada.page(&server, path);
        assert!(page.contains("Edited &amp; &lt;new&gt;") && !page.contains(&old), "{path}");
    }
    // The same form once more: somebody (she herself) saved in between.
    let again = ada.save(&server, &film, &edit);
    assert!(again.body.contains("Somebody else saved this film meanwhile"));
}

#[test]
fn a_hit_runs_no_query() {
    let folder = folder();
    let config = visit::config(&folder.path().join("films.sqlite"), Path::new(TEMPLATES), true);
    let server = Server::serve(app::router(App::open(&Config { debug: true, ..config }).unwrap()));
    let mut reader = Browser::default();
    let first = reader.get(&server, "/?debug");
    // Totals, best known, decades, directors and genres.
    let sections = |answer: &Answer, outcome: &str| {
        let said = |line| format!("\"label\":\"index.html:{line}\",\"kind\":\"block\",\"outcome\":\"{outcome}\"");
        [4, 17, 26, 39, 51].iter().filter(|line| answer.body.contains(&said(*line))).count()
    };
    let timing = first.reply.headers.all("server-timing").join(", ");
    assert!(timing.contains("sql;desc=\"5 queries") && timing.contains(" miss, 1 bypass\""), "{timing}");
    assert_eq!(sections(&first, "miss"), 5, "{}", first.body);
    let second = reader.get(&server, "/?debug");
    let timing = second.reply.headers.all("server-timing").join(", ");
    assert!(timing.contains("sql;desc=\"0 queries") && timing.contains("cache;desc=\"5 hit, 1 bypass\""), "{timing}");
    assert_eq!(sections(&second, "hit"), 5, "{}", second.body);
    let comments = |side: &str| second.body.matches(side).count();
    assert_eq!((comments("<!-- fragment "), comments("<!-- /fragment ")), (5, 5), "{}", second.body);
    // Nobody keeps it.
    assert_eq!(second.header("cache-control"), "no-store");
}

#[test]
fn a_saved_template_shows_in_the_next_page() {
    let folder = folder();
    let templates = folder.path().join("templates");
    std::fs::create_dir(&templates).unwrap();
    for file in std::fs::read_dir(TEMPLATES).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), templates.join(file.file_name())).unwrap();
    }
    let server = Server::start(&folder.path().join("films.sqlite"), &templates, true);
    let mut reader = Browser::default();
    reader.page(&server, "/genre/drama");
    let card = std::fs::read_to_string(templates.join("_card.html")).unwrap();
    std::fs::write(templates.join("_card.html"), card.replace("class=\"card\"", "class=\"card edited\"")).unwrap();
    let saved = Instant::now();
    while !reader.page(&server, "/genre/drama").contains("card edited") {
        assert!(saved.elapsed() < Duration::from_secs(10), "the saved card never showed");
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("the saved template showed after {:?}", saved.elapsed());
}

#[test]
fn every_page_is_the_same_with_the_cache_off() {
    let folder = folder();
    let database = folder.path().join("films.sqlite");
    let cached = Server::start(&database, Path::new(TEMPLATES), true);
    let plain = Server::start(&database, Path::new(TEMPLATES), false);
    let mut ada = Browser::default();
    ada.sign_in(&cached, "Ada");
    ada.toggle(&cached, 7);
    let pages = [
        "/",
        "/?debug=0",
        "/genre/drama",
        "/genre/drama?page=2",
        "/genre/action",
        "/film/1",
        "/film/7",
        "/film/2000",
        "/watchlist",
        "/film/7/edit",
        "/login",
        "/style.css",
    ];
    for path in pages {
        for mut browser in [ada.clone(), Browser::default()] {
            // Forms for strangers carry a fresh token, so only what asks for none is compared.
            if browser.cookie.is_none() && ["/watchlist", "/film/7/edit", "/login"].contains(&path) {
                continue;
            }
            let expected = browser.page(&plain, path);
            for look in ["miss", "hit"] {
                assert_eq!(browser.page(&cached, path), expected, "{path} on a {look}");
            }
        }
    }
}

#[test]
fn measuring_shows_what_is_worth_caching_and_changes_no_page() {
    let folder = folder();
    let database = folder.path().join("films.sqlite");
    let plain = Server::start(&database, Path::new(TEMPLATES), false);
    // Without a cache: what it would be worth is to be seen, and not what it is left to do.
    let mut cache = CacheConfig::default();
    (cache.kind, cache.measure_potential) = (CacheType::Null, Some(true));
    let config = Config { port: 0, database, templates: TEMPLATES.into(), cache, pages: true, debug: false };
    let app = App::open(&config).unwrap();
    let measured = Server::serve(app::router(app.clone()));
    let mut ada = Browser::default();
    ada.sign_in(&plain, "Ada");
    ada.toggle(&plain, 7);
    let paths = ["/", "/genre/drama", "/genre/drama?page=2", "/genre/action", "/film/1", "/film/7", "/watchlist"];
    for _ in 0..3 {
        for path in paths.into_iter().chain(["/film/7/edit", "/login", "/genre/nothing"]) {
            let (expected, shown) = (ada.get(&plain, path), ada.get(&measured, path));
            assert_eq!((shown.status, shown.body), (expected.status, expected.body), "{path}");
        }
    }
    let all = app.cache.potential();
    let of = |label: &str| {
        let found = all.iter().find(|potential| potential.label == label);
        found.unwrap_or_else(|| panic!("{label} is not among {all:#?}"))
    };
    // Nine pages of two genres; the third genre is the same list with another one marked.
    let genres = of("genre.html:4 include \"_genres.html\"");
    assert_eq!((genres.calls, genres.distinct, genres.repeats), (9, 2, 7), "{genres:?}");
    assert_eq!(genres.suggestion.as_deref(), Some("{% cache [\"_genres.html\", genres, here] %}"));
    // A list of cards for each page of a genre, three times.
    let cards = of("genre.html:13 include \"_cards.html\"");
    assert_eq!((cards.calls, cards.distinct, cards.repeats), (9, 3, 6), "{cards:?}");
    assert_eq!(cards.inputs, ["films"]);
    // Of a film a poster shows five things, and no more of it counts.
    let poster = of("_macros.html:7 macro poster");
    assert_eq!(poster.inputs, ["film.genre", "film.id", "film.title", "film.year"]);
    assert!(poster.calls > 200 && poster.distinct * 3 <= poster.calls, "{poster:?}");
    let stars = of("_macros.html:1 macro stars");
    assert_eq!(stars.inputs, ["rating"]);
    assert!(stars.distinct < 100 && stars.repeats > 200, "as many as there are ratings: {stars:?}");
    assert!(all.iter().all(|potential| potential.conflicts == 0 && potential.unreadable == 0), "{all:#?}");
    for potential in &all {
        println!("{potential}\n    {}", potential.suggestion.as_deref().unwrap_or("(nothing to gain)"));
    }
}

#[test]
fn with_pages_off_fragments_are_cached_and_pages_are_made_each_time() {
    let folder = folder();
    let variables = [
        ("CATALOGUE_PAGES".into(), "off".into()),
        ("CATALOGUE_DEBUG".into(), "off".into()),
        ("CATALOGUE_DB".into(), folder.path().join("films.sqlite").into_os_string()),
    ];
    let app = App::open(&Config::read([], variables).unwrap()).unwrap();
    let server = Server::serve(app::router(app.clone()));
    let mut reader = Browser::default();
    let first = reader.page(&server, "/");
    let (queries, renders) = (app.db.queries(), app.cache.stats().renders);
    assert!(queries > 0 && renders > 0);
    let second = reader.get(&server, "/");
    assert_eq!(second.body, first);
    assert!(second.header("cache-status").contains("fwd=bypass"), "{}", second.header("cache-status"));
    assert_eq!(second.header("cache-control"), "private, no-cache");
    assert_eq!((app.db.queries(), app.cache.stats().renders), (queries, renders));
}

#[test]
fn nonsense_is_answered_in_words() {
    let (_folder, server) = server();
    let mut reader = Browser::default();
    for (path, status, words) in [
        ("/genre/drama?page=abc", 400, "must be a number from 1"),
        ("/genre/drama?page=0", 400, "must be a number from 1"),
        ("/genre/drama?page=-1", 400, "must be a number from 1"),
        ("/genre/drama?page=99999999999", 404, "the last one is"),
        ("/genre/nothing", 404, "no genre"),
        ("/film/abc", 404, "no film"),
        ("/film/99999999", 404, "no film"),
        ("/film/99999999999999999999", 404, "no film"),
        ("/nowhere", 404, "no page at this address"),
    ] {
        let answer = reader.get(&server, path);
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.body.contains(words), "{path}: {}", answer.body);
    }
    let markup = reader.get(&server, "/film/%3Cscript%3E");
    assert!(markup.status == 404 && !markup.body.contains("<script>"));
}

#[test]
fn a_form_that_is_wrong_keeps_what_was_typed() {
    let (_folder, server) = server();
    let mut ada = Browser::default();
    ada.sign_in(&server, "Ada");
    let token = csrf(&ada.page(&server, "/film/3/edit"));
    let typed = [
        ("csrf", token.as_str()),
        ("version", "1"),
        ("title", "  "),
        ("genre", "nothing"),
        ("director", "X \"Y\""),
        ("imdb", "11"),
        ("minutes", "-4"),
    ];
    let answer = ada.post(&server, "/film/3/edit", &typed);
    for words in
        ["needs a title", "no genre", "not a number from 1 to 10", "not a number from 1 to 1000", "X &quot;Y&quot;"]
    {
        assert!(answer.body.contains(words), "{words}: {}", answer.body);
    }
    let empty = Browser::default().page(&server, "/film/3");
    assert!(!title_of(&empty).trim().is_empty());
}

#[test]
fn other_sites_cannot_act_for_a_visitor() {
    let (_folder, server) = server();
    let mut ada = Browser::default();
    ada.sign_in(&server, "Ada");
    for path in ["/film/3/watch", "/film/3/edit", "/logout"] {
        assert_eq!(ada.post(&server, path, &[("csrf", "guessed")]).status, 403, "{path}");
        assert_eq!(Browser::default().post(&server, path, &[("csrf", "")]).status, 403, "{path}");
    }
    assert!(ada.page(&server, "/watchlist").contains("Nothing yet"));
    let planted = Browser { cookie: Some("catalogue=planted".into()) };
    assert_eq!(planted.clone().get(&server, "/watchlist").status, 303);
}

#[test]
fn settings_that_make_no_sense_are_errors_that_name_them() {
    let with = |name: &'static str, value: &'static str| {
        Config::read([], [(OsString::from(name), OsString::from(value))]).err().unwrap_or_default()
    };
    let given = |arguments: &[&str]| Config::read(arguments.iter().map(OsString::from), []).err().unwrap_or_default();
    assert!(given(&["--rediss", "x"]).contains("unknown argument \"--rediss\""));
    assert!(given(&["--redis"]).contains("--redis needs a value"));
    assert!(given(&["--port", "x"]).contains("--port is \"x\""));
    assert!(with("CACHE_TPYE", "redis").contains("CACHE_TPYE"));
    assert!(with("PORT", "http").contains("PORT is \"http\""));
    assert!(with("PORT", "70000").contains("PORT is \"70000\""));
    for name in ["CATALOGUE_CACHE", "CATALOGUE_DEBUG", "CATALOGUE_PAGES"] {
        assert!(with(name, "maybe").contains(&format!("{name} is \"maybe\", but must be \"on\" or \"off\"")));
    }
    let folder = folder();
    let missing = Config {
        port: 0,
        database: folder.path().join("a.sqlite"),
        templates: folder.path().join("none"),
        cache: CacheConfig::default(),
        pages: true,
        debug: false,
    };
    let error = App::open(&missing).err().unwrap().to_string();
    assert!(error.contains("none does not exist"), "{error}");
    std::fs::write(folder.path().join("b.sqlite"), "not a database, just text that is long enough to be read").unwrap();
    let foreign = Config { database: folder.path().join("b.sqlite"), templates: TEMPLATES.into(), ..missing };
    assert!(App::open(&foreign).err().unwrap().to_string().contains("b.sqlite"));
}

/// The example's binary, which `cargo test` builds beside the tests.
fn binary() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    here.parent().unwrap().parent().unwrap().join("examples").join("catalogue")
}

fn start(port: u16, database: &Path) -> Child {
    Command::new(binary())
        .env("PORT", port.to_string())
        .env("CATALOGUE_DB", database)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("cargo test builds the examples")
}

#[test]
fn the_process_prints_its_address_and_ends_cleanly_when_interrupted() {
    let folder = folder();
    let mut child = start(0, &folder.path().join("films.sqlite"));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let address = first.split_once("http://").unwrap().1.split('/').next().unwrap();
    TcpStream::connect(address).unwrap();
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(lines.next().unwrap().unwrap(), "the catalogue is closed");
}

/// Starts the process, has it show a page, ends it, and gives what it said on stderr.
#[cfg(feature = "tracing")]
fn said_about_a_page(log: Option<&str>) -> String {
    let folder = folder();
    let mut command = Command::new(binary());
    command.env("PORT", "0").env("CATALOGUE_DB", folder.path().join("films.sqlite"));
    command.env_remove("RUST_LOG").env_remove("CATALOGUE_LOG");
    command.envs(log.map(|log| ("CATALOGUE_LOG", log)));
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("cargo test builds the examples");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let address: std::net::SocketAddr =
        first.split_once("http://").unwrap().1.split('/').next().unwrap().parse().unwrap();
    Browser::default().page(address, "/film/10");
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[cfg(feature = "tracing")]
#[test]
fn the_process_logs_what_it_is_asked_to_and_nothing_by_itself() {
    assert_eq!(said_about_a_page(None), "");
    let log = said_about_a_page(Some("minijinja_cache=debug"));
    let closed = log.lines().filter(|line| line.contains("fragment{") && line.contains("close time.busy=")).count();
    assert!(closed > 1 && log.contains("/film/{id}") && log.contains("fragment.reason"), "{log}");
}

#[test]
fn a_taken_port_is_reported_in_words() {
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let output = start(port, &folder.path().join("films.sqlite")).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains(&format!("port {port} is already in use; set PORT")), "{words}");
    assert!(!folder.path().join("films.sqlite").exists(), "nothing is begun");
}
