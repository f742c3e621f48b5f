//! The templates known to the cache: which state each is in, and the floor of what was made from it.
//!
//! A template is known per source (a folder, a loader, an environment) and name. It is kept while something refers
//! to it: a compiled template, an entry, an open fragment. Names looked for in vain are known in the same way, so
//! that creating the file refreshes what missed it, and names a visitor made up leave nothing behind.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
#[cfg(feature = "watch")]
use std::time::Duration;
use std::time::Instant;

use xxhash_rust::xxh3::xxh3_128;

use crate::compile::Layout;
use crate::invalidation::floors::{Floor, Floors, TagHash};
use crate::invalidation::template_version::TemplateVersion;
use crate::key::identity::template_tag;

use crate::util::sync::lock;

/// Who provides templates: a loader or an environment's own.
pub(crate) type SourceId = u64;

/// The source of templates known by name only: what a handler was told to render.
pub(crate) const BY_NAME: SourceId = 0;

/// The number of a load that was not alone; none has it.
const NEVER_ALONE: u64 = 0;

/// A load under way, until MiniJinja was seen to hold its template or let go of it.
#[derive(Debug)]
pub(crate) struct LoadGuard {
    template: Arc<Template>,
    settled: AtomicBool,
}

impl LoadGuard {
    pub(crate) fn settle(&self) {
        // Read first: once settled, every look-up comes through here.
        if !self.settled.load(Ordering::Relaxed) && !self.settled.swap(true, Ordering::AcqRel) {
            self.template.settled.fetch_add(1, Ordering::AcqRel);
        }
    }

    pub(crate) fn template(&self) -> &Arc<Template> {
        &self.template
    }
}

impl Drop for LoadGuard {
    fn drop(&mut self) {
        self.settle();
    }
}

/// The digest that stands for a template that is not there.
const MISSING: u128 = 0;

#[derive(Debug)]
pub(crate) struct Template {
    source: SourceId,
    name: Box<str>,
    /// The file, for templates of a folder.
    #[cfg_attr(not(feature = "watch"), expect(dead_code, reason = "only a watcher asks"))]
    path: Option<PathBuf>,
    /// Raised whenever the content may have changed; loading reads it before the file.
    generation: AtomicU64,
    floor: Floor,
    /// Raised when the statements outside of its blocks turn out to have changed: when it is loaded again. A template that
    /// extends it loads it before any block runs, so no entry that used only these is looked up before that.
    statements_floor: Floor,
    /// The same for all its statements. A template loads before those that it includes run.
    all_statements_floor: Floor,
    /// Loads begun.
    loads: AtomicU64,
    /// Loads of which it is known what MiniJinja made of them: it holds the template, or dropped it, or got none.
    settled: AtomicU64,
    content: Mutex<Content>,
    /// Added in memory: nothing loads it again.
    added: AtomicBool,
}

#[derive(Debug, Default)]
struct Content {
    /// What the first load of the current generation found.
    digest: Option<u128>,
    /// What was loaded last, and of which generation that is.
    layout: Option<(u64, Arc<Layout>)>,
    loaded: Option<Instant>,
    /// Its part in the digest of all templates added in memory.
    share: u128,
}

impl Template {
    pub(crate) fn floor(&self) -> &Floor {
        &self.floor
    }

    pub(crate) fn statements_floor(&self) -> &Floor {
        &self.statements_floor
    }

    pub(crate) fn all_statements_floor(&self) -> &Floor {
        &self.all_statements_floor
    }

    /// Whether only its name is known, and nobody who provides it.
    #[cfg_attr(not(feature = "shared"), expect(dead_code, reason = "only a shared tier asks"))]
    pub(crate) fn is_by_name(&self) -> bool {
        self.source == BY_NAME
    }

    pub(crate) fn source(&self) -> SourceId {
        self.source
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    #[cfg(feature = "watch")]
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Begins a load: what is read afterwards belongs to the generation returned.
    ///
    /// MiniJinja compiles what a load returns and then keeps whichever template was installed first, so a thread
    /// can be handed another one's older text: (1) A begins a load at generation 1 and reads; (2) the file is
    /// saved, generation 2; (3) B begins a load and reads the new text; (4) A installs; (5) B is handed A's. B may
    /// therefore trust its load only when no other was under way: none begun since, and all before it settled.
    pub(crate) fn begin_load(self: &Arc<Self>) -> (LoadGuard, TemplateVersion) {
        let generation = self.generation();
        let before = self.loads.fetch_add(1, Ordering::AcqRel);
        let alone = self.settled.load(Ordering::Acquire) == before;
        let load = if alone { before + 1 } else { NEVER_ALONE };
        let seen = TemplateVersion { generation, load: Some(load) };
        (LoadGuard { template: Arc::clone(self), settled: AtomicBool::new(false) }, seen)
    }

    /// The digest of the state that was seen, if it is the current one and its text is known; that of a name looked
    /// for in vain is a number no text has.
    pub(crate) fn digest(&self, seen: TemplateVersion) -> Option<u128> {
        let content = self.content();
        content.digest.filter(|_| seen.generation == self.generation())
    }

    /// The current state, if its text is known; else what `read` finds is noted as its text. For those who want to know
    /// what a template is without having it compiled.
    pub(crate) fn look<E>(&self, read: impl FnOnce() -> Result<Option<String>, E>) -> Option<TemplateVersion> {
        let generation = self.generation();
        let seen = TemplateVersion { generation, load: None };
        if self.digest(seen).is_none() {
            let digest = digest_of(read().ok()?.as_deref());
            let mut content = self.content();
            if generation != self.generation() {
                return None;
            }
            content.digest.get_or_insert(digest);
        }
        Some(seen)
    }

    /// Whether there is a template of this name, as far as is known.
    pub(crate) fn exists(&self) -> bool {
        self.content().digest.is_some_and(|digest| digest != MISSING)
    }

    /// Notes what this template, added in memory, adds to the digest of all such; what it added before.
    pub(crate) fn set_share(&self, share: u128) -> u128 {
        std::mem::replace(&mut self.content().share, share)
    }

    /// Whether the template is still in the state that was seen.
    pub(crate) fn still(&self, seen: TemplateVersion) -> bool {
        seen.generation == self.generation() && seen.load.is_none_or(|load| load == self.loads.load(Ordering::Acquire))
    }

    /// Notes what a load found. When two loads of one generation find different texts, a change went unnoticed
    /// between them (no watcher, or its event is still on its way): that is a change.
    pub(crate) fn note_content(
        &self,
        text: Option<&str>,
        layout: Layout,
        seen: TemplateVersion,
        floors: &Floors,
    ) -> TemplateVersion {
        let digest = digest_of(text);
        let mut content = self.content();
        if seen.generation != self.generation() {
            // A slow load: the change since has been noted, and what it found is not what the file holds now.
            return seen;
        }
        content.loaded = Some(Instant::now());
        let seen = match content.digest {
            Some(known) if known != digest => TemplateVersion { generation: self.raise(floors), ..seen },
            _ => seen,
        };
        content.digest = Some(digest);
        if let Some((_, known)) = &content.layout {
            // What began since the change was noticed has loaded the template since.
            if known.statements() != layout.statements() {
                floors.raise_floor_to(&self.statements_floor, &self.floor);
            }
            if known.all_statements() != layout.all_statements() {
                floors.raise_floor_to(&self.all_statements_floor, &self.floor);
            }
        }
        content.layout = Some((seen.generation, Arc::new(layout)));
        seen
    }

    /// Notes that the content changed: refreshes everything made from it.
    pub(crate) fn change(&self, floors: &Floors) {
        let mut content = self.content();
        content.digest = None;
        self.raise(floors);
    }

    /// Whether it is a template added in memory with this text.
    pub(crate) fn is_added_as(&self, text: &str) -> bool {
        self.added.load(Ordering::Acquire) && self.content().digest == Some(digest_of(Some(text)))
    }

    /// Refreshes everything made from this template, and has it loaded again if it comes from a loader.
    pub(crate) fn invalidate(&self, floors: &Floors) {
        if self.added.load(Ordering::Acquire) {
            floors.raise_floor(&self.floor);
            floors.raise_floor(&self.statements_floor);
            floors.raise_floor(&self.all_statements_floor);
        } else {
            self.change(floors);
        }
    }

    #[cfg(feature = "watch")]
    /// Refreshes everything made from this template unless its file holds what was last loaded. Returns whether
    /// it did.
    pub(crate) fn change_if_different(&self, text: Option<&str>, floors: &Floors) -> bool {
        let same = self.content().digest == Some(digest_of(text));
        if !same {
            self.change(floors);
        }
        !same
    }

    /// Whether anything was loaded, or looked for in vain, since the last change.
    #[cfg(feature = "watch")]
    pub(crate) fn is_loaded(&self) -> bool {
        self.content().digest.is_some()
    }

    /// Whether it was loaded, or looked for in vain, in the last so many seconds.
    #[cfg(feature = "watch")]
    pub(crate) fn loaded_within(&self, span: Duration) -> bool {
        self.content().loaded.is_some_and(|loaded| loaded.elapsed() < span)
    }

    /// The template as those that extend it see it, as it was loaded last.
    pub(crate) fn layout(&self) -> Option<Arc<Layout>> {
        self.content().layout.as_ref().map(|(_, layout)| Arc::clone(layout))
    }

    /// The same of the state that was seen, if that is the current one.
    pub(crate) fn layout_seen(&self, seen: TemplateVersion) -> Option<Arc<Layout>> {
        let content = self.content();
        let (generation, layout) = content.layout.as_ref()?;
        (*generation == seen.generation && seen.generation == self.generation()).then(|| Arc::clone(layout))
    }

    /// The generation goes first: a load that begins in between then reads the new text under the new generation
    /// and is refused by the floor, which costs one render; the other order would let it be stored as current.
    fn raise(&self, floors: &Floors) -> u64 {
        let generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        floors.raise_floor(&self.floor);
        generation
    }

    fn content(&self) -> std::sync::MutexGuard<'_, Content> {
        lock(&self.content)
    }
}

fn digest_of(text: Option<&str>) -> u128 {
    text.map_or(MISSING, |text| xxh3_128(text.as_bytes()).max(4))
}

/// All templates something refers to.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    by_name: Mutex<KnownTemplates>,
    /// Those added in memory, by the id they name themselves with; they stay.
    added: Mutex<HashMap<u64, Arc<Template>, ahash::RandomState>>,
}

#[derive(Debug, Default)]
struct KnownTemplates {
    names: HashMap<Box<str>, Vec<Weak<Template>>, ahash::RandomState>,
    /// Names at which to look for dead ones next.
    sweep_at: usize,
}

impl Templates {
    pub(crate) fn get(&self, source: SourceId, name: &str, path: Option<&Path>) -> Arc<Template> {
        let mut known = self.known();
        if let Some(found) = known.live(name).find(|template| template.source == source) {
            return found;
        }
        known.sweep_if_due();
        let template = Arc::new(Template {
            source,
            name: name.into(),
            path: path.map(Path::to_owned),
            generation: AtomicU64::new(1),
            floor: Floor::default(),
            statements_floor: Floor::default(),
            all_statements_floor: Floor::default(),
            loads: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            content: Mutex::default(),
            added: AtomicBool::new(false),
        });
        let same_name = known.names.entry(name.into()).or_default();
        same_name.retain(|template| template.strong_count() > 0);
        same_name.push(Arc::downgrade(&template));
        template
    }

    /// The templates of one name, whoever provides them.
    pub(crate) fn named(&self, name: &str) -> Vec<Arc<Template>> {
        self.known().live(name).collect()
    }

    /// The templates whose names' tags are among these.
    #[cfg_attr(not(feature = "shared"), expect(dead_code, reason = "only a shared tier asks"))]
    pub(crate) fn tagged(&self, tags: &[TagHash]) -> Vec<Arc<Template>> {
        let tags: HashSet<TagHash, ahash::RandomState> = tags.iter().copied().collect();
        let known = self.known();
        let names = known.names.iter().filter(|(name, _)| tags.contains(&template_tag(name)));
        names.flat_map(|(_, templates)| templates.iter().filter_map(Weak::upgrade)).collect()
    }

    #[cfg_attr(not(any(feature = "shared", feature = "watch")), expect(dead_code, reason = "only a shared tier asks"))]
    pub(crate) fn all(&self) -> Vec<Arc<Template>> {
        self.known().names.values().flatten().filter_map(Weak::upgrade).collect()
    }

    /// Notes a template added in memory.
    pub(crate) fn add(&self, id: u64, template: &Arc<Template>) {
        template.added.store(true, Ordering::Release);
        let mut added = lock(&self.added);
        added.insert(id, Arc::clone(template));
    }

    /// The templates added in memory under a name, in whichever environment.
    pub(crate) fn added_as(&self, name: &str) -> Vec<Arc<Template>> {
        lock(&self.added).values().filter(|template| template.name() == name).cloned().collect()
    }

    pub(crate) fn added(&self, id: u64) -> Option<Arc<Template>> {
        lock(&self.added).get(&id).cloned()
    }

    fn known(&self) -> std::sync::MutexGuard<'_, KnownTemplates> {
        lock(&self.by_name)
    }
}

impl KnownTemplates {
    fn live(&self, name: &str) -> impl Iterator<Item = Arc<Template>> + '_ {
        self.names.get(name).into_iter().flatten().filter_map(Weak::upgrade)
    }

    fn sweep_if_due(&mut self) {
        if self.names.len() < self.sweep_at {
            return;
        }
        self.names.retain(|_, templates| {
            templates.retain(|template| template.strong_count() > 0);
            !templates.is_empty()
        });
        self.sweep_at = (self.names.len() * 2).max(64);
    }
}
