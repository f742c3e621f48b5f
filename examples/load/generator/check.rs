//! What is wrong with a page for the visitor who asked for it: whose it is, whether it is whole, whether it is the one he
//! asked for, and whether it shows what was confirmed before he asked.
//!
//! One pass for each thing looked for, since the server shares the machine.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use memchr::memmem::{find, find_iter};
use serde::Serialize;

use super::client::Answer;
use super::contents::{Contents, Page};
use super::visitors::{DIGITS, Edits, NAME, Session, Visitor};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum What {
    /// No answer, or not the page that was asked for.
    Error,
    /// Something of another visitor's.
    Leak,
    /// From before a change that was confirmed.
    Stale,
}

/// What is wrong, and with which words the page says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) what: What,
    pub(crate) seen: String,
}

impl Wrong {
    pub(crate) fn error(seen: impl Into<String>) -> Wrong {
        Wrong { what: What::Error, seen: seen.into() }
    }

    fn leak(seen: impl Into<String>) -> Wrong {
        Wrong { what: What::Leak, seen: seen.into() }
    }

    pub(crate) fn stale(seen: impl Into<String>) -> Wrong {
        Wrong { what: What::Stale, seen: seen.into() }
    }
}

pub(crate) type Checked = Result<(), Wrong>;

/// What is confirmed when a visitor asks, and with whose session he does.
#[derive(Debug)]
pub(crate) struct Before {
    pub(crate) session: Option<Arc<Session>>,
    /// Whether that session is over already.
    over: bool,
    list: usize,
    edits: u64,
}

impl Before {
    pub(crate) fn of(visitor: &Visitor, session: Option<Arc<Session>>, edits: &Edits) -> Before {
        let over = session.as_ref().is_some_and(|session| session.ended.load(Ordering::Acquire));
        Before { session, over, list: visitor.confirmed(), edits: edits.now() }
    }

    /// Whether the page must be his, or nobody's; nothing while he is signing out.
    fn his(&self) -> Option<bool> {
        match &self.session {
            None => Some(false),
            Some(_) if self.over => Some(false),
            Some(session) if session.ending.load(Ordering::Acquire) => None,
            Some(_) => Some(true),
        }
    }
}

/// An answer, and all that is known of who asked for it.
pub(crate) struct Seen<'a> {
    pub(crate) answer: &'a Answer,
    pub(crate) visitor: &'a Visitor,
    pub(crate) before: &'a Before,
    pub(crate) contents: &'a Contents,
    pub(crate) edits: &'a Edits,
}

impl Seen<'_> {
    /// Checks a page.
    pub(crate) fn page(&self, page: &Page) -> Checked {
        let named = self.person()?;
        let his = match (self.before.his(), page) {
            // Elsewhere the page says whose it is.
            (None, Page::Watchlist) => self.answer.status == 200,
            (None, _) => named,
            (Some(his), _) => his,
        };
        if *page == Page::Watchlist && !his {
            return self.sent_to("/login");
        }
        self.whole()?;
        if his && !named && !matches!(page, Page::Other(_)) {
            return Err(Wrong::error("nobody's name, where his should be"));
        }
        match page {
            Page::Front => self.holds("class=\"hero\"")?,
            Page::Genre(slug, number) => {
                self.holds(&format!("href=\"/genre/{slug}\" aria-current=\"page\""))?;
                self.holds(&format!("<span>Page {number} of "))?;
            }
            Page::Film(id) => self.film(*id, his)?,
            Page::Watchlist => self.watchlist()?,
            Page::Other(_) => {}
        }
        self.linked_titles()
    }

    /// That it shows nobody else's name and form; whether it shows his.
    pub(crate) fn person(&self) -> Result<bool, Wrong> {
        let body = &self.answer.body;
        let (name, his) = (self.visitor.name(), self.before.his());
        let mut named = false;
        for at in find_iter(body, NAME) {
            let end = (at + NAME.len() + DIGITS).min(body.len());
            let shown = &body[at..end];
            if shown != name.as_bytes() {
                return Err(Wrong::leak(format!("the name {}", text(shown))));
            }
            match &self.before.session {
                None => return Err(Wrong::leak(format!("the name {name}, to somebody who is not signed in"))),
                Some(_) if his == Some(false) => return Err(Wrong::stale(format!("{name}, who has signed out"))),
                Some(_) => named = true,
            }
        }
        let csrf = self.before.session.as_ref().map(|session| session.csrf.as_str());
        for value in values(body, "name=\"csrf\" value=\"") {
            if csrf.is_none_or(|csrf| csrf.as_bytes() != value) {
                return Err(Wrong::leak("a form that was made for another session"));
            }
        }
        Ok(named)
    }

    /// That it is a page, to its end.
    pub(crate) fn whole(&self) -> Checked {
        let answer = self.answer;
        if answer.status != 200 {
            return Err(Wrong::error(format!("status {}: {}", answer.status, excerpt(&answer.body))));
        }
        if answer.header("content-type").starts_with("text/html") && !answer.body.trim_ascii_end().ends_with(b"</html>")
        {
            let end = &answer.body[answer.body.len().saturating_sub(60)..];
            return Err(Wrong::error(format!("a page of {} bytes that ends with {:?}", answer.body.len(), text(end))));
        }
        Ok(())
    }

    /// That it leads to an address.
    pub(crate) fn sent_to(&self, path: &str) -> Checked {
        match (self.answer.status, self.answer.header("location")) {
            (303, to) if to == path => Ok(()),
            (status, to) => {
                let body = excerpt(&self.answer.body);
                Err(Wrong::error(format!("status {status} to {to:?} instead of 303 to {path:?}: {body}")))
            }
        }
    }

    pub(crate) fn holds(&self, needle: &str) -> Checked {
        match find(&self.answer.body, needle.as_bytes()) {
            Some(_) => Ok(()),
            None => Err(Wrong::error(format!("another page, without {needle:?}"))),
        }
    }

    /// That a film has the title it was given last.
    pub(crate) fn title(&self, film: i64, shown: &[u8]) -> Checked {
        let (confirmed, begun) = self.edits.visible(film, self.before.edits);
        let original = self.contents.film(film).is_some_and(|known| known.title.as_bytes() == shown);
        let take = || std::str::from_utf8(shown).ok()?.strip_prefix("Take ")?.split_once(" of film ");
        let take = match take() {
            _ if original => 0,
            Some((take, id)) if id.parse() == Ok(film) => take.parse().unwrap_or(u32::MAX),
            _ => return Err(Wrong::error(format!("the title {:?} for film {film}", text(shown)))),
        };
        if take < confirmed {
            let now = Edits::title(film, confirmed);
            return Err(Wrong::stale(format!("the title {:?}, edited to {now:?} before", text(shown))));
        }
        match take > begun {
            true => Err(Wrong::error(format!("the title {:?}, which nobody gave", text(shown)))),
            false => Ok(()),
        }
    }

    fn film(&self, id: i64, his: bool) -> Checked {
        let body = &self.answer.body;
        let title = values(body, "<h1>").next().ok_or_else(|| Wrong::error("a page without a title"))?;
        self.title(id, title)?;
        if !his {
            return self.holds("Sign in to keep or edit it");
        }
        self.holds(&format!("action=\"/film/{id}/watch\""))?;
        let listed = find(body, b"Remove from watch-list").is_some();
        let lists = self.visitor.lists_since(self.before.list);
        match lists.iter().any(|list| list.contains(&id) == listed) {
            true => Ok(()),
            false => Err(Wrong::stale(format!("film {id} {} his list", if listed { "on" } else { "not on" }))),
        }
    }

    fn watchlist(&self) -> Checked {
        let shown: Vec<i64> = films(&self.answer.body).map(|(film, _)| film).collect();
        let lists = self.visitor.lists_since(self.before.list);
        if lists.iter().any(|list| list[..] == shown) {
            return Ok(());
        }
        let expected = lists.iter().map(|list| format!("{list:?}")).collect::<Vec<_>>().join(" or ");
        let seen = format!("the list {shown:?} instead of {expected}");
        Err(match shown.iter().all(|film| self.visitor.ever_listed(*film)) {
            true => Wrong::stale(seen),
            false => Wrong::leak(seen),
        })
    }

    /// The titles on links to films.
    fn linked_titles(&self) -> Checked {
        films(&self.answer.body).try_for_each(|(film, title)| self.title(film, title))
    }
}

/// What stands between this and the next quotation mark or tag.
fn values<'a>(body: &'a [u8], before: &'static str) -> impl Iterator<Item = &'a [u8]> {
    find_iter(body, before).filter_map(move |at| {
        let rest = &body[at + before.len()..];
        memchr::memchr2(b'"', b'<', rest).map(|end| &rest[..end])
    })
}

/// The first of them, as text.
pub(crate) fn value(body: &[u8], before: &'static str) -> Option<String> {
    values(body, before).next().map(text)
}

/// Links to films, with their titles: on a poster, or as the text of the link.
fn films(body: &[u8]) -> impl Iterator<Item = (i64, &[u8])> {
    const LINK: &str = "href=\"/film/";
    find_iter(body, LINK).filter_map(|at| {
        let rest = &body[at + LINK.len()..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let film = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
        let mut rest = rest[digits..].strip_prefix(b"\">")?;
        if rest.starts_with(b"<div class=\"poster") {
            rest = &rest[find(rest, b"<b>")? + 3..];
        }
        Some((film, &rest[..memchr::memchr(b'<', rest)?]))
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The beginning of what an answer says, on one line.
fn excerpt(body: &[u8]) -> String {
    let begin = find(body, b"<main").unwrap_or(0);
    let mut tag = false;
    let words = text(&body[begin..]).replace('<', " <");
    let words = words.chars().filter(|char| {
        tag |= *char == '<';
        let shown = !tag;
        tag &= *char != '>';
        shown
    });
    let words: String = words.take(300).collect();
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}
