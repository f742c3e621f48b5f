//! The page of the entries in memory: search, order, and pages.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use minijinja::{Value, context};

use super::mounted::Mounted;
use super::params::Params;
use super::{format, view};
use crate::cache::inspect::Facts;
use crate::store::entry::Entry;

/// The number of entries on a page.
const PER_PAGE: usize = 50;

/// The number of entries that a search visits. With more entries in memory it misses some.
const LOOKED_AT: usize = 100_000;

/// The field that a search compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Any,
    Label,
    Tag,
    Template,
    Key,
}

/// The order of the entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Newest,
    Oldest,
    Largest,
    Costliest,
    Label,
}

const FIELDS: [(&str, &str, Field); 5] = [
    ("", "Anything", Field::Any),
    ("label", "Label", Field::Label),
    ("tag", "Tag", Field::Tag),
    ("template", "Template", Field::Template),
    ("key", "Key or its hash", Field::Key),
];

const FIRSTS: [(&str, &str, First); 5] = [
    ("", "Newest first", First::Newest),
    ("oldest", "Oldest first", First::Oldest),
    ("largest", "Largest first", First::Largest),
    ("cost", "Costliest first", First::Costliest),
    ("label", "By label", First::Label),
];

/// The result of a search: one page of the entries that match.
struct EntrySearch {
    page: Vec<(u128, Arc<Entry>)>,
    /// The number of entries that match.
    all: usize,
    looked_at: usize,
    /// The number of this page, from 1.
    number: usize,
    pages: usize,
}

pub(super) async fn page(mounted: &Arc<Mounted>, params: Params) -> Response {
    let searching = Arc::clone(mounted);
    // A search over many entries takes long, and would block the thread of the async runtime.
    let page = tokio::task::spawn_blocking(move || show(&searching, &params)).await;
    page.unwrap_or_else(|_| mounted.problem(StatusCode::INTERNAL_SERVER_ERROR, "The search ended unexpectedly."))
}

fn show(mounted: &Mounted, params: &Params) -> Response {
    let found = find(mounted, params);
    let inner = &mounted.cache.inner;
    let rows = found.page.iter().map(|(hash, entry)| row(mounted, *hash, entry, &inner.facts(entry)));
    let turn = |page: usize| params.link(&[("page", &page.to_string())]);
    let context = context! {
        rows => rows.collect::<Value>(),
        fields => choices(FIELDS.map(|(name, words, _)| (name, words)), params.get("by")),
        orders => choices(FIRSTS.map(|(name, words, _)| (name, words)), params.get("first")),
        q => params.get("q"),
        all => format::count(found.all as u64),
        empty => found.all == 0,
        looked_at => (found.looked_at == LOOKED_AT).then(|| format::count(LOOKED_AT as u64)),
        number => found.number, pages => found.pages,
        previous => (found.number > 1).then(|| turn(found.number - 1)),
        next => (found.number < found.pages).then(|| turn(found.number + 1)),
        namespace => &*mounted.cache.namespace.name,
        keys => mounted.shows.keys,
    };
    mounted.page(StatusCode::OK, "entries.html", context)
}

fn find(mounted: &Mounted, params: &Params) -> EntrySearch {
    let wanted = params.get("q").to_lowercase();
    let field = chosen(FIELDS, params.get("by"));
    let namespace = &mounted.cache.namespace.path;
    let mut matching = Vec::new();
    let looked_at = mounted.cache.inner.see_entries(LOOKED_AT, |hash, entry| {
        if entry.is_inside(namespace) && field.matches(entry, &wanted, mounted.shows.keys) {
            matching.push((hash, Arc::clone(entry)));
        }
    });
    sort(&mut matching, chosen(FIRSTS, params.get("first")));
    let pages = matching.len().div_ceil(PER_PAGE).max(1);
    let number = params.page().min(pages);
    let all = matching.len();
    let page = matching.into_iter().skip((number - 1) * PER_PAGE).take(PER_PAGE).collect();
    EntrySearch { page, all, looked_at, number, pages }
}

impl Field {
    /// Whether the field of an entry contains `wanted`, which is in lower case. Keys are searched only if they are
    /// shown, because a search would reveal them.
    fn matches(self, entry: &Entry, wanted: &str, keys: bool) -> bool {
        let has = |text: &str| text.to_lowercase().contains(wanted);
        let (any, record) = (self == Field::Any, &entry.record);
        wanted.is_empty()
            || (any || self == Field::Label) && has(&entry.label.name)
            || (any || self == Field::Tag) && record.tags().iter().filter_map(|tag| tag.name.as_ref()).any(|it| has(it))
            || (any || self == Field::Template) && record.dependencies().iter().any(|it| has(it.template.name()))
            || (any || self == Field::Key) && entry.key_hash().to_string().starts_with(wanted)
            || (any || self == Field::Key) && keys && has(&entry.key_text())
    }
}

fn sort(entries: &mut [(u128, Arc<Entry>)], first: First) {
    // The hash makes the order total, so that an entry is never on two pages.
    match first {
        First::Newest => entries.sort_by_key(|(hash, entry)| (Reverse(entry.record.begin.at), *hash)),
        First::Oldest => entries.sort_by_key(|(hash, entry)| (entry.record.begin.at, *hash)),
        First::Largest => entries.sort_by_key(|(hash, entry)| (Reverse((entry.weight(), entry.body.len())), *hash)),
        First::Costliest => entries.sort_by_key(|(hash, entry)| (Reverse(entry.cost), *hash)),
        First::Label => entries.sort_by(|(a, one), (b, other)| one.label.name.cmp(&other.label.name).then(a.cmp(b))),
    }
}

fn chosen<T: Copy, const N: usize>(choices: [(&str, &str, T); N], name: &str) -> T {
    choices.iter().find(|(known, ..)| *known == name).unwrap_or(&choices[0]).2
}

fn choices<const N: usize>(choices: [(&str, &str); N], name: &str) -> Value {
    choices.into_iter().map(|(value, words)| context! { value, words, chosen => value == name }).collect()
}

/// An entry as a template value.
pub(super) fn row(mounted: &Mounted, hash: u128, entry: &Entry, facts: &Facts) -> Value {
    context! {
        id => format!("{hash:032x}"),
        label => &*facts.about.label,
        kind => facts.about.kind.name(),
        key => facts.about.key.to_string(),
        key_text => mounted.shows.keys.then(|| entry.key_text()),
        condition => facts.condition.name(),
        age => format::seconds(facts.age),
        left => facts.ttl_left.map(format::seconds),
        tags => view::texts(&facts.tags),
        bytes => format::bytes(facts.bytes as u64),
        weight => format::bytes(u64::from(facts.weight)),
        cost => format::span(facts.cost),
        used => facts.used,
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::{Dashboard, FragmentCache, Options};

    fn mounted(cache: &FragmentCache) -> Arc<Mounted> {
        Dashboard::new(cache).mount()
    }

    fn found(mounted: &Mounted, query: &str) -> EntrySearch {
        find(mounted, &Params::read(query))
    }

    fn put(cache: &FragmentCache, key: u32, label: &str, tag: &str) {
        let options = Options::default().label(label).tag(tag);
        cache.get_or_set(key, options, || Ok::<_, Infallible>("x".repeat(key as usize))).unwrap();
    }

    #[test]
    fn pages_show_every_entry_once() {
        let cache = FragmentCache::builder().build().unwrap();
        (0..120).for_each(|key| put(&cache, key, "a", "t"));
        let mounted = mounted(&cache);
        for order in ["", "oldest", "largest", "cost", "label", "nothing"] {
            let mut seen = Vec::new();
            for page in 1..=3 {
                let found = found(&mounted, &format!("first={order}&page={page}"));
                assert_eq!((found.all, found.pages, found.number), (120, 3, page));
                seen.extend(found.page.into_iter().map(|(hash, _)| hash));
            }
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), 120, "{order}");
        }
        assert_eq!(found(&mounted, "page=99").number, 3);
        let largest = found(&mounted, "first=largest");
        assert_eq!(largest.page[0].1.body.len(), 119);
    }

    #[test]
    fn a_search_finds_by_label_tag_and_key_hash() {
        let cache = FragmentCache::builder().build().unwrap();
        put(&cache, 1, "src/Film.rs:7", "films");
        put(&cache, 2, "index.html:3", "Film:7");
        put(&cache, 3, "<b>", "ü");
        let mounted = mounted(&cache);
        let all = |query: &str| found(&mounted, query).all;
        assert_eq!(["q=film", "q=film&by=label", "q=FILM&by=tag", "q=film&by=key"].map(all), [2, 1, 2, 0]);
        assert_eq!(["q=%C3%9C&by=tag", "q=<b>", "q=nothing", "", "q=+"].map(all), [1, 1, 0, 3, 3]);
        let key = found(&mounted, "q=index.html").page[0].1.key_hash().to_string();
        assert_eq!([&key[..], &key[..6]].map(|key| all(&format!("by=key&q={key}"))), [1, 1]);
    }

    #[test]
    fn a_dashboard_of_a_namespace_shows_the_entries_in_it() {
        let cache = FragmentCache::builder().build().unwrap();
        put(&cache, 1, "outside", "t");
        put(&cache.namespace("blog"), 1, "inside", "t");
        put(&cache.namespace("blog").namespace("de"), 1, "deeper", "t");
        assert_eq!(found(&mounted(&cache), "").all, 3);
        assert_eq!(found(&mounted(&cache.namespace("blog")), "").all, 2);
        assert_eq!(found(&mounted(&cache.namespace("blo")), "").all, 0);
    }
}
