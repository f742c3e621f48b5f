//! Questions and answers: commands go to each server in one piece, to all servers before any answer is read.
//!
//! What the commands are is for `memcached.rs` and `log.rs`; which connection carries them for `server.rs`.

use std::time::{Duration, Instant};

use memcache::exp::{Error as Wire, MetaCommand, MetaCommandResult, MetaOp, parse_meta_result};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::server::{Checkout, Connection, Server, timed_out, wire_failure};
use crate::store::pool::Pool;
use crate::store::{FailureKind, StoreFailure, StoreKey};

/// The most that is written before answers are read: with more, a server whose answers are not read yet could stop
/// reading.
const COMMANDS: usize = 512;
const BYTES: usize = 256 * 1024;

/// How long to look at one server before it is the next one's turn.
const GLANCE: Duration = Duration::from_millis(1);

/// Commands for one server.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) server: usize,
    payload: Vec<u8>,
    keys: Vec<Vec<u8>>,
}

/// What one command was answered: a result, or the server's message that it would not.
pub(super) type Reply = Result<MetaCommandResult, String>;

/// The servers, and how many connections each may have.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) all: Vec<Server>,
    pub(super) pool_size: usize,
}

impl Batch {
    pub(super) fn new(server: usize) -> Batch {
        Batch { server, ..Batch::default() }
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

    pub(super) fn is_full(&self) -> bool {
        self.keys.len() >= COMMANDS || self.payload.len() >= BYTES
    }
}

/// A question that is under way.
struct Flight<'a> {
    at: usize,
    batch: &'a Batch,
    checkout: Checkout<'a>,
}

impl Servers {
    /// The server for what has this hash: the one that scores highest with it (rendezvous hashing), so that another
    /// server takes from each only what becomes its own. Independent of the order, and of the Rust version.
    pub(super) fn choose(&self, name: &[u8]) -> usize {
        let score = |server: &Server| xxh3_64_with_seed(name, xxh3_64(server.address.name.as_bytes()));
        (0..self.all.len()).max_by_key(|&at| score(&self.all[at])).unwrap_or_default()
    }

    pub(super) fn pool(&self, server: usize) -> &Pool<Connection> {
        self.all[server].pool(self.pool_size)
    }

    /// Asks about each name, in rounds of what may be written at once. `push` adds the command for the name at a
    /// position.
    pub(super) fn ask_each(
        &self,
        what: &str,
        names: &[StoreKey],
        push: impl Fn(usize, &mut Batch),
        deadline: Instant,
    ) -> Vec<Result<Reply, StoreFailure>> {
        let mut answers = Vec::with_capacity(names.len());
        answers.resize_with(names.len(), || Err(timed_out()));
        let mut batches: Vec<Batch> = Vec::new();
        let mut places: Vec<usize> = Vec::new();
        let mut begin = 0;
        for (at, name) in names.iter().enumerate() {
            let server = self.choose(&name.to_be_bytes());
            let found = batches.iter().position(|batch| batch.server == server);
            let batch = found.unwrap_or_else(|| {
                batches.push(Batch::new(server));
                batches.len() - 1
            });
            places.push(batch);
            push(at, &mut batches[batch]);
            if batches[batch].is_full() || at + 1 == names.len() {
                let replies = self.ask(what, &batches, deadline);
                hand_out(replies, &places, &mut answers[begin..]);
                (batches, begin) = (Vec::new(), at + 1);
                places.clear();
            }
        }
        answers
    }

    /// Asks one server.
    pub(super) fn ask_one(&self, what: &str, batch: &Batch, deadline: Instant) -> Result<Vec<Reply>, StoreFailure> {
        self.ask(what, std::slice::from_ref(batch), deadline).pop().unwrap_or_else(|| Err(timed_out()))
    }

    /// Asks several servers, at most one batch for each. A server that fails costs the others nothing but time, and
    /// of that no more than its share.
    pub(super) fn ask(
        &self,
        what: &str,
        batches: &[Batch],
        deadline: Instant,
    ) -> Vec<Result<Vec<Reply>, StoreFailure>> {
        let mut answers: Vec<_> = batches.iter().map(|_| Err(timed_out())).collect();
        let mut order: Vec<usize> = (0..batches.len()).collect();
        // Connecting to what is down takes time: last. Otherwise in the servers' order, so that two threads that
        // wait for connections do not wait for each other's.
        order.sort_by_key(|&at| self.all[batches[at].server].failures());
        let mut flights = Vec::with_capacity(batches.len());
        for (sent, &at) in order.iter().enumerate() {
            let batch = &batches[at];
            // With several servers one share is for reading answers.
            let until = share(deadline, if batches.len() == 1 { 1 } else { batches.len() - sent + 1 });
            match self.send(batch, until) {
                Ok(checkout) => flights.push(Flight { at, batch, checkout }),
                Err(failure) => answers[at] = Err(failure),
            }
        }
        while !flights.is_empty() {
            let first = first_answered(&mut flights, deadline);
            let flight = flights.swap_remove(first);
            let at = flight.at;
            answers[at] = flight.receive(share(deadline, flights.len() + 1));
            self.note(batches[at].server, answers[at].as_ref().err());
        }
        for (answer, batch) in answers.iter_mut().zip(batches) {
            if let Err(failure) = answer {
                let name = &self.all[batch.server].address.name;
                failure.message = format!("cannot {what} memcached {name}: {}", failure.message);
            }
        }
        answers
    }

    fn send(&self, batch: &Batch, deadline: Instant) -> Result<Checkout<'_>, StoreFailure> {
        let server = &self.all[batch.server];
        // With one server, whoever calls decides whether it is worth asking.
        if self.all.len() > 1 && !server.worth_asking() {
            return Err(StoreFailure::new(FailureKind::Unreachable, "it failed a moment ago"));
        }
        let sent = server.send(&batch.payload, self.pool_size, deadline);
        if let Err(failure) = &sent {
            self.note(batch.server, Some(failure));
        }
        sent
    }

    fn note(&self, server: usize, failure: Option<&StoreFailure>) {
        self.all[server].note(failure.map(|failure| failure.kind));
    }
}

impl Flight<'_> {
    fn receive(mut self, deadline: Instant) -> Result<Vec<Reply>, StoreFailure> {
        let mut replies = Vec::with_capacity(self.batch.keys.len());
        while let Some(key) = self.batch.keys.get(replies.len()) {
            match self.checkout.receive(deadline).and_then(parse_meta_result) {
                // Where the server names the key, it has to be the one asked for: a stray answer would shift all
                // that follow, and show one fragment in another's place.
                Ok(reply) if reply.key.as_ref().is_some_and(|named| named != key) => {
                    return Err(StoreFailure::new(FailureKind::InvalidReply, "an answer for another key"));
                }
                Ok(reply) => replies.push(Ok(reply)),
                // The server has read all of the command, the connection is in step.
                Err(Wire::Server(message)) => replies.push(Err(message)),
                Err(error) => {
                    let failure = wire_failure(error);
                    let stale = self.checkout.is_kept() && replies.is_empty();
                    if !stale || failure.kind != FailureKind::Unreachable {
                        return Err(failure);
                    }
                    self.checkout = self.checkout.send_again(&self.batch.payload, deadline)?;
                }
            }
        }
        self.checkout.give_back();
        Ok(replies)
    }
}

/// Who has answered, so that a silent server does not keep the others' answers waiting; the first if nobody has in
/// time.
fn first_answered(flights: &mut [Flight<'_>], deadline: Instant) -> usize {
    if flights.len() == 1 {
        return 0;
    }
    loop {
        for (at, flight) in flights.iter_mut().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            if flight.checkout.answered(left.min(GLANCE)) {
                return at;
            }
            if left.is_zero() {
                return 0;
            }
        }
    }
}

/// Gives each position the next answer of its batch.
fn hand_out(
    replies: Vec<Result<Vec<Reply>, StoreFailure>>,
    places: &[usize],
    answers: &mut [Result<Reply, StoreFailure>],
) {
    let mut replies: Vec<_> = replies.into_iter().map(|batch| batch.map(Vec::into_iter)).collect();
    for (&batch, answer) in places.iter().zip(answers) {
        *answer = match &mut replies[batch] {
            Ok(rest) => rest.next().ok_or_else(timed_out),
            Err(failure) => Err(failure.clone()),
        };
    }
}

/// When the first of `shares` equal parts of the time left is over.
fn share(deadline: Instant, shares: usize) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / u32::try_from(shares).unwrap_or(u32::MAX)
}
