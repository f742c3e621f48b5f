//! Batches of commands: one for each server, sent to all servers before the first reply is read.
//!
//! The commands are built by `memcached.rs`, `client.rs` and `floors.rs`; connections are `server.rs`.

use std::time::{Duration, Instant};

use memcache::exp::{Error as ProtocolError, MetaCommand, MetaCommandResult, MetaOp, parse_meta_result};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::server::{MetaSocket, Server, ServerConnection, protocol_failure, timed_out};
use crate::store::deadline::{left, share};
use crate::store::pool::Pool;
use crate::store::{FailureKind, StoreFailure, StoreKey};

/// The most commands and bytes that are sent before replies are read. With more, a server whose replies are not read
/// yet could stop reading.
const MAX_COMMANDS: usize = 512;
const MAX_BYTES: usize = 256 * 1024;

/// How long to wait for one server before the others are checked.
const PEEK: Duration = Duration::from_millis(1);

/// Commands for one server.
#[derive(Debug, Default)]
pub(super) struct CommandBatch {
    server: usize,
    payload: Vec<u8>,
    keys: Vec<Vec<u8>>,
}

/// The reply to one command: a result, or the message of the server that refused it.
pub(super) type MetaReply = Result<MetaCommandResult, String>;

/// The servers, and the most connections to each of them.
#[derive(Debug)]
pub(super) struct ServerSet {
    pub(super) all: Vec<Server>,
    pub(super) pool_size: usize,
}

impl CommandBatch {
    pub(super) fn new(server: usize) -> CommandBatch {
        CommandBatch { server, ..CommandBatch::default() }
    }

    pub(super) fn push(&mut self, op: MetaOp, key: &str, flags: &[&str], value: Option<&[u8]>) {
        let mut command = MetaCommand::new(op, key);
        for flag in flags {
            command = command.flag(*flag);
        }
        if let Some(value) = value {
            command = command.value(value);
        }
        command.encode_into(&mut self.payload).expect("keys are shorter than 250 bytes and have no spaces");
        self.keys.push(key.as_bytes().to_vec());
    }

    fn is_full(&self) -> bool {
        self.keys.len() >= MAX_COMMANDS || self.payload.len() >= MAX_BYTES
    }
}

/// A batch that was sent and whose replies are not read yet.
struct SentBatch<'a> {
    at: usize,
    batch: &'a CommandBatch,
    connection: ServerConnection<'a>,
}

impl ServerSet {
    /// The server of a key: the one with the highest score (rendezvous hashing). An added server takes keys only for
    /// itself. The choice does not depend on the order of the servers or on the Rust version.
    pub(super) fn choose(&self, key: &[u8]) -> usize {
        let score = |server: &Server| xxh3_64_with_seed(key, xxh3_64(server.address.name.as_bytes()));
        (0..self.all.len()).max_by_key(|&at| score(&self.all[at])).unwrap_or_default()
    }

    pub(super) fn pool(&self, server: usize) -> &Pool<MetaSocket> {
        self.all[server].pool(self.pool_size)
    }

    /// Runs one command for each key, in rounds of at most [`MAX_COMMANDS`]. `push` adds the command for the key at a
    /// position.
    pub(super) fn run_each(
        &self,
        operation: &str,
        keys: &[StoreKey],
        push: impl Fn(usize, &mut CommandBatch),
        deadline: Instant,
    ) -> Vec<Result<MetaReply, StoreFailure>> {
        let mut replies = Vec::with_capacity(keys.len());
        replies.resize_with(keys.len(), || Err(timed_out()));
        let mut batches: Vec<CommandBatch> = Vec::new();
        let mut batch_of: Vec<usize> = Vec::new();
        let mut begin = 0;
        for (at, key) in keys.iter().enumerate() {
            let server = self.choose(&key.to_be_bytes());
            let found = batches.iter().position(|batch| batch.server == server);
            let batch = found.unwrap_or_else(|| {
                batches.push(CommandBatch::new(server));
                batches.len() - 1
            });
            batch_of.push(batch);
            push(at, &mut batches[batch]);
            if batches[batch].is_full() || at + 1 == keys.len() {
                distribute(self.run(operation, &batches, deadline), &batch_of, &mut replies[begin..]);
                (batches, begin) = (Vec::new(), at + 1);
                batch_of.clear();
            }
        }
        replies
    }

    /// Runs one batch.
    pub(super) fn run_one(
        &self,
        operation: &str,
        batch: &CommandBatch,
        deadline: Instant,
    ) -> Result<Vec<MetaReply>, StoreFailure> {
        self.run(operation, std::slice::from_ref(batch), deadline).pop().unwrap_or_else(|| Err(timed_out()))
    }

    /// Runs batches for several servers, at most one for each. A server that fails takes at most its share of the time
    /// from the others.
    fn run(
        &self,
        operation: &str,
        batches: &[CommandBatch],
        deadline: Instant,
    ) -> Vec<Result<Vec<MetaReply>, StoreFailure>> {
        let mut replies: Vec<_> = batches.iter().map(|_| Err(timed_out())).collect();
        let mut order: Vec<usize> = (0..batches.len()).collect();
        // Failing servers come last, because connecting to them takes time. Otherwise the order of the servers is kept:
        // two threads that wait for connections must not wait for each other's.
        order.sort_by_key(|&at| self.all[batches[at].server].failures());
        let mut sent = Vec::with_capacity(batches.len());
        for (count, &at) in order.iter().enumerate() {
            let batch = &batches[at];
            // With several servers one share of the time is for reading replies.
            let until = share(deadline, if batches.len() == 1 { 1 } else { batches.len() - count + 1 });
            match self.send(batch, until) {
                Ok(connection) => sent.push(SentBatch { at, batch, connection }),
                Err(failure) => replies[at] = Err(failure),
            }
        }
        while !sent.is_empty() {
            let first = first_with_reply(&mut sent, deadline);
            let next = sent.swap_remove(first);
            let at = next.at;
            replies[at] = next.receive(share(deadline, sent.len() + 1));
            self.record(batches[at].server, replies[at].as_ref().err());
        }
        for (reply, batch) in replies.iter_mut().zip(batches) {
            if let Err(failure) = reply {
                let name = &self.all[batch.server].address.name;
                failure.message = format!("cannot {operation} memcached {name}: {}", failure.message);
            }
        }
        replies
    }

    fn send(&self, batch: &CommandBatch, deadline: Instant) -> Result<ServerConnection<'_>, StoreFailure> {
        let server = &self.all[batch.server];
        // With a single server, the breaker of the shared tier decides.
        if self.all.len() > 1 && !server.is_admitted() {
            return Err(StoreFailure::new(FailureKind::Unreachable, "it failed a moment ago"));
        }
        let sent = server.send(&batch.payload, self.pool_size, deadline);
        if let Err(failure) = &sent {
            self.record(batch.server, Some(failure));
        }
        sent
    }

    fn record(&self, server: usize, failure: Option<&StoreFailure>) {
        self.all[server].record(failure.map(|failure| failure.kind));
    }
}

impl SentBatch<'_> {
    fn receive(mut self, deadline: Instant) -> Result<Vec<MetaReply>, StoreFailure> {
        let mut replies = Vec::with_capacity(self.batch.keys.len());
        while let Some(key) = self.batch.keys.get(replies.len()) {
            match self.connection.receive(deadline).and_then(parse_meta_result) {
                // If the reply names a key, it must be the key of this command. After a stray reply all later ones
                // would be assigned to the wrong keys, and one fragment would be shown in another's place.
                Ok(reply) if reply.key.as_ref().is_some_and(|named| named != key) => {
                    return Err(StoreFailure::new(FailureKind::InvalidReply, "a reply for another key"));
                }
                Ok(reply) => replies.push(Ok(reply)),
                // The server has read the whole command, so the connection is still in step.
                Err(ProtocolError::Server(message)) => replies.push(Err(message)),
                Err(error) => self = self.send_again_after(protocol_failure(error), replies.is_empty(), deadline)?,
            }
        }
        self.connection.give_back();
        Ok(replies)
    }

    /// Sends the batch again if the server had closed the pooled connection before the first reply.
    fn send_again_after(
        mut self,
        failure: StoreFailure,
        no_reply: bool,
        deadline: Instant,
    ) -> Result<Self, StoreFailure> {
        let was_closed = self.connection.is_reused() && no_reply && failure.kind == FailureKind::Unreachable;
        if !was_closed {
            return Err(failure);
        }
        self.connection = self.connection.send_again(&self.batch.payload, deadline)?;
        Ok(self)
    }
}

/// The position of a batch whose server has replied, so that a silent server does not delay the other replies; the
/// first batch if no server replies by the deadline.
fn first_with_reply(sent: &mut [SentBatch<'_>], deadline: Instant) -> usize {
    if sent.len() == 1 {
        return 0;
    }
    loop {
        for (at, batch) in sent.iter_mut().enumerate() {
            let left = left(deadline);
            if batch.connection.has_reply(left.min(PEEK)) {
                return at;
            }
            if left.is_zero() {
                return 0;
            }
        }
    }
}

/// Gives each position the next reply of its batch.
fn distribute(
    batches: Vec<Result<Vec<MetaReply>, StoreFailure>>,
    batch_of: &[usize],
    replies: &mut [Result<MetaReply, StoreFailure>],
) {
    let mut batches: Vec<_> = batches.into_iter().map(|batch| batch.map(Vec::into_iter)).collect();
    for (&batch, reply) in batch_of.iter().zip(replies) {
        *reply = match &mut batches[batch] {
            Ok(rest) => rest.next().ok_or_else(timed_out),
            Err(failure) => Err(failure.clone()),
        };
    }
}
