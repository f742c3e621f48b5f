//! One scenario from its start to its figures: visitors sign in, the caches warm up, and then it is measured.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use super::client::Client;
use super::contents::{Contents, Page};
use super::interrupt::Interrupt;
use super::measure::{Live, Record, Standing};
use super::options::Options;
use super::popularity::Popularity;
use super::progress::Progress;
use super::scenario::{Scenario, Server, Site};
use super::schedule::{Arrivals, Schedule};
use super::summary::Run;
use super::visit::World;
use super::visitors::{Edits, Visitor};
use super::worker::{Shift, Visits, Worker, locked};

/// How long those who sign in may take: as long as it takes.
const DAY: Duration = Duration::from_secs(86400);
/// Points of a plot over time, and what lies between two of them at the least.
const TICKS: u32 = 60;
const SHORTEST_TICK: Duration = Duration::from_millis(100);
/// How often the progress shows.
const GLANCE: Duration = Duration::from_millis(50);

/// What is left of a part of a run.
pub(crate) struct Part {
    pub(crate) record: Record,
    pub(crate) ticks: Vec<Standing>,
    /// How long requests had waited that were due and never sent.
    pub(crate) unsent: Vec<Duration>,
}

/// What is wanted, who wants to know, and whether it is still wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tools<'a> {
    pub(crate) options: &'a Options,
    pub(crate) progress: &'a Progress,
    pub(crate) interrupt: &'a Interrupt,
}

/// Runs a scenario.
pub(crate) fn run(scenario: &Scenario, site: Site, tools: Tools<'_>) -> Result<Run, String> {
    let Tools { options, progress, .. } = tools;
    let mut stage = Stage::set(site, tools)?;
    let day = Instant::now() + DAY;
    let waiting = stage.world.visitors.iter().filter(|visitor| visitor.signs_in).cloned().collect();
    progress.begin(scenario, "visitors sign in", None);
    let signing_in = Schedule::closed(day, 0, Duration::ZERO);
    let arrived = stage.part(signing_in, None, Visits::SignIn(Arc::new(Mutex::new(waiting))))?;
    progress.begin(scenario, "warming up", Some(options.warm_up));
    let warmed = stage.part_of(options.warm_up, 0)?;
    progress.begin(scenario, "measuring", Some(options.seconds));
    let mut measured = stage.part_of(options.seconds, options.at_least)?;
    // What went wrong before is as wrong as what went wrong after.
    for earlier in [&arrived.record, &warmed.record] {
        measured.record.add_faults(earlier);
    }
    Ok(Run::of(scenario, &warmed.ticks, measured))
}

/// A server with its visitors.
struct Stage<'a> {
    server: Server,
    clients: Runtime,
    workers: Vec<Worker>,
    world: Arc<World>,
    live: Arc<Live>,
    tools: Tools<'a>,
}

impl<'a> Stage<'a> {
    fn set(site: Site, tools: Tools<'a>) -> Result<Stage<'a>, String> {
        let options = tools.options;
        let contents = Contents::read(&site.app, options.zipf)?;
        let world = World {
            edits: Edits::new(contents.films()),
            contents,
            visitors: Visitor::all(options.visitors, options.signed_in),
            visitors_by: Popularity::new(options.visitors, options.zipf)?,
            writes: options.writes,
            page: options.page.as_deref().map(Page::at),
        };
        let server = Server::start(site)?;
        // Half the machine, as if they came from elsewhere: their work never waits for the server's, nor this for theirs.
        let half = std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1));
        let clients = Builder::new_multi_thread()
            .worker_threads(half)
            .thread_name("visitors")
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start the visitors: {error}"))?;
        let worker = |number| Ok(Worker::new(Client::new(server.address)?, options.seed, number));
        let workers = (0..options.connections).map(worker).collect::<Result<_, String>>()?;
        let (world, live) = (Arc::new(world), Arc::default());
        Ok(Stage { server, clients, workers, world, live, tools })
    }

    /// So long, in the loop that was asked for.
    fn part_of(&mut self, span: Duration, at_least: u64) -> Result<Part, String> {
        let end = Instant::now() + span;
        let Some(rate) = self.tools.options.rate else {
            return self.part(Schedule::closed(end, at_least, self.tools.options.think), None, Visits::Any);
        };
        let arrivals = Arrivals::new(rate, self.tools.options.seed)?;
        self.part(Schedule::open(end, at_least), Some(arrivals), Visits::Any)
    }

    /// All connections work until it is over.
    fn part(&mut self, schedule: Schedule, arrivals: Option<Arrivals>, visits: Visits) -> Result<Part, String> {
        let schedule = Arc::new(schedule);
        let (world, live) = (Arc::clone(&self.world), Arc::clone(&self.live));
        let record = Mutex::new(Record::new()?);
        let shift = Arc::new(Shift { world, schedule: Arc::clone(&schedule), live, record, visits });
        let mut ticks = vec![self.standing()];
        let spawned = |worker: Worker| self.clients.spawn(worker.work(Arc::clone(&shift)));
        let working: Vec<_> = self.workers.drain(..).map(spawned).collect();
        std::thread::scope(|scope| {
            if let Some(arrivals) = arrivals {
                let (schedule, start) = (&schedule, ticks[0].at);
                scope.spawn(move || schedule.run(start, arrivals));
            }
            while !working.iter().all(JoinHandle::is_finished) {
                std::thread::sleep(GLANCE);
                self.glance(&mut ticks);
                if self.tools.interrupt.is_wanted() {
                    schedule.stop();
                }
            }
        });
        self.last_note(&mut ticks);
        for worker in working {
            self.workers.push(self.clients.block_on(worker).map_err(|error| format!("a visitor failed: {error}"))?);
        }
        let record = std::mem::replace(&mut *locked(&shift.record), Record::new()?);
        self.tools.interrupt.check()?;
        Ok(Part { record, ticks, unsent: schedule.unsent() })
    }

    /// Notes where everything stands, if the last note is old enough, and shows it.
    fn glance(&self, ticks: &mut Vec<Standing>) {
        let now = self.standing();
        self.tools.progress.show(
            now.at - ticks[0].at,
            now.requests - ticks[0].requests,
            self.live.wrong.load(Ordering::Relaxed),
        );
        if now.at - ticks[ticks.len() - 1].at >= self.tick() {
            ticks.push(now);
        }
    }

    /// The end, in place of a note shortly before it: there the last visits ended one by one.
    fn last_note(&self, ticks: &mut Vec<Standing>) {
        let now = self.standing();
        if ticks.len() > 1 && now.at - ticks[ticks.len() - 1].at < self.tick() {
            ticks.pop();
        }
        ticks.push(now);
    }

    fn tick(&self) -> Duration {
        (self.tools.options.seconds / TICKS).max(SHORTEST_TICK)
    }

    fn standing(&self) -> Standing {
        Standing::of(&self.server.site, &self.live)
    }
}
