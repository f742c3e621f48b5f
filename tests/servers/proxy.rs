//! A TCP proxy that is a bad network: what it does to the bytes can be switched while connections are open.
//!
//! Here are the controls and the listener; `network` owns what is switched and counted, `link` what becomes of one
//! connection.

mod link;
mod network;

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use link::Link;
use network::{Door, Mode, Network};

pub use network::Traffic;

use super::{STUCK, ports};

pub struct Proxy {
    network: Arc<Network>,
    address: SocketAddr,
    listener: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Forwards a free loopback port to this server, which need not run yet.
    pub fn to(server: SocketAddr) -> Proxy {
        let deadline = Instant::now() + STUCK;
        let listener = loop {
            match TcpListener::bind(ports::loopback(ports::free())) {
                Ok(listener) => break listener,
                Err(error) => assert!(Instant::now() < deadline, "no port for a proxy: {error}"),
            }
        };
        let address = listener.local_addr().unwrap();
        let network = Network::new(server);
        let shared = network.clone();
        let listener = Some(std::thread::spawn(move || listen(&shared, listener, address)));
        Proxy { network, address, listener }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// New connections go to this server; the open ones stay where they are.
    pub fn retarget(&self, server: SocketAddr) {
        self.network.retarget(server);
    }

    /// Forwards at once, as at the start.
    pub fn pass(&self) {
        self.switch(Mode::Pass);
    }

    /// The same as [`Proxy::pass`], where a test reads better with it. Connections that lost bytes stay silent, those
    /// that [`Proxy::stall`] held back deliver.
    pub fn heal(&self) {
        self.pass();
    }

    /// Delivers everything this much later, in both directions: a round trip takes twice as long. It is latency and no
    /// limit on throughput.
    pub fn delay(&self, by: Duration) {
        self.switch(Mode::Delay(by));
    }

    /// Delivers this many bytes at a time with this pause in between, in both directions.
    pub fn drip(&self, bytes: usize, every: Duration) {
        assert!(bytes > 0, "a drip has at least one byte");
        self.switch(Mode::Drip { bytes, every });
    }

    /// Accepts connections and bytes and loses them, without RST or FIN, even if the server leaves. A connection that
    /// lost bytes stays silent afterwards, one that was idle works again. What [`Traffic::up`] counts is lost; the next
    /// switch can be faster than what is still on its way.
    pub fn freeze(&self) {
        self.switch(Mode::Freeze);
    }

    /// Forwards what clients send and loses the answers: the server does what nobody hears of. Such a connection stays
    /// silent afterwards too.
    pub fn mute(&self) {
        self.switch(Mode::Mute);
    }

    /// Holds everything back until the next switch and delivers it then: the answers a client has given up on arrive.
    pub fn stall(&self) {
        self.switch(Mode::Stall);
    }

    /// Closes all connections and refuses new ones.
    pub fn cut(&self) {
        self.switch(Mode::Cut);
    }

    /// Closes each connection after this many more bytes from the server, in the middle of a reply.
    pub fn tear(&self, after: usize) {
        self.switch(Mode::Tear(after));
    }

    /// Flips one bit in every 16th byte from the server, and in the last one of each chunk.
    pub fn corrupt(&self) {
        self.corrupt_with(|bytes| {
            for byte in bytes.iter_mut().step_by(16) {
                *byte ^= 0x10;
            }
            if let [_, .., last] = bytes {
                *last ^= 0x04;
            }
        });
    }

    /// Lets `distort` change the bytes from the server, a chunk as it arrives at a time: small replies are one.
    pub fn corrupt_with(&self, distort: impl Fn(&mut [u8]) + Send + Sync + 'static) {
        self.switch(Mode::Corrupt(Arc::new(distort)));
    }

    /// Answers every request with an HTTP response, as when another service got the port.
    pub fn nonsense(&self) {
        self.nonsense_with(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 5\r\nConnection: close\r\n\r\nwhat?");
    }

    /// Answers everything the client sends with these bytes. The server sees nothing of it.
    pub fn nonsense_with(&self, answer: &[u8]) {
        self.switch(Mode::Nonsense(answer.into()));
    }

    /// Everything counted since the start; subtract an earlier one to know what something took.
    pub fn traffic(&self) -> Traffic {
        self.network.traffic()
    }

    /// Connections accepted since the start.
    pub fn connections(&self) -> u64 {
        self.traffic().connections
    }

    /// How often a client began to send and had received something, or nothing yet, before.
    pub fn round_trips(&self) -> u64 {
        self.traffic().round_trips
    }

    /// Connections open at the moment.
    pub fn open(&self) -> usize {
        self.network.open()
    }

    /// Returns when the switch holds for old and new connections.
    fn switch(&self, mode: Mode) {
        let listens = !matches!(mode, Mode::Cut);
        self.network.switch(mode);
        if !listens {
            wake(self.address);
        }
        self.network.wait_until_listening(listens);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.network.end();
        wake(self.address);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        self.network.join();
    }
}

/// Accepts while the door is open. There is no listener while it is shut: only that refuses connections.
fn listen(network: &Arc<Network>, mut listener: TcpListener, address: SocketAddr) {
    loop {
        let client = listener.accept();
        match network.door() {
            Door::Open => match client {
                Ok((client, _)) => Link::open(client, network),
                // No file descriptors, for one: others have to close some first.
                Err(_) => sleep(Duration::from_millis(10)),
            },
            Door::Shut => {
                drop(client);
                close(listener);
                network.set_listening(false);
                network.wait_while_shut();
                let Some(again) = listen_again(network, address) else { return };
                listener = again;
                network.set_listening(true);
            }
            Door::Gone => return close(listener),
        }
    }
}

/// Stops listening also where dropping would not: a child that another thread has forked and that has not executed its
/// program yet holds the socket too, and the kernel would go on accepting.
fn close(listener: TcpListener) {
    // It fails where only connections can be shut down, and dropping has to do.
    let _ = TcpStream::from(OwnedFd::from(listener)).shutdown(Shutdown::Both);
}

/// `None` when there is nobody to listen for.
fn listen_again(network: &Network, address: SocketAddr) -> Option<TcpListener> {
    loop {
        if let Door::Gone = network.door() {
            return None;
        }
        match TcpListener::bind(address) {
            Ok(listener) => return Some(listener),
            // Somebody looks for a free port at this moment.
            Err(_) => sleep(Duration::from_millis(5)),
        }
    }
}

/// Ends a blocked `accept`. Nobody listens when it fails, and then none is blocked.
fn wake(address: SocketAddr) {
    let _ = TcpStream::connect_timeout(&address, Duration::from_secs(1));
}
