//! What the network does at the moment, to all connections, and what has passed through it.

use std::net::SocketAddr;
use std::ops::Sub;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::super::STUCK;
use super::link::Link;

#[derive(Clone)]
pub enum Mode {
    Pass,
    Delay(Duration),
    Drip { bytes: usize, every: Duration },
    Freeze,
    Mute,
    Stall,
    Cut,
    Tear(usize),
    Corrupt(Arc<Distortion>),
    Nonsense(Arc<[u8]>),
}

/// Changes a chunk in place.
type Distortion = dyn Fn(&mut [u8]) + Send + Sync;

/// What the listener is to do.
pub enum Door {
    Open,
    Shut,
    Gone,
}

/// What has passed through a proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub connections: u64,
    pub round_trips: u64,
    /// Bytes that clients have sent.
    pub up: u64,
    /// Bytes that the server has sent.
    pub down: u64,
}

impl Sub for Traffic {
    type Output = Traffic;

    fn sub(self, earlier: Traffic) -> Traffic {
        Traffic {
            connections: self.connections - earlier.connections,
            round_trips: self.round_trips - earlier.round_trips,
            up: self.up - earlier.up,
            down: self.down - earlier.down,
        }
    }
}

pub struct Network {
    state: Mutex<State>,
    changed: Condvar,
    pub connections: AtomicU64,
    pub round_trips: AtomicU64,
    pub up: AtomicU64,
    pub down: AtomicU64,
}

struct State {
    mode: Mode,
    /// Tells one switch to a mode from the next switch to the same.
    epoch: u64,
    server: SocketAddr,
    listening: bool,
    ended: bool,
    links: Vec<Weak<Link>>,
    threads: Vec<JoinHandle<()>>,
}

impl Network {
    pub fn new(server: SocketAddr) -> Arc<Network> {
        let state = State {
            mode: Mode::Pass,
            epoch: 0,
            server,
            listening: true,
            ended: false,
            links: Vec::new(),
            threads: Vec::new(),
        };
        Arc::new(Network {
            state: Mutex::new(state),
            changed: Condvar::new(),
            connections: AtomicU64::new(0),
            round_trips: AtomicU64::new(0),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
        })
    }

    pub fn switch(&self, mode: Mode) {
        let mut state = self.lock();
        state.mode = mode;
        state.epoch += 1;
        if let Mode::Cut = state.mode {
            state.close_links();
        }
        self.changed.notify_all();
    }

    pub fn retarget(&self, server: SocketAddr) {
        self.lock().server = server;
    }

    pub fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.close_links();
        self.changed.notify_all();
    }

    /// Waits for the threads of all links, which [`Network::end`] has told to leave.
    pub fn join(&self) {
        loop {
            let threads = std::mem::take(&mut self.lock().threads);
            if threads.is_empty() {
                return;
            }
            for thread in threads {
                let _ = thread.join();
            }
        }
    }

    /// A thread that [`Network::join`] waits for.
    pub fn spawn(&self, work: impl FnOnce() + Send + 'static) {
        let thread = std::thread::spawn(work);
        let mut state = self.lock();
        state.threads.retain(|thread| !thread.is_finished());
        state.threads.push(thread);
    }

    /// Lets a new link in, unless the network was cut in the meantime: says where to, and whether the server is needed.
    pub fn admit(&self, link: &Arc<Link>) -> Option<(SocketAddr, bool)> {
        let mut state = self.lock();
        if state.ended || matches!(state.mode, Mode::Cut) {
            return None;
        }
        state.links.retain(|link| link.strong_count() > 0);
        state.links.push(Arc::downgrade(link));
        Some((state.server, !matches!(state.mode, Mode::Freeze | Mode::Stall | Mode::Nonsense(_))))
    }

    /// Returns when something that was read at this moment is to be handled, and how. [`Mode::Cut`] stands for the end
    /// too.
    pub fn due(&self, read_at: Instant) -> (Mode, u64) {
        let mut state = self.lock();
        loop {
            if state.ended {
                return (Mode::Cut, state.epoch);
            }
            match state.mode {
                Mode::Stall => state = self.changed.wait(state).unwrap(),
                Mode::Delay(by) if read_at.elapsed() < by => {
                    let left = by.saturating_sub(read_at.elapsed());
                    state = self.changed.wait_timeout(state, left).unwrap().0;
                }
                _ => return (state.mode.clone(), state.epoch),
            }
        }
    }

    pub fn mode(&self) -> Mode {
        self.lock().mode.clone()
    }

    /// Waits, but not longer than until the next switch.
    pub fn pause(&self, time: Duration, epoch: u64) {
        let deadline = Instant::now() + time;
        let mut state = self.lock();
        while state.epoch == epoch && !state.ended && Instant::now() < deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    pub fn door(&self) -> Door {
        let state = self.lock();
        match state.mode {
            _ if state.ended => Door::Gone,
            Mode::Cut => Door::Shut,
            _ => Door::Open,
        }
    }

    pub fn wait_while_shut(&self) {
        let shut = |state: &mut State| !state.ended && matches!(state.mode, Mode::Cut);
        drop(self.changed.wait_while(self.lock(), shut).unwrap());
    }

    pub fn set_listening(&self, listening: bool) {
        self.lock().listening = listening;
        self.changed.notify_all();
    }

    #[track_caller]
    pub fn wait_until_listening(&self, listening: bool) {
        let other = |state: &mut State| state.listening != listening;
        let (state, wait) = self.changed.wait_timeout_while(self.lock(), STUCK, other).unwrap();
        drop(state);
        assert!(!wait.timed_out(), "stuck waiting for the proxy's listener");
    }

    pub fn open(&self) -> usize {
        self.lock().links.iter().filter(|link| link.strong_count() > 0).count()
    }

    pub fn traffic(&self) -> Traffic {
        let read = |count: &AtomicU64| count.load(Ordering::SeqCst);
        Traffic {
            connections: read(&self.connections),
            round_trips: read(&self.round_trips),
            up: read(&self.up),
            down: read(&self.down),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn close_links(&mut self) {
        for link in self.links.iter().filter_map(Weak::upgrade) {
            link.close();
        }
    }
}
