//! What an invalidation gives: nothing to do, and something to wait for where other nodes are to hear of it.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::store::tier::Confirmation;
use crate::util::timer::Sleep;

/// An invalidation that has taken effect on this node. Ignore it freely: nothing remains to be done.
///
/// With a shared tier it is on its way to the store, and from there to the other nodes. Wait for it, or `.await` it,
/// where that matters: what cannot be told yet is kept and told as soon as the store is back, unless this process ends
/// before. Without a shared tier it is ready at once.
#[derive(Debug)]
pub struct Invalidation(pub(crate) Option<PendingConfirmation>);

/// An invalidation on its way.
#[derive(Debug)]
pub(crate) struct PendingConfirmation {
    pub(crate) confirmation: Confirmation,
    pub(crate) patience: Duration,
    pub(crate) deadline: Instant,
    pub(crate) sleep: Option<Sleep>,
}

impl Invalidation {
    /// Blocks until the shared store has it, at most for the cache's wait timeout counted from the invalidation. Other
    /// nodes know of it within their staleness bound from then on at the latest, as a rule within milliseconds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`]: the store did not confirm it in time. It has taken effect on this node, and is still told
    /// once the store answers.
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

/// An [`Invalidation`] awaited; ends as [`Invalidation::wait`] does.
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
