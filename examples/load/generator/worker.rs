//! One connection at work: takes turns, takes the steps of visits with them, and records what comes of it.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::check::Wrong;
use super::client::{Answer, Client};
use super::measure::{Live, Record};
use super::schedule::Schedule;
use super::visit::{Visit, World};
use super::visitors::Visitor;

/// Where visits come from.
#[derive(Debug, Clone)]
pub(crate) enum Visits {
    /// These visitors sign in, each once.
    SignIn(Arc<Mutex<VecDeque<Arc<Visitor>>>>),
    /// Anybody does anything.
    Any,
}

/// What all connections share during one part of a run.
#[derive(Debug)]
pub(crate) struct Shift {
    pub(crate) world: Arc<World>,
    pub(crate) schedule: Arc<Schedule>,
    pub(crate) live: Arc<Live>,
    pub(crate) record: Mutex<Record>,
    pub(crate) visits: Visits,
}

/// A connection, with the visits that will go over it.
#[derive(Debug)]
pub(crate) struct Worker {
    client: Client,
    random: StdRng,
    answer: Answer,
}

impl Worker {
    /// The number tells the draws of connections apart.
    pub(crate) fn new(client: Client, seed: u64, number: usize) -> Worker {
        let random = StdRng::seed_from_u64(seed.wrapping_add((number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        Worker { client, random, answer: Answer::default() }
    }

    /// Works until the time is up, or there is nothing left to do. A visit that is under way then is ended in order.
    pub(crate) async fn work(mut self, shift: Arc<Shift>) -> Worker {
        let mut visit: Option<Visit> = None;
        loop {
            let due = match (shift.schedule.turn().await, &visit) {
                (Some(due), _) => due,
                (None, Some(_)) => Instant::now(),
                (None, None) => break,
            };
            let Some(mut current) = visit.take().or_else(|| self.next_visit(&shift)) else { break };
            self.step(&mut current, due, &shift).await;
            visit = (!current.is_done()).then_some(current);
        }
        self
    }

    fn next_visit(&mut self, shift: &Shift) -> Option<Visit> {
        match &shift.visits {
            Visits::Any => Some(shift.world.visit(&mut self.random)),
            Visits::SignIn(waiting) => {
                let visitor = locked(waiting).pop_front()?;
                Some(Visit::sign_in(&visitor))
            }
        }
    }

    /// One request, whose latency counts from when it was due.
    async fn step(&mut self, visit: &mut Visit, due: Instant, shift: &Shift) {
        let Some(turn) = visit.step(&shift.world) else { return };
        let sent = self.client.send(&turn.ask, &mut self.answer).await;
        let (latency, kind, url) = (due.elapsed(), turn.kind, turn.ask.path.clone());
        let checked = match sent {
            Ok(()) => visit.answered(turn, &self.answer, &shift.world),
            Err(failure) => {
                visit.give_up();
                Err(Wrong::error(failure))
            }
        };
        shift.live.requests.fetch_add(1, Ordering::Relaxed);
        let mut record = locked(&shift.record);
        record.latency(kind, latency);
        if let Err(wrong) = checked {
            shift.live.wrong.fetch_add(1, Ordering::Relaxed);
            let visitor = match visit.visitor.signs_in {
                true => visit.visitor.name(),
                false => "somebody who is not signed in".to_owned(),
            };
            record.fault(wrong, &url, visitor);
        }
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
