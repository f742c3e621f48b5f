//! Which server is the master: as the sentinels say, who are asked again before each question about invalidations.
//!
//! A master that was replaced may not know it yet, and goes on answering:
//!
//! 1. The sentinels make M2 the master; M1 still calls itself one.
//! 2. Node A learns of it, and tells M2 what it invalidates.
//! 3. Node B asks M1 what is new. Nothing is: B believes what it has for another staleness bound, again and again.
//!
//! Therefore B asks the sentinels first. What A told M2 before that is in force here when the bound has passed.

use std::time::{Duration, Instant};

use redis::{ConnectionInfo, Value};

use super::link::{self, Link};
use super::target;
use super::tls::Trust;
use super::topology::share;
use crate::store::{FailureKind, StoreFailure};
use crate::sync::{Mutex, lock};

/// A sentinel that did not answer is not asked again for so long, if another one answers.
const REST: Duration = Duration::from_secs(1);

type Node = (String, u16);

#[derive(Debug)]
pub(super) struct Sentinels {
    pub(super) infos: Vec<ConnectionInfo>,
    pub(super) name: String,
    voices: Mutex<Vec<Voice>>,
    master: Mutex<Option<Node>>,
}

/// What is kept of one sentinel.
#[derive(Default)]
struct Voice {
    link: Option<Link>,
    failed: Option<Instant>,
}

impl Sentinels {
    pub(super) fn new(infos: Vec<ConnectionInfo>, name: &str) -> Sentinels {
        let voices = infos.iter().map(|_| Voice::default()).collect();
        Sentinels { infos, name: name.to_owned(), voices: Mutex::new(voices), master: Mutex::default() }
    }

    /// Connects to the master that was named last. A sentinel may be behind: only a server that calls itself master is
    /// taken (the guidelines for Sentinel clients, steps 2 and 3).
    pub(super) fn connect(&self, trust: &Trust, deadline: Instant) -> Result<Link, StoreFailure> {
        let known = lock(&self.master).clone();
        let (host, port) = match known {
            Some(node) => node,
            None => self.newest(trust, share(deadline, 2))?,
        };
        let login = self.infos.first().ok_or_else(none_named)?;
        connect_master(&target::moved(login, host, port), trust, deadline)
    }

    /// Asks the sentinels for the master; whether it is another one than before.
    pub(super) fn ask(&self, trust: &Trust, deadline: Instant) -> Result<bool, StoreFailure> {
        let newest = self.newest(trust, deadline)?;
        let before = lock(&self.master).replace(newest.clone());
        Ok(before.is_some_and(|before| before != newest))
    }

    /// Of what the sentinels say that answer, what was decided last: they learn of a failover one after the other.
    fn newest(&self, trust: &Trust, deadline: Instant) -> Result<Node, StoreFailure> {
        let mut voices = lock(&self.voices);
        let (resting, awake): (Vec<_>, Vec<_>) =
            voices.iter_mut().zip(&self.infos).partition(|(voice, _)| voice.rests());
        let (mut newest, mut failure) = (None, none_named());
        for group in [awake, resting] {
            let count = group.len();
            for (index, (voice, info)) in group.into_iter().enumerate() {
                match voice.ask(info, &self.name, trust, share(deadline, count - index)) {
                    Ok(answer) if newest.as_ref().is_none_or(|(epoch, _)| answer.0 > *epoch) => newest = Some(answer),
                    Ok(_) => {}
                    Err(failed) => failure = failed,
                }
            }
            if newest.is_some() {
                break;
            }
        }
        newest.map(|(_, node)| node).ok_or(failure)
    }
}

impl Voice {
    fn rests(&self) -> bool {
        self.failed.is_some_and(|failed| failed.elapsed() < REST)
    }

    /// The master, and the number of the decision that made it one.
    fn ask(
        &mut self,
        info: &ConnectionInfo,
        name: &str,
        trust: &Trust,
        deadline: Instant,
    ) -> Result<(u64, Node), StoreFailure> {
        let mut kept = self.link.take();
        kept.take_if(|link| !link.is_fit(true));
        let answer = ask(kept, info, name, trust, deadline);
        self.failed = answer.is_err().then(Instant::now);
        let (link, answer) = answer?;
        self.link = Some(link);
        Ok(answer)
    }
}

impl std::fmt::Debug for Voice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Voice").field("failed", &self.failed).finish_non_exhaustive()
    }
}

fn none_named() -> StoreFailure {
    StoreFailure::new(FailureKind::Unreachable, "no sentinel is named")
}

/// A sentinel mostly has no password; the one in the URL, which is the master's, is tried where it asks for one.
fn ask(
    kept: Option<Link>,
    info: &ConnectionInfo,
    name: &str,
    trust: &Trust,
    deadline: Instant,
) -> Result<(Link, (u64, Node)), StoreFailure> {
    let question = ["MASTER", "GET-MASTER-ADDR-BY-NAME"].map(|what| {
        let mut command = redis::cmd("SENTINEL");
        command.arg(what).arg(name);
        command
    });
    let mut link = match kept {
        Some(link) => link,
        None => {
            let open = info.clone().set_redis_settings(redis::RedisConnectionInfo::default());
            Link::connect(&open, trust, deadline)?
        }
    };
    let mut replies = link.run(&question, deadline)?;
    if matches!(replies.last(), Some(Value::ServerError(error)) if error.code() == "NOAUTH") {
        let login = info.redis_settings().clone().set_db(0);
        link = Link::connect(&info.clone().set_redis_settings(login), trust, deadline)?;
        replies = link.run(&question, deadline)?;
    }
    let address = replies.pop();
    let decision = replies.pop().and_then(|properties| decision(&properties)).unwrap_or_default();
    Ok((link, (decision, read_address(address, name)?)))
}

/// The `config-epoch` in a list of names and values. It is asked for before the address, which is as new or newer.
fn decision(properties: &Value) -> Option<u64> {
    let Value::Array(properties) = properties else { return None };
    let mut pairs = properties.chunks(2);
    pairs.find_map(|pair| match pair {
        [Value::BulkString(name), Value::BulkString(value)] if name == b"config-epoch" => {
            std::str::from_utf8(value).ok()?.parse().ok()
        }
        _ => None,
    })
}

fn read_address(reply: Option<Value>, name: &str) -> Result<Node, StoreFailure> {
    match reply {
        Some(Value::Array(address)) => match &address[..] {
            [Value::BulkString(host), Value::BulkString(port)] => {
                let port = std::str::from_utf8(port).ok().and_then(|port| port.parse().ok());
                String::from_utf8(host.clone()).ok().zip(port)
            }
            _ => None,
        }
        .ok_or_else(|| StoreFailure::new(FailureKind::InvalidReply, "the sentinel's answer makes no sense")),
        Some(Value::Nil) => {
            Err(StoreFailure::new(FailureKind::Refused, format!("the sentinel knows no master named `{name}`")))
        }
        Some(Value::ServerError(error)) => Err(link::refused(&error)),
        _ => Err(StoreFailure::new(FailureKind::InvalidReply, "the sentinel's answer makes no sense")),
    }
}

fn connect_master(info: &ConnectionInfo, trust: &Trust, deadline: Instant) -> Result<Link, StoreFailure> {
    let mut link = Link::connect(info, trust, deadline)?;
    let reply = link.run([&redis::cmd("ROLE")], deadline)?.pop();
    match reply {
        Some(Value::Array(role)) if matches!(role.first(), Some(Value::BulkString(name)) if name == b"master") => {
            Ok(link)
        }
        Some(Value::ServerError(error)) => Err(link::refused(&error)),
        _ => Err(StoreFailure::new(FailureKind::Unreachable, format!("{} is not the master any more", info.addr()))),
    }
}
