//! The result of an invalidation. It can be ignored, or waited for until the shared store has the invalidation.
//!
//! Leaves the invalidation itself to `engine.rs`, and its publication to `store/tier/`.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::store::tier::Confirmation;
use crate::util::timer::Sleep;

/// An invalidation that has taken effect on this node. It may be ignored: nothing remains to be done.
///
/// With a shared tier the invalidation is on its way to the store, and from there to the other nodes. To know when the
/// store has it, call `wait` or `.await` it. An invalidation that cannot be published yet is kept, and published as
/// soon as the store answers again, unless this process ends before. Without a shared tier it is ready at once.
#[derive(Debug)]
pub struct Invalidation(pub(crate) Option<PendingConfirmation>);

/// An invalidation that is being published.
#[derive(Debug)]
pub(crate) struct PendingConfirmation {
    pub(crate) confirmation: Confirmation,
    pub(crate) patience: Duration,
    pub(crate) deadline: Instant,
    pub(crate) sleep: Option<Sleep>,
}

impl Invalidation {
    /// Blocks until the shared store has the invalidation, at most for the cache's wait timeout, counted from the
    /// invalidation. From then on the other nodes receive it within their staleness bound at the latest, usually within
    /// milliseconds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`]: the store did not confirm the invalidation in time. It has taken effect on this node, and
    /// is still published once the store answers.
    pub fn wait(self) -> Result<(), Error> {
        match self.0 {
            Some(telling) if !telling.confirmation.wait(telling.deadline) => Err(telling.late()),
            _ => Ok(()),
        }
    }
}

impl IntoFuture for Invalidation {
    type Output = Result<(), Error>;
    type IntoFuture = Confirmed;

    fn into_future(self) -> Confirmed {
        Confirmed(self.0)
    }
}

/// The future of an awaited [`Invalidation`]. Its output is that of [`Invalidation::wait`].
#[derive(Debug)]
#[must_use = "it is awaited, or it says nothing"]
pub struct Confirmed(Option<PendingConfirmation>);

impl Future for Confirmed {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(telling) = &mut self.0 else { return Poll::Ready(Ok(())) };
        if telling.confirmation.poll(context.waker()) {
            return Poll::Ready(Ok(()));
        }
        let late = match &mut telling.sleep {
            Some(sleep) => Pin::new(sleep).poll(context).is_ready(),
            None => true,
        };
        if late { Poll::Ready(Err(telling.late())) } else { Poll::Pending }
    }
}

impl PendingConfirmation {
    fn late(&self) -> Error {
        let message = format!(
            "shared store, {}: the invalidation was not confirmed within {:?}; it is in force here, and kept to be told",
            self.confirmation.place(),
            self.patience
        );
        Error::new(ErrorKind::Store, message)
    }
}
