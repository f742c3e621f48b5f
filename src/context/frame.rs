//! One level of what encloses the work on a thread: what it is for, and what it gathers.

use std::sync::{Arc, Mutex};

use super::next_id;
use crate::hole::Holes;
use crate::observe::Collector;
use crate::record::Record;
use crate::sync::lock;
use crate::trace::{Span, WeakSpan};

/// A frame's name, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameId(u64);

#[derive(Debug)]
pub(crate) struct Frame {
    id: FrameId,
    gathered: Gathered,
    role: Role,
    /// What is computed here, among what is collected of this work.
    explained: Option<usize>,
    /// The span that is current while the frame stands.
    span: Span,
}

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
    Here(Record),
    /// A scope, or what went to other threads as one: it may stand on several at once.
    Shared(Shared),
}

/// What a scope gathers, and the holes of the page it is about.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) record: Arc<Mutex<Record>>,
    pub(crate) holes: Option<Arc<Holes>>,
    pub(crate) collector: Option<Arc<Collector>>,
    /// The span around it, which other threads do not know.
    pub(crate) span: WeakSpan,
}

impl Frame {
    pub(crate) fn new(record: Record, role: Role) -> Frame {
        Frame { id: FrameId(next_id()), gathered: Gathered::Here(record), role, explained: None, span: Span::default() }
    }

    pub(crate) fn shared(scope: Shared) -> Frame {
        let span = scope.span.upgrade();
        Frame { id: FrameId(next_id()), gathered: Gathered::Shared(scope), role: Role::Scope, explained: None, span }
    }

    /// Says what is computed in it, among what is collected.
    pub(crate) fn explain_as(&mut self, at: Option<usize>) {
        self.explained = at;
    }

    /// Says in which span it is computed.
    pub(crate) fn trace_in(&mut self, span: &Span) {
        self.span = span.clone();
    }

    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    pub(super) fn forget_span(&mut self) {
        self.span = Span::default();
    }

    pub(super) fn explained(&self) -> Option<usize> {
        self.explained
    }

    /// Who collects look-ups in here.
    pub(super) fn collector(&self) -> Option<&Arc<Collector>> {
        match &self.gathered {
            Gathered::Shared(scope) => scope.collector.as_ref(),
            Gathered::Here(_) => None,
        }
    }

    pub(crate) fn id(&self) -> FrameId {
        self.id
    }

    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// The holes of the page that a scope is about.
    pub(super) fn holes(&self) -> Option<Arc<Holes>> {
        match &self.gathered {
            Gathered::Shared(scope) => scope.holes.clone(),
            Gathered::Here(_) => None,
        }
    }

    /// What was gathered, unless others still gather.
    pub(crate) fn into_record(self) -> Option<Record> {
        match self.gathered {
            Gathered::Here(record) => Some(record),
            Gathered::Shared(_) if self.role == Role::Scope => None,
            // It went to other threads, whose part in it ends here.
            Gathered::Shared(shared) => Some(lock(&*shared.record).clone()),
        }
    }

    pub(super) fn with_record<R>(&self, f: impl FnOnce(&Record) -> R) -> R {
        match &self.gathered {
            Gathered::Here(record) => f(record),
            Gathered::Shared(scope) => f(&lock(&*scope.record)),
        }
    }

    pub(crate) fn with<R>(&mut self, f: impl FnOnce(&mut Record) -> R) -> R {
        match &mut self.gathered {
            Gathered::Here(record) => f(record),
            Gathered::Shared(scope) => f(&mut lock(&*scope.record)),
        }
    }

    /// Lets other threads gather into it as well.
    pub(super) fn open_to_threads(&mut self) -> Shared {
        let shared = match &self.gathered {
            Gathered::Shared(shared) => shared.clone(),
            Gathered::Here(record) => {
                let record = Arc::new(Mutex::new(record.clone()));
                Shared { record, holes: None, collector: None, span: WeakSpan::default() }
            }
        };
        self.gathered = Gathered::Shared(shared.clone());
        shared
    }
}
