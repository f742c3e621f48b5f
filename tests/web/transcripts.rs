//! What curl shows of the application, as the guide prints it.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use crate::servers::{ensure_programs, program};
use crate::site::Catalogue;
use crate::visit::{Browser, first_film};

const INTRO: &str = "\
# What the pages say over HTTP

Each request was sent to the example application in this order. Of the answers the status line and the
headers that matter to caches are shown. `…` stands for what differs each time; ages and lifetimes are those of requests
that follow each other within a second. This file is written by `UPDATE_DOCS=1 cargo test --all-features --test web
transcripts`.
";

/// In the order in which they are explained.
const SHOWN: [&str; 11] = [
    "content-type",
    "cache-control",
    "vary",
    "etag",
    "last-modified",
    "expires",
    "age",
    "cache-status",
    "location",
    "set-cookie",
    "content-length",
];

/// The application under the address that the guide has for it.
struct Terminal {
    catalogue: Catalogue,
    text: String,
    /// What is secret or differs each time, and how it is printed.
    volatile: Vec<(String, &'static str)>,
}

impl Terminal {
    fn new() -> Terminal {
        ensure_programs(&["curl"]);
        Terminal { catalogue: Catalogue::start(), text: INTRO.to_owned(), volatile: Vec::new() }
    }

    fn section(&mut self, title: &str, words: &str) {
        let _ = write!(self.text, "\n## {title}\n\n{}\n", wrapped(words));
    }

    /// Runs it, and prints it with its answer; the answer's entity tag.
    fn curl(&mut self, args: &[&str], path: &str) -> String {
        let url = format!("http://localhost:3000{path}");
        let output = Command::new(program("curl"))
            .args(["-q", "-sS", "--connect-to", &format!("localhost:3000:{}", self.catalogue.address())])
            .args(args)
            .arg(&url)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let answer = String::from_utf8(output.stdout).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let head: Vec<&str> = head.split("\r\n").collect();
        let command = self.anonymous(&command(args, &url));
        let _ = write!(self.text, "\n```console\n$ {command}\n{}\n", head[0].trim_end());
        for name in SHOWN {
            for (_, value) in head[1..].iter().filter_map(|line| line.split_once(": ")).filter(|(it, _)| *it == name) {
                let value = self.anonymous(&steady(name, value));
                let _ = writeln!(self.text, "{name}: {value}");
            }
        }
        if body.starts_with(['[', '{']) {
            let _ = writeln!(self.text, "\n{}", shortened(body));
        }
        self.text.push_str("```\n");
        let tag = head.iter().find_map(|line| line.strip_prefix("etag: ")).unwrap_or_default();
        if !tag.is_empty() {
            self.volatile.push((tag.to_owned(), "W/\"…\""));
        }
        tag.to_owned()
    }

    fn anonymous(&self, text: &str) -> String {
        self.volatile.iter().fold(text.to_owned(), |text, (secret, shown)| text.replace(secret, shown))
    }
}

/// In lines as long as those of this project's other texts.
fn wrapped(words: &str) -> String {
    let mut lines = vec![String::new()];
    for word in words.split(' ') {
        let last = lines.last_mut().unwrap();
        match last.len() + word.len() {
            _ if last.is_empty() => last.push_str(word),
            length if length < 120 => *last = format!("{last} {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

/// As it is typed; what is long goes to lines of its own.
fn command(args: &[&str], url: &str) -> String {
    let word = |word: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,".contains(&byte);
        if !word.is_empty() && word.bytes().all(plain) { word.to_owned() } else { format!("'{word}'") }
    };
    let mut lines = vec![format!("curl {}", word(args[0]))];
    for arg in args[1..].iter().copied().chain([url]).map(word) {
        let last = lines.last_mut().unwrap();
        if arg.starts_with('-') && last.len() + arg.len() > 60 {
            *last += " \\";
            lines.push(format!("    {arg}"));
        } else {
            let _ = write!(last, " {arg}");
        }
    }
    lines.join("\n")
}

/// A header's value as if no time had passed, without what is different each time.
fn steady(name: &str, value: &str) -> String {
    match name {
        "age" => "0".to_owned(),
        "etag" => "W/\"…\"".to_owned(),
        // Whoever changes a template need not come here.
        "content-length" if value != "0" => "…".to_owned(),
        "cache-status" => match value.split_once("ttl=") {
            // What is left of a whole number of minutes.
            Some((before, left)) => format!("{before}ttl={}", left.parse::<u64>().unwrap() / 60 * 60 + 59),
            None => value.to_owned(),
        },
        _ => value.to_owned(),
    }
}

fn shortened(body: &str) -> String {
    match body.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", &body[..end]),
        None => body.to_owned(),
    }
}

fn public_pages(terminal: &mut Terminal) {
    let genre = "/genre/drama";
    terminal.section(
        "The first request",
        "Nobody has asked for the page before, so the handler makes it, and it is stored. Shared caches may keep it for a \
         minute, and show it for half a minute more while they ask for another one. Browsers keep it too, and ask each time \
         whether it is still the same. `vary` keeps it from visitors who send cookies.",
    );
    let tag = terminal.curl(&["-si"], genre);
    terminal.section(
        "The second request",
        "The same page comes from the cache: it has an age, and the handler is not asked.",
    );
    terminal.curl(&["-si"], genre);
    terminal.section(
        "A browser that has the page",
        "The entity tag of the page it has is still right, so there is nothing to send.",
    );
    terminal.curl(&["-si", "-H", &format!("If-None-Match: {tag}")], genre);
    terminal.section("HEAD", "Answered from the page that a GET stored.");
    terminal.curl(&["-sI"], genre);
    terminal.section(
        "A client that insists",
        "A client cannot have the page made anew, or anybody could keep the server busy. Routes that are to obey say \
         `honor_reload(true)`.",
    );
    terminal.curl(&["-si", "-H", "Cache-Control: no-cache"], genre);
    terminal.section(
        "A cookie the route knows nothing of",
        "The page might depend on it. So the handler is asked, and nothing is stored.",
    );
    terminal.curl(&["-si", "-b", "theme=dark"], genre);
    terminal.section(
        "A style sheet",
        "The same for everybody, whatever cookies come with the request; browsers need not ask for an hour.",
    );
    terminal.curl(&["-si"], "/style.css");
    terminal.section("JSON", "Whatever the layer is laid around is stored, pages or not.");
    terminal.curl(&["-si"], "/api/genres");
    terminal
        .section("A page that is not there", "Not stored: the route declares the lifetime of pages with status 200.");
    terminal.curl(&["-si"], "/genre/nothing");
}

fn own_pages(terminal: &mut Terminal) {
    let mut ada = Browser::default();
    let at = terminal.catalogue.address();
    ada.sign_in(at, "Ada");
    let cookie = ada.cookie.clone().unwrap();
    let session = cookie.split_once('=').unwrap().1;
    terminal.volatile.push((session.to_owned(), "…"));
    let film = first_film(&ada.page(at, "/genre/action"));
    let edit = ada.edit_of(at, &film, "The Edited Film");
    terminal.volatile.push((edit[0].1.clone(), "…"));
    terminal.section(
        "A visitor who is signed in",
        "The route knows this cookie: the visitor has pages of her own. They are stored for her, and no cache in front may \
         keep them for anybody else.",
    );
    let tag = terminal.curl(&["-si", "-b", &cookie], &film);
    terminal.section("Her browser asks again", "Nobody looks up her session, and no query is run.");
    terminal.curl(&["-si", "-b", &cookie, "-H", &format!("If-None-Match: {tag}")], &film);
    terminal.section(
        "An edit",
        "She saves the film under another title. The handler invalidates the tags of what shows it.",
    );
    let fields: Vec<String> = edit.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut args = vec!["-si", "-b", &cookie];
    fields.iter().for_each(|field| args.extend(["--data-urlencode", field]));
    terminal.curl(&args, &format!("{film}/edit"));
    terminal.section(
        "After the edit",
        "Her page is made anew, though her browser has the old one; and so is everybody's list.",
    );
    terminal.curl(&["-si", "-b", &cookie, "-H", &format!("If-None-Match: {tag}")], &film);
    terminal.curl(&["-si"], "/genre/drama");
}

#[test]
fn the_transcripts_in_the_docs_are_what_curl_shows() {
    let mut terminal = Terminal::new();
    public_pages(&mut terminal);
    own_pages(&mut terminal);
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/src/http-transcripts.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &terminal.text).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    let lines = written.lines().zip(terminal.text.lines()).enumerate();
    for (number, (written, shown)) in lines {
        assert_eq!(written, shown, "{} line {}; UPDATE_DOCS=1 rewrites it", file.display(), number + 1);
    }
    assert_eq!(written.lines().count(), terminal.text.lines().count(), "UPDATE_DOCS=1 rewrites {}", file.display());
}
