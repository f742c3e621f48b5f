//! The guide in `docs/src`: every page is listed, every link leads somewhere, and every snippet is checked.
//!
//! Rust blocks are doctests (`src/guide.rs`). A `jinja` block must load, and if a block of `html` follows, that is what
//! it renders, twice. `jinja,error` must fail with the `text` that follows. A block that begins with a comment like
//! `{# card.html #}` is a template of that name for the rest of its page; others are `page.html`. With `UPDATE_DOCS=1`
//! what follows is written instead of compared.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use minijinja::{Environment, Error, Value, context};
use minijinja_cache::{CacheConfig, FragmentCache};

/// Other languages and formats, which nothing here can run.
const FOREIGN: [&str; 7] = ["sh", "python", "django", "ruby", "erb", "twig", "php"];

/// A fenced block: what its fence says, and which lines it holds.
struct Block {
    fence: String,
    lines: std::ops::Range<usize>,
}

struct Page {
    name: String,
    lines: Vec<String>,
    blocks: Vec<Block>,
}

impl Page {
    fn read(path: &Path) -> Page {
        let text = fs::read_to_string(path).unwrap();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut blocks = Vec::new();
        let mut open: Option<(String, usize)> = None;
        for (number, line) in lines.iter().enumerate() {
            let Some(fence) = line.trim_start().strip_prefix("```") else { continue };
            open = match open {
                None => Some((fence.trim().to_owned(), number + 1)),
                Some((fence, start)) => {
                    blocks.push(Block { fence, lines: start..number });
                    None
                }
            };
        }
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(open.is_none(), "{name}: the block `{open:?}` is not closed");
        Page { name, lines, blocks }
    }

    fn text(&self, block: &Block) -> String {
        self.lines[block.lines.clone()].join("\n")
    }

    /// The lines outside of blocks, with their numbers from 1.
    fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let inside =
            |line: usize| self.blocks.iter().any(|block| (block.lines.start - 1..=block.lines.end).contains(&line));
        self.lines.iter().enumerate().filter(move |(at, _)| !inside(*at)).map(|(at, line)| (at + 1, line.as_str()))
    }

    /// Whether a block follows with nothing between but one blank line or a line of prose that ends with a colon.
    fn follows(&self, first: usize, fences: &[&str]) -> bool {
        let (Some(block), Some(next)) = (self.blocks.get(first), self.blocks.get(first + 1)) else { return false };
        fences.contains(&next.fence.as_str()) && next.lines.start - 1 <= block.lines.end + 2
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/src")
}

fn pages() -> Vec<Page> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|it| it == "md"));
    let mut pages: Vec<Page> = files.map(|path| Page::read(&path)).collect();
    pages.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(pages.len() > 15);
    pages
}

/// What templates of the guide are shown with.
fn sample() -> Value {
    context! {
        user => context! { id => 7, name => "Ada", username => "ada", admin => false },
        film => context! { id => 1, title => "Alien", year => 1979, updated => "2026-11-01" },
        films => [context! { id => 1, title => "Alien" }, context! { id => 2, title => "Brazil" }],
        genre => "drama",
        lang => "en",
        page => 1,
        limit => 300,
        negative => -5,
        nothing => (),
    }
}

/// A page's templates, as its blocks add up.
struct Templates<'a> {
    known: Vec<(String, String)>,
    page: &'a str,
}

impl Templates<'_> {
    /// Loads a block; gives the name of its template.
    fn add(&mut self, text: &str) -> String {
        let comment = text.strip_prefix("{#").and_then(|rest| rest.split_once("#}"));
        let named =
            comment.map(|(name, _)| name.trim()).filter(|name| name.ends_with(".html") || name.ends_with(".txt"));
        let name = named.unwrap_or("page.html").to_owned();
        let text = match comment {
            // The name's line is not part of what is shown.
            Some((_, rest)) if named.is_some() => rest.strip_prefix('\n').unwrap_or(rest),
            _ => text,
        };
        self.known.retain(|(known, _)| *known != name);
        self.known.push((name.clone(), text.to_owned()));
        name
    }

    fn environment(&self, cache: &FragmentCache) -> Result<Environment<'static>, Error> {
        let mut env = Environment::new();
        cache.add_to_environment(&mut env);
        for (name, text) in &self.known {
            cache.add_template(&mut env, name, text)?;
        }
        Ok(env)
    }

    /// What a template shows, the second time too.
    fn shown(&self, name: &str) -> Result<String, Error> {
        let cache = FragmentCache::builder().build().unwrap();
        let env = self.environment(&cache)?;
        let first = env.get_template(name)?.render(sample())?;
        let second = env.get_template(name)?.render(sample())?;
        assert_eq!(first, second, "{}: {name} shows something else the second time", self.page);
        let stats = cache.stats();
        let cached = self.known.iter().any(|(_, text)| text.contains("cache"));
        assert!(!cached || stats.hits + stats.bypasses > 0, "{}: {name} was not found: {stats:?}", self.page);
        Ok(first)
    }
}

/// Holds the templates of a page to what follows them; gives what should follow where it does not.
fn check_templates(page: &Page) -> Vec<(std::ops::Range<usize>, String)> {
    let mut templates = Templates { known: Vec::new(), page: &page.name };
    let mut corrections = Vec::new();
    for (at, block) in page.blocks.iter().enumerate() {
        let place = format!("{}:{}", page.name, block.lines.start);
        let actual = match block.fence.as_str() {
            "jinja" => {
                let name = templates.add(&page.text(block));
                if !page.follows(at, &["html"]) {
                    let cache = FragmentCache::builder().build().unwrap();
                    templates.environment(&cache).unwrap_or_else(|error| panic!("{place}: {error}"));
                    continue;
                }
                templates.shown(&name).unwrap_or_else(|error| panic!("{place}: {error}"))
            }
            "jinja,error" => {
                assert!(page.follows(at, &["text"]), "{place}: the error is missing");
                let name = templates.add(&page.text(block));
                let error = templates.shown(&name).expect_err(&place).to_string();
                templates.known.retain(|(known, _)| *known != name);
                error
            }
            _ => continue,
        };
        let next = &page.blocks[at + 1];
        let written = page.text(next);
        if written.trim() != actual.trim() {
            corrections.push((next.lines.clone(), actual.trim().to_owned()));
        }
    }
    corrections
}

#[test]
fn templates_of_the_guide_show_what_stands_below_them() {
    for mut page in pages() {
        let corrections = check_templates(&page);
        if env::var_os("UPDATE_DOCS").is_none() {
            let wrong: Vec<_> =
                corrections.iter().map(|(lines, actual)| format!("line {}: {actual}", lines.start)).collect();
            assert!(wrong.is_empty(), "{}: run this test with UPDATE_DOCS=1\n{}", page.name, wrong.join("\n"));
            continue;
        }
        for (lines, actual) in corrections.into_iter().rev() {
            page.lines.splice(lines, actual.lines().map(str::to_owned));
        }
        fs::write(folder().join(&page.name), page.lines.join("\n") + "\n").unwrap();
    }
}

#[test]
fn every_snippet_of_the_guide_is_checked() {
    let doctests = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guide.rs")).unwrap();
    let mut unchecked = String::new();
    for page in pages() {
        for (at, block) in page.blocks.iter().enumerate() {
            let after =
                |fence: &str| at > 0 && page.blocks[at - 1].fence == fence && page.follows(at - 1, &[&block.fence]);
            let checked = match block.fence.as_str() {
                // `no_run` is compiled at least; it is for what needs a server or never ends.
                "rust" | "rust,no_run" => doctests.contains(&format!("{:?}", page.name)),
                "jinja" | "jinja,error" => true,
                "html" => after("jinja"),
                "text" => after("jinja,error"),
                "toml" => toml::from_str::<CacheConfig>(&page.text(block)).is_ok(),
                // `tests/web/transcripts.rs` writes and holds that page.
                "console" => page.name == "http-transcripts.md",
                other => FOREIGN.contains(&other),
            };
            if !checked {
                writeln!(unchecked, "{}:{}: `{}`", page.name, block.lines.start, block.fence).unwrap();
            }
        }
        assert!(!page.lines.iter().any(|line| line.trim_start().starts_with("~~~")), "{}: fences are ```", page.name);
        // rustdoc takes indented text for code.
        let indented = page.prose().find(|(at, line)| line.starts_with("    ") && page.lines[at - 2].is_empty());
        assert!(indented.is_none(), "{}: {indented:?} is code without a fence", page.name);
    }
    assert!(unchecked.is_empty(), "nobody checks\n{unchecked}");
}

/// The targets of links in a line, outside of code spans.
fn links(line: &str) -> Vec<String> {
    let text: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
    let targets = text.split("](").skip(1);
    targets.map(|rest| rest.split(')').next().unwrap().to_owned()).collect()
}

/// The anchors of a page, as mdBook names them.
fn anchors(page: &Page) -> Vec<String> {
    let headings = page.prose().filter(|(_, line)| line.starts_with('#'));
    headings
        .map(|(_, heading)| {
            let kept =
                heading.trim_start_matches('#').trim().chars().filter(|c| c.is_alphanumeric() || "_- ".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
        })
        .collect()
}

#[test]
fn every_link_of_the_guide_leads_somewhere() {
    let pages = pages();
    let mut dead = String::new();
    for page in &pages {
        for (at, line) in page.prose() {
            for link in links(line).into_iter().filter(|link| !link.starts_with("https://")) {
                let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
                // What is to be downloaded.
                if anchor.is_empty() && !file.is_empty() && folder().join(file).is_file() {
                    continue;
                }
                let target = pages
                    .iter()
                    .find(|other| if file.is_empty() { other.name == page.name } else { other.name == file });
                if !target
                    .is_some_and(|target| anchor.is_empty() || anchors(target).iter().any(|known| known == anchor))
                {
                    writeln!(dead, "{}:{at}: {link}", page.name).unwrap();
                }
            }
        }
    }
    assert!(dead.is_empty(), "dead links\n{dead}");
}

#[test]
fn the_summary_lists_every_page_of_the_guide_once() {
    let pages = pages();
    let summary = pages.iter().find(|page| page.name == "SUMMARY.md").unwrap();
    let mut listed: Vec<String> = summary.prose().flat_map(|(_, line)| links(line)).collect();
    listed.push(summary.name.clone());
    listed.sort();
    let names: Vec<String> = pages.iter().map(|page| page.name.clone()).collect();
    assert_eq!(listed, names);
}
