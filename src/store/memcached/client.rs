//! The keys of one application, and single commands for them.
//!
//! Which server a key belongs to, and how commands are sent, is `batch.rs`.

use std::time::Instant;

use memcache::exp::{MetaCommandResult, MetaOp};

use super::batch::{CommandBatch, MetaReply, ServerSet};
use crate::store::{FailureKind, StoreFailure, StoreKey};

#[derive(Debug)]
pub(super) struct Client {
    pub(super) servers: ServerSet,
    pub(super) prefix: String,
}

impl Client {
    /// The memcached key of a value.
    pub(super) fn key(&self, key: StoreKey) -> String {
        format!("{}{key:032x}", self.prefix)
    }

    /// The memcached key of a lease that is stored beside a value.
    pub(super) fn lease_key(&self, key: StoreKey) -> String {
        format!("{}:lease", self.key(key))
    }

    /// The memcached key of an item with a name of its own.
    pub(super) fn named_key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Runs one command on the item of a value.
    pub(super) fn run(
        &self,
        operation: &str,
        key: StoreKey,
        op: MetaOp,
        flags: &[&str],
        deadline: Instant,
    ) -> Result<MetaReply, StoreFailure> {
        let mut batch = CommandBatch::new(self.servers.choose(&key.to_be_bytes()));
        batch.push(op, &self.key(key), flags, None);
        self.run_single(operation, &batch, deadline)
    }

    /// Runs a batch of one command.
    pub(super) fn run_single(
        &self,
        operation: &str,
        batch: &CommandBatch,
        deadline: Instant,
    ) -> Result<MetaReply, StoreFailure> {
        let mut replies = self.servers.run_one(operation, batch, deadline)?;
        replies.pop().ok_or_else(|| invalid_reply(operation))
    }
}

/// The value of a reply, or the failure of `operation` if the server refused it.
pub(super) fn accepted(reply: MetaReply, operation: &str) -> Result<MetaCommandResult, StoreFailure> {
    reply.map_err(|message| refused(operation, &message))
}

pub(super) fn refused(operation: &str, message: &str) -> StoreFailure {
    StoreFailure::new(FailureKind::Refused, format!("memcached refused to {operation}: {message}"))
}

pub(super) fn invalid_reply(operation: &str) -> StoreFailure {
    StoreFailure::new(
        FailureKind::InvalidReply,
        format!("cannot {operation} memcached: the reply does not fit the command"),
    )
}

/// The compare-and-swap number of an item. Without it every conditional write would succeed, and no change of the log
/// would be noticed.
pub(super) fn cas_number(cas: Option<u64>) -> Result<u64, StoreFailure> {
    cas.filter(|&cas| cas > 0).ok_or_else(|| refused("use", "it has no compare-and-swap (-C)"))
}
