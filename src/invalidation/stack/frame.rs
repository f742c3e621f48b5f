//! One frame of the stack: its role, and the dependencies that it gathers. The stack is in `stack.rs`.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::invalidation::dependencies::Dependencies;
use crate::util::attachments::Attachments;
use crate::util::sync::lock;

/// The id of a frame, never used twice.
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
    /// The index of this computation among the collected explanations.
    explained: Option<usize>,
    entered: Option<Arc<dyn Entered>>,
}

/// Something that is entered on a thread while the frame is on its stack: a tracing span.
pub(crate) trait Entered: fmt::Debug + Send + Sync {
    fn enter(&self);
    fn exit(&self);
}

/// A weak reference to it, which does not keep the span open.
pub(crate) type WeakEntered = Weak<dyn Entered>;

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Only gathers dependencies.
    Aside,
    /// An open scope.
    Scope,
    /// The computation of a fragment: whether it leads a flight, and whether the fragment is a text.
    Fragment { leads: bool, text: bool },
    /// The computation of a page, with fragments inside.
    Page { leads: bool },
}

#[derive(Debug)]
enum Gathered {
    Here(Dependencies),
    /// A scope, or a frame that other threads pushed too. It may be on the stacks of several threads at once.
    Shared(SharedFrame),
}

/// The dependencies that a scope gathers, and its attachments.
#[derive(Debug, Clone)]
pub(crate) struct SharedFrame {
    pub(crate) record: Arc<Mutex<Dependencies>>,
    pub(crate) attachments: Attachments,
    /// The span around the scope, which other threads have not entered. Weak, because it ends with its computation.
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

    /// Sets the index of this computation among the collected explanations.
    pub(crate) fn explain_as(&mut self, at: Option<usize>) {
        self.explained = at;
    }

    pub(crate) fn explained(&self) -> Option<usize> {
        self.explained
    }

    /// Sets the span that is entered while the frame is on the stack.
    pub(crate) fn enter_in(&mut self, entered: Option<Arc<dyn Entered>>) {
        self.entered = entered;
    }

    pub(super) fn entered(&self) -> Option<&Arc<dyn Entered>> {
        self.entered.as_ref()
    }

    /// The attachment of type `T`, if the frame is a scope that has one.
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

    /// The gathered dependencies. `None` for a scope, which other threads may still use.
    pub(crate) fn into_record(self) -> Option<Dependencies> {
        match self.gathered {
            Gathered::Here(record) => Some(record),
            Gathered::Shared(_) if self.role == Role::Scope => None,
            // Other threads pushed the frame too. Dependencies that they add after this call are not part of the
            // result.
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

    /// Converts the frame into one in which other threads can gather too.
    pub(super) fn open_to_threads(&mut self) -> SharedFrame {
        let shared = match &self.gathered {
            Gathered::Shared(shared) => shared.clone(),
            Gathered::Here(record) => SharedFrame::new(record.clone()),
        };
        self.gathered = Gathered::Shared(shared.clone());
        shared
    }
}
