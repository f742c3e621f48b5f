//! The templates that the cache has seen: the current version of each, and the floor of the results made from it.
//!
//! A template is identified by its source (a folder, a loader, an environment) and its name. It is stored while a
//! compiled template, an entry or an open frame refers to it. A name that a look-up did not find is a template too:
//! creating the file invalidates the results that missed it. Names that a visitor made up are freed with their last
//! reference.
//!
//! Loading is in `template/loader.rs`, watching files in `template/watch.rs`.

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

/// A provider of templates: a loader, or an environment's own.
pub(crate) type SourceId = u64;

/// The source of templates known by name only: the names that a handler passed to a render.
pub(crate) const BY_NAME: SourceId = 0;

/// The load number of a load that overlapped with another one. It equals no real number, so [`Template::still`] always
/// returns false.
const NEVER_ALONE: u64 = 0;

/// A load that runs until MiniJinja stored its template or dropped it.
#[derive(Debug)]
pub(crate) struct LoadGuard {
    template: Arc<Template>,
    settled: AtomicBool,
}

impl LoadGuard {
    pub(crate) fn settle(&self) {
        // A load first: once settled, every look-up runs through this line, and a swap would contend for the cache
        // line.
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

/// The digest of a template that does not exist.
const MISSING: u128 = 0;

#[derive(Debug)]
pub(crate) struct Template {
    source: SourceId,
    name: Box<str>,
    /// The file, for templates of a folder.
    #[cfg_attr(not(feature = "watch"), expect(dead_code, reason = "only a watcher asks"))]
    path: Option<PathBuf>,
    /// Raised whenever the content may have changed. A load reads it before the file.
    generation: AtomicU64,
    floor: Floor,
    /// Raised when a load finds that the statements outside of blocks changed. An extending template loads this one
    /// before any of its blocks runs, so no entry that used only these statements is looked up before the load.
    statements_floor: Floor,
    /// The same for all statements. A template is loaded before the templates that it includes run.
    all_statements_floor: Floor,
    /// Loads begun.
    loads: AtomicU64,
    /// Loads whose end is known: MiniJinja stored the template, dropped it, or received none.
    settled: AtomicU64,
    content: Mutex<Content>,
    /// Added in memory: no loader loads it again.
    added: AtomicBool,
}

#[derive(Debug, Default)]
struct Content {
    /// The digest that the first load of the current generation found.
    digest: Option<u128>,
    /// The generation and layout of the last load.
    layout: Option<(u64, Arc<Layout>)>,
    loaded: Option<Instant>,
    /// Its share of the digest of all templates added in memory.
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

    /// Whether only its name is known, and not its source.
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

    /// Begins a load: content that is read afterwards belongs to the returned generation.
    ///
    /// MiniJinja compiles the text of a load and then stores whichever template was installed first, so a thread can
    /// receive the older text of another thread: (1) A begins a load at generation 1 and reads; (2) the file is saved,
    /// generation 2; (3) B begins a load and reads the new text; (4) A installs its template; (5) B receives A's. B may
    /// therefore trust its load only if no other load overlapped: none began since, and all earlier ones are settled.
    pub(crate) fn begin_load(self: &Arc<Self>) -> (LoadGuard, TemplateVersion) {
        let generation = self.generation();
        let before = self.loads.fetch_add(1, Ordering::AcqRel);
        let alone = self.settled.load(Ordering::Acquire) == before;
        let load = if alone { before + 1 } else { NEVER_ALONE };
        let seen = TemplateVersion { generation, load: Some(load) };
        (LoadGuard { template: Arc::clone(self), settled: AtomicBool::new(false) }, seen)
    }

    /// The digest of the seen version. `None` if that version is not current or its text is not known. The digest of a
    /// missing template equals that of no text.
    pub(crate) fn digest(&self, seen: TemplateVersion) -> Option<u128> {
        let content = self.content();
        content.digest.filter(|_| seen.generation == self.generation())
    }

    /// The current version, if its text is known. Otherwise `read` is called and its result is recorded as the text.
    /// For callers that need the version of a template without having it compiled.
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

    /// Whether the last load found a template of this name.
    pub(crate) fn exists(&self) -> bool {
        self.content().digest.is_some_and(|digest| digest != MISSING)
    }

    /// Sets the share of this template, added in memory, in the digest of all such templates. Returns the earlier
    /// share.
    pub(crate) fn set_share(&self, share: u128) -> u128 {
        std::mem::replace(&mut self.content().share, share)
    }

    /// Whether the template is still in the version that was seen.
    pub(crate) fn still(&self, seen: TemplateVersion) -> bool {
        seen.generation == self.generation() && seen.load.is_none_or(|load| load == self.loads.load(Ordering::Acquire))
    }

    /// Records the text that a load found. Two loads of one generation that find different texts mean that a change was
    /// not reported between them (there is no watcher, or its event has not arrived): that is a change.
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
            // A slow load: a later change has been recorded, and the file may have other content than the load found.
            return seen;
        }
        content.loaded = Some(Instant::now());
        let seen = match content.digest {
            Some(known) if known != digest => TemplateVersion { generation: self.raise(floors), ..seen },
            _ => seen,
        };
        content.digest = Some(digest);
        if let Some((_, known)) = &content.layout {
            // A computation that began since the floor was raised has loaded the template since.
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

    /// Records that the content changed: invalidates all results made from the template.
    pub(crate) fn change(&self, floors: &Floors) {
        let mut content = self.content();
        content.digest = None;
        self.raise(floors);
    }

    /// Whether this is a template added in memory with this text.
    pub(crate) fn is_added_as(&self, text: &str) -> bool {
        self.added.load(Ordering::Acquire) && self.content().digest == Some(digest_of(Some(text)))
    }

    /// Invalidates all results made from this template. A template that comes from a loader is loaded again.
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
    /// Invalidates all results made from this template, unless its file holds the text of the last load. Returns
    /// whether it invalidated them.
    pub(crate) fn change_if_different(&self, text: Option<&str>, floors: &Floors) -> bool {
        let same = self.content().digest == Some(digest_of(text));
        if !same {
            self.change(floors);
        }
        !same
    }

    /// Whether a load found the template, or found it missing, since the last change.
    #[cfg(feature = "watch")]
    pub(crate) fn is_loaded(&self) -> bool {
        self.content().digest.is_some()
    }

    /// Whether a load found the template, or found it missing, within the last `span`.
    #[cfg(feature = "watch")]
    pub(crate) fn loaded_within(&self, span: Duration) -> bool {
        self.content().loaded.is_some_and(|loaded| loaded.elapsed() < span)
    }

    /// The layout of the last load: what a template that extends this one sees of it.
    pub(crate) fn layout(&self) -> Option<Arc<Layout>> {
        self.content().layout.as_ref().map(|(_, layout)| Arc::clone(layout))
    }

    /// The layout of the seen version, if that version is current.
    pub(crate) fn layout_seen(&self, seen: TemplateVersion) -> Option<Arc<Layout>> {
        let content = self.content();
        let (generation, layout) = content.layout.as_ref()?;
        (*generation == seen.generation && seen.generation == self.generation()).then(|| Arc::clone(layout))
    }

    /// The generation is raised first. A load that begins between the two lines then reads the new text under the new
    /// generation, and its result is below the floor, which costs one render. In the other order the old text could be
    /// stored as current.
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

/// All templates that something refers to.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    by_name: Mutex<KnownTemplates>,
    /// Templates added in memory, by the id in their mark. They are never removed.
    added: Mutex<HashMap<u64, Arc<Template>, ahash::RandomState>>,
}

#[derive(Debug, Default)]
struct KnownTemplates {
    names: HashMap<Box<str>, Vec<Weak<Template>>, ahash::RandomState>,
    /// The number of names at which the next sweep for unreferenced templates runs.
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

    /// The templates of one name, from all sources.
    pub(crate) fn named(&self, name: &str) -> Vec<Arc<Template>> {
        self.known().live(name).collect()
    }

    /// The templates whose name's tag is in `tags`.
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

    /// Records a template added in memory.
    pub(crate) fn add(&self, id: u64, template: &Arc<Template>) {
        template.added.store(true, Ordering::Release);
        let mut added = lock(&self.added);
        added.insert(id, Arc::clone(template));
    }

    /// The templates added in memory under a name, in all environments.
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
