//! One connection through the proxy: two threads each way, so that what is late does not keep the next from being read.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::network::{Mode, Network};

/// Chunks that may wait each way before the sender is made to wait, as with TCP's own window.
const WINDOW: usize = 64;
const CHUNK: usize = 64 * 1024;

/// How long the server may take to accept.
const CONNECT: Duration = Duration::from_secs(5);

pub struct Link {
    network: Arc<Network>,
    client: TcpStream,
    /// Not set when the server was not there and nothing was to be forwarded.
    server: OnceLock<TcpStream>,
    /// Bytes of it are lost, so that forwarding more would make up a conversation that never was.
    lost: AtomicBool,
    /// The client was the last to send.
    asking: AtomicBool,
    closed: AtomicBool,
    /// What was let through in which epoch of tearing.
    torn: Mutex<(u64, usize)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// What was read at one time; nothing when the sender has no more to say.
struct Chunk {
    bytes: Vec<u8>,
    read_at: Instant,
}

impl Link {
    pub fn open(client: TcpStream, network: &Arc<Network>) {
        network.connections.fetch_add(1, Ordering::SeqCst);
        let link = Arc::new(Link {
            network: network.clone(),
            client,
            server: OnceLock::new(),
            lost: AtomicBool::new(false),
            asking: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            torn: Mutex::new((0, 0)),
        });
        let network = network.clone();
        // Connecting can take long, and the listener has others to accept.
        network.clone().spawn(move || {
            let Some((server, needed)) = network.admit(&link) else { return };
            match TcpStream::connect_timeout(&server, CONNECT) {
                Ok(server) => _ = link.server.set(server),
                Err(_) if needed => return,
                Err(_) => link.lost.store(true, Ordering::SeqCst),
            }
            if link.closed.load(Ordering::SeqCst) {
                // 1. This thread connects. 2. `close` finds no server to shut down. 3. The server is set.
                link.close();
            }
            link.start(Way::Up);
            if link.server.get().is_some() {
                link.start(Way::Down);
            }
        });
    }

    /// Ends all that reads or writes here.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        // It fails for what is closed already.
        let _ = self.client.shutdown(Shutdown::Both);
        if let Some(server) = self.server.get() {
            let _ = server.shutdown(Shutdown::Both);
        }
    }

    fn start(self: &Arc<Link>, way: Way) {
        let (sender, receiver) = sync_channel(WINDOW);
        let (reader, writer) = (self.clone(), self.clone());
        self.network.spawn(move || reader.read(way, &sender));
        self.network.spawn(move || writer.write(way, &receiver));
    }

    fn read(&self, way: Way, queue: &SyncSender<Chunk>) {
        let mut buffer = vec![0; CHUNK];
        let mut source = self.source(way);
        // No delay here: small replies must not wait for an acknowledgement.
        let _ = source.set_nodelay(true);
        loop {
            let length = match source.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // An error ends it too, and says no more to the other side.
                read => read.unwrap_or(0),
            };
            // What is counted in a mode that loses it is lost, even if the next switch is faster than the writer.
            self.loses(way, &self.network.mode());
            self.count(way, length);
            let chunk = Chunk { bytes: buffer[..length].to_vec(), read_at: Instant::now() };
            if queue.send(chunk).is_err() || length == 0 {
                return;
            }
        }
    }

    /// Before it is delivered: who has a reply finds it counted.
    fn count(&self, way: Way, length: usize) {
        if length == 0 {
            return;
        }
        match way {
            Way::Up => {
                self.network.up.fetch_add(length as u64, Ordering::SeqCst);
                if !self.asking.swap(true, Ordering::SeqCst) {
                    self.network.round_trips.fetch_add(1, Ordering::SeqCst);
                }
            }
            Way::Down => {
                self.network.down.fetch_add(length as u64, Ordering::SeqCst);
                self.asking.store(false, Ordering::SeqCst);
            }
        }
    }

    fn write(&self, way: Way, queue: &Receiver<Chunk>) {
        for chunk in queue {
            let (ended, delivered) = match chunk.bytes.is_empty() {
                true => (true, self.finish(way, chunk.read_at)),
                false => (false, self.deliver(way, chunk)),
            };
            if delivered.is_none() {
                self.close();
            }
            if ended || delivered.is_none() {
                return;
            }
        }
    }

    /// `None` when the connection is to be closed.
    fn deliver(&self, way: Way, mut chunk: Chunk) -> Option<()> {
        while !chunk.bytes.is_empty() {
            let (mode, epoch) = self.network.due(chunk.read_at);
            if let Mode::Cut = mode {
                return None;
            }
            if self.loses(way, &mode) {
                return self.answer(way, &mode);
            }
            let mut length = chunk.bytes.len();
            match &mode {
                Mode::Drip { bytes, .. } => length = length.min(*bytes),
                Mode::Tear(after) if way == Way::Down => length = length.min(self.untorn(epoch, *after)),
                Mode::Corrupt(distort) if way == Way::Down => distort(&mut chunk.bytes),
                _ => {}
            }
            self.target(way)?.write_all(&chunk.bytes[..length]).ok()?;
            chunk.bytes.drain(..length);
            match &mode {
                Mode::Drip { every, .. } => self.network.pause(*every, epoch),
                Mode::Tear(after) if way == Way::Down && self.tear(epoch, *after, length) => return None,
                _ => {}
            }
        }
        Some(())
    }

    /// Whether nothing of what was sent arrives.
    fn loses(&self, way: Way, mode: &Mode) -> bool {
        let loses = match mode {
            Mode::Freeze | Mode::Nonsense(_) => true,
            Mode::Mute => way == Way::Down,
            _ => return self.lost.load(Ordering::SeqCst),
        };
        self.lost.fetch_or(loses, Ordering::SeqCst);
        loses
    }

    /// What a client hears instead of the server.
    fn answer(&self, way: Way, mode: &Mode) -> Option<()> {
        if let (Way::Up, Mode::Nonsense(bytes)) = (way, mode) {
            self.asking.store(false, Ordering::SeqCst);
            (&self.client).write_all(bytes).ok()?;
        }
        Some(())
    }

    /// Tells the other side that no more comes. `None` when the connection is to be closed.
    fn finish(&self, way: Way, read_at: Instant) -> Option<()> {
        let (mode, _) = self.network.due(read_at);
        if let Mode::Cut = mode {
            return None;
        }
        match (way, self.loses(way, &mode)) {
            // Nobody is left to notice, and the server must not keep a connection for it.
            (Way::Up, true) => None,
            (Way::Down, true) => Some(()),
            (_, false) => self.target(way)?.shutdown(Shutdown::Write).ok(),
        }
    }

    /// How many bytes the tear still lets through.
    fn untorn(&self, epoch: u64, after: usize) -> usize {
        let (seen, passed) = *self.torn.lock().unwrap();
        if seen == epoch { after.saturating_sub(passed) } else { after }
    }

    /// Whether the tear is reached with these bytes.
    fn tear(&self, epoch: u64, after: usize, length: usize) -> bool {
        let passed = after - self.untorn(epoch, after) + length;
        *self.torn.lock().unwrap() = (epoch, passed);
        passed >= after
    }

    fn source(&self, way: Way) -> &TcpStream {
        match way {
            Way::Up => &self.client,
            Way::Down => self.server.get().expect("a way down starts at a server"),
        }
    }

    fn target(&self, way: Way) -> Option<&TcpStream> {
        match way {
            Way::Up => self.server.get(),
            Way::Down => Some(&self.client),
        }
    }
}
