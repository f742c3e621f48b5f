//! One level of what encloses the work on a thread: what it is for, and what it gathers.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::invalidation::dependencies::Dependencies;
use crate::util::attachments::Attachments;
use crate::util::sync::lock;

/// A frame's name, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameId(u64);

impl FrameId {
    fn next() -> FrameId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        FrameId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

#[derive(Debug)]
pub(crate) struct Frame {
    id: FrameId,
    gathered: Gathered,
    role: Role,
    /// What is computed here, among what is collected of this work.
    explained: Option<usize>,
    entered: Option<Arc<dyn Entered>>,
}

/// What is entered on a thread while a frame stands there, a tracing span.
pub(crate) trait Entered: fmt::Debug + Send + Sync {
    fn enter(&self);
    fn exit(&self);
}

/// The same, which does not keep it open.
pub(crate) type WeakEntered = Weak<dyn Entered>;

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// To gather, and nothing else.
    Aside,
    /// A scope that was opened.
    Scope,
    /// A fragment that is computed, whether others may wait for it, and whether it is a text.
    Fragment { leads: bool, text: bool },
    /// The same of a page, with fragments inside.
    Page { leads: bool },
}

#[derive(Debug)]
enum Gathered {
    Here(Dependencies),
    /// A scope, or what went to other threads as one: it may stand on several at once.
    Shared(SharedFrame),
}

/// What a scope gathers, and what is attached to it.
#[derive(Debug, Clone)]
pub(crate) struct SharedFrame {
    pub(crate) record: Arc<Mutex<Dependencies>>,
    pub(crate) attachments: Attachments,
    /// The span around it, which other threads do not know, while its computation is under way.
    pub(crate) around: Option<WeakEntered>,
}

impl SharedFrame {
    pub(crate) fn new(record: Dependencies) -> SharedFrame {
        SharedFrame { record: Arc::new(Mutex::new(record)), attachments: Attachments::default(), around: None }
    }
}

impl Frame {
    pub(crate) fn new(record: Dependencies, role: Role) -> Frame {
        Frame { id: FrameId::next(), gathered: Gathered::Here(record), role, explained: None, entered: None }
    }

    pub(crate) fn shared(scope: SharedFrame) -> Frame {
        let entered = scope.around.as_ref().and_then(Weak::upgrade);
        Frame { id: FrameId::next(), gathered: Gathered::Shared(scope), role: Role::Scope, explained: None, entered }
    }

    /// Says what is computed in it, among what is collected.
    pub(crate) fn explain_as(&mut self, at: Option<usize>) {
        self.explained = at;
    }

    pub(crate) fn explained(&self) -> Option<usize> {
        self.explained
    }

    /// Has something entered while the frame stands.
    pub(crate) fn enter_in(&mut self, entered: Option<Arc<dyn Entered>>) {
        self.entered = entered;
    }

    pub(super) fn entered(&self) -> Option<&Arc<dyn Entered>> {
        self.entered.as_ref()
    }

    /// What is attached to a scope.
    pub(crate) fn attachment<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        match &self.gathered {
            Gathered::Shared(scope) => scope.attachments.find(),
            Gathered::Here(_) => None,
        }
    }

    pub(crate) fn id(&self) -> FrameId {
        self.id
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    pub(crate) fn is_of(&self, cache: u64) -> bool {
        self.with_record(|record| record.cache == cache)
    }

    /// What was gathered, unless others still gather.
    pub(crate) fn into_record(self) -> Option<Dependencies> {
        match self.gathered {
            Gathered::Here(record) => Some(record),
            Gathered::Shared(_) if self.role == Role::Scope => None,
            // It went to other threads, whose part in it ends here.
            Gathered::Shared(shared) => Some(lock(&*shared.record).clone()),
        }
    }

    pub(super) fn with_record<R>(&self, f: impl FnOnce(&Dependencies) -> R) -> R {
        match &self.gathered {
            Gathered::Here(record) => f(record),
            Gathered::Shared(scope) => f(&lock(&*scope.record)),
        }
    }

    pub(crate) fn with<R>(&mut self, f: impl FnOnce(&mut Dependencies) -> R) -> R {
        match &mut self.gathered {
            Gathered::Here(record) => f(record),
            Gathered::Shared(scope) => f(&mut lock(&*scope.record)),
        }
    }

    /// Lets other threads gather into it as well.
    pub(super) fn open_to_threads(&mut self) -> SharedFrame {
        let shared = match &self.gathered {
            Gathered::Shared(shared) => shared.clone(),
            Gathered::Here(record) => SharedFrame::new(record.clone()),
        };
        self.gathered = Gathered::Shared(shared.clone());
        shared
    }
}
