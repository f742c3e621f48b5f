//! Nodes under load, a writer that changes what they show, and the judgement of what readers were given.
//!
//! What is judged, for a version that was written and then invalidated:
//!
//! 1. The node that invalidated it gives no older one to a reader who comes after the call returned.
//! 2. No other node gives an older one to a reader who comes later than the bound after the store had it.
//! 3. A node that is cut off gives no older one to a reader who comes later than the bound after it was written, or after
//!    the node was cut off if that was later: whether the store was told or not.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::{self, Node, Told};
use crate::report::{Moment, Report, Run, now};
use crate::servers::wait_for;

/// The nodes' bound: short, so that a trouble of a second is one of several bounds.
pub const BOUND: Duration = Duration::from_millis(400);
pub const BUDGET: Duration = Duration::from_millis(20);
/// How long the writer waits for a confirmation.
const PATIENCE: Duration = Duration::from_millis(250);

/// What clocks may be apart: theirs is the coarse one, which they allow for themselves.
const SLACK: Duration = Duration::from_millis(10);

/// A page may wait for the budget. Where two cores run three nodes, a server, a proxy and other tests, a thread that
/// could run again may wait for its turn meanwhile: that is no fault of the cache, which a stalled page would exceed by
/// far, since the limits that could wrongly take the budget's place are half a second and more.
const LONGEST: Duration = Duration::from_millis(20 + 430);
/// And most of them do not wait at all, or not much longer than the budget.
const USUAL: Duration = Duration::from_millis(20 + 80);

/// How soon after a trouble all nodes have to share again: the longest pause of the breaker, and the connecting.
const RECOVERED: Duration = Duration::from_secs(8);

pub const KEYS: usize = 8;

pub struct Scene {
    data: TempDir,
    nodes: Mutex<Vec<Arc<Node>>>,
    /// Who may invalidate: not one that is stopped.
    writers: Mutex<Vec<usize>>,
    changes: Mutex<Vec<Change>>,
    cuts: Mutex<Vec<Cut>>,
    probes: AtomicUsize,
}

/// A version that was written and invalidated.
#[derive(Debug, Clone, Copy)]
struct Change {
    key: usize,
    version: u64,
    written: Moment,
    by: usize,
    /// When the invalidation returned, and when the store had it, as far as is known.
    returned: Moment,
    told: Option<Moment>,
}

/// A time during which nodes are out of touch with the store.
#[derive(Debug)]
struct Cut {
    nodes: Vec<usize>,
    from: Moment,
    to: Moment,
}

/// Ends the writer, however the scene ends.
struct Curtain<'a>(&'a AtomicBool);

impl Drop for Curtain<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Three nodes on one store, the last of them without memory, so that each of its pages asks the store.
pub fn play(store: &str, trouble: impl FnOnce(&Scene)) {
    play_on(&[store, store, store], trouble);
}

/// Nodes on these stores, in calm, in trouble, and in calm again. Panics unless all is as promised.
pub fn play_on(stores: &[&str], trouble: impl FnOnce(&Scene)) {
    let scene = Scene {
        data: tempfile::tempdir().unwrap(),
        nodes: Mutex::default(),
        writers: Mutex::new((0..stores.len()).collect()),
        changes: Mutex::default(),
        cuts: Mutex::default(),
        probes: AtomicUsize::new(0),
    };
    (0..KEYS).for_each(|key| scene.write(&format!("k{key}"), 0));
    for (index, store) in stores.iter().enumerate() {
        scene.add(store, index + 1 < stores.len());
    }
    let stop = AtomicBool::new(false);
    let (mut trouble_began, mut trouble_ended) = (0, 0);
    let recovered = thread::scope(|threads| {
        let curtain = Curtain(&stop);
        let writer = threads.spawn(|| scene.change_until(&stop));
        scene.share();
        trouble_began = now();
        trouble(&scene);
        trouble_ended = now();
        let recovered = scene.share();
        drop(curtain);
        writer.join().unwrap();
        recovered
    });
    scene.settle();
    let verdict = scene.judge(trouble_began, trouble_ended);
    println!("{verdict}, shared again after {} ms", recovered.as_millis());
    assert!(verdict.faults.is_empty(), "{verdict}\n{}", verdict.faults.join("\n"));
    assert!(recovered < RECOVERED, "shared again only after {recovered:?}");
}

impl Scene {
    pub fn node(&self, index: usize) -> Arc<Node> {
        Arc::clone(&self.nodes.lock().unwrap()[index])
    }

    /// One node more, under load.
    pub fn add(&self, store: &str, memory: bool) -> usize {
        let mut nodes = self.nodes.lock().unwrap();
        let index = nodes.len();
        let millis = |span: Duration| span.as_millis().to_string();
        let memory = if memory { "on" } else { "off" };
        let (bound, budget, patience) = (millis(BOUND), millis(BUDGET), millis(PATIENCE));
        let folder = self.data.path().to_str().unwrap();
        let arguments = [
            ["--store", store],
            ["--data", folder],
            ["--bound", &bound],
            ["--budget", &budget],
            ["--patience", &patience],
            ["--memory", memory],
        ];
        let arguments: Vec<String> = arguments.iter().flatten().map(ToString::to_string).collect();
        let node = Node::start(&arguments, &self.data.path().join(format!("node-{index}.log")));
        node.ask(&format!("load 2 {KEYS} 2000"));
        nodes.push(Arc::new(node));
        index
    }

    /// Lets only these nodes invalidate from now on.
    pub fn only_writers(&self, nodes: &[usize]) {
        *self.writers.lock().unwrap() = nodes.to_vec();
    }

    /// Does something that cuts these nodes off from the store, for a while, and undoes it.
    pub fn cut_off(&self, nodes: &[usize], span: Duration, begin: impl FnOnce(), end: impl FnOnce()) {
        begin();
        let from = now();
        thread::sleep(span);
        let to = now();
        self.cuts.lock().unwrap().push(Cut { nodes: nodes.to_vec(), from, to });
        for index in nodes {
            let node = self.node(*index);
            assert!(node.is_gone() || !node.in_touch(), "node {index} should be out of touch");
        }
        end();
    }

    fn write(&self, key: &str, version: u64) {
        process::write(self.data.path(), key, version);
    }

    fn change_until(&self, stop: &AtomicBool) {
        for round in 0.. {
            if stop.load(Ordering::SeqCst) {
                return;
            }
            let (key, version) = (round % KEYS, (round / KEYS) as u64 + 1);
            self.write(&format!("k{key}"), version);
            let written = now();
            let (by, node) = {
                let writers = self.writers.lock().unwrap();
                let by = writers[(round / KEYS) % writers.len()];
                (by, self.node(by))
            };
            // One that was killed has invalidated nothing: the next version has to do.
            if let Some(Told { returned, told, .. }) = node.invalidate(&format!("invalidate-tag k{key} wait")) {
                self.changes.lock().unwrap().push(Change { key, version, written, by, returned, told });
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until each node has got from the store what another one computed. How long that took.
    fn share(&self) -> Duration {
        let start = Instant::now();
        let nodes = self.nodes.lock().unwrap().clone();
        let nodes: Vec<_> = nodes.iter().filter(|node| !node.is_gone()).collect();
        for (index, to) in nodes.iter().enumerate() {
            let from = nodes[(index + 1) % nodes.len()];
            wait_for("what one node computes to be found by another", || {
                let probe = format!("probe{}", self.probes.fetch_add(1, Ordering::SeqCst));
                self.write(&probe, 7);
                assert_eq!(from.get(&probe), (7, true));
                from.ask("flush 100");
                let (version, loaded) = to.get(&probe);
                assert_eq!(version, 7);
                !loaded
            });
        }
        start.elapsed()
    }

    /// Waits until the store knows all invalidations, and gives readers the time to show what they should not see.
    fn settle(&self) {
        for (index, node) in self.nodes.lock().unwrap().iter().enumerate().filter(|(_, node)| !node.is_gone()) {
            assert_eq!(node.ask("flush 30000"), "flushed true", "node {index}: {}", node.log());
            let told = now();
            let mut changes = self.changes.lock().unwrap();
            changes
                .iter_mut()
                .filter(|change| change.by == index)
                .for_each(|change| _ = change.told.get_or_insert(told));
        }
        thread::sleep(BOUND + SLACK + Duration::from_millis(100));
    }

    fn judge(&self, from: Moment, to: Moment) -> Verdict {
        let nodes = self.nodes.lock().unwrap().clone();
        let mut verdict = Verdict { changes: self.changes.lock().unwrap().len(), ..Verdict::default() };
        for (index, node) in nodes.iter().enumerate().filter(|(_, node)| !node.is_gone()) {
            let report: Report = serde_json::from_str(&node.ask(&format!("stop {from} {to}"))).unwrap();
            verdict.pages += report.pages;
            let mut faults = self.stale_reads(index, &report.runs, &mut verdict.behind);
            if report.failed > 0 {
                faults.push(format!("{} pages failed: {:?}", report.failed, report.failures));
            }
            let times = report.troubled;
            verdict.times.push(times.to_string());
            if times.max > LONGEST.as_micros() as u64 || times.p99 > USUAL.as_micros() as u64 {
                faults.push(format!("pages took too long: {times}"));
            }
            if times.count == 0 {
                faults.push("no pages in the time of the trouble".into());
            }
            verdict.stats.push(node.ask("stats"));
            if !faults.is_empty() {
                faults.push(format!("its messages:\n{}", node.log()));
            }
            verdict.faults.extend(faults.into_iter().map(|fault| format!("node {index}: {fault}")));
        }
        verdict
    }

    /// What a node gave that it should not have; `behind` is how far the others were at the most, in nanoseconds.
    fn stale_reads(&self, node: usize, runs: &[Run], behind: &mut u64) -> Vec<String> {
        let mut changes: HashMap<usize, Vec<Change>> = HashMap::new();
        for change in self.changes.lock().unwrap().iter() {
            changes.entry(change.key).or_default().push(*change);
        }
        let after = |moment: Moment| moment + nanos(BOUND + SLACK);
        let cuts = self.cuts.lock().unwrap();
        let cuts: Vec<&Cut> = cuts.iter().filter(|cut| cut.nodes.contains(&node)).collect();
        let mut faults = Vec::new();
        for run in runs {
            let newer = changes
                .get(&run.key)
                .map_or(&[][..], |all| &all[all.partition_point(|change| change.version <= run.version)..]);
            for change in newer {
                let mut find = |rule: &str, from: Moment, to: Moment| {
                    if let Some(read) = [run.last, run.first].into_iter().find(|read| (from..to).contains(read)) {
                        let late = Duration::from_nanos(read - from);
                        faults.push(format!("{rule}: {late:?} too late it gave {run:?}, but {change:?}"));
                    }
                };
                if change.by == node {
                    find("not in force where it was invalidated", change.returned + 1, Moment::MAX);
                } else if let Some(told) = change.told {
                    *behind = (*behind).max(run.last.saturating_sub(told));
                    find("stale beyond the bound", after(told), Moment::MAX);
                }
                for cut in &cuts {
                    find("out of touch and older than the bound", after(change.written.max(cut.from)), cut.to);
                }
            }
        }
        faults.truncate(5);
        faults
    }
}

#[derive(Default)]
struct Verdict {
    changes: usize,
    pages: u64,
    /// How long after the store had an invalidation a node still gave what was older.
    behind: u64,
    times: Vec<String>,
    stats: Vec<String>,
    faults: Vec<String>,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let behind = Duration::from_nanos(self.behind).as_millis();
        write!(f, "{} pages, {} changes, at most {behind} ms behind", self.pages, self.changes)?;
        self.times.iter().zip(&self.stats).try_for_each(|(times, stats)| write!(f, "\n  {times}\n    {stats}\n"))
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap()
}
