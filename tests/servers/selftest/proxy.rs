//! The proxy, in front of an echo that stands for a server, and the hole that nothing comes out of.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use crate::servers::{Blackhole, Client, Endpoint, Proxy, Redis, Traffic, wait_for};

/// Long enough that nothing came by then, short enough to wait for it.
const SILENCE: Duration = Duration::from_millis(150);
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends back what it gets.
struct Echo {
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    fn start() -> Echo {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut first = [0];
                // Nothing at all is how it is told to end.
                if stream.read(&mut first).unwrap_or(0) == 0 {
                    return;
                }
                spawn(move || {
                    let _ = stream.write_all(&first);
                    let _ = std::io::copy(&mut stream.try_clone().unwrap(), &mut stream);
                });
            }
        });
        Echo { address, thread: Some(thread) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        drop(TcpStream::connect(self.address));
        let _ = self.thread.take().unwrap().join();
    }
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends and returns as many bytes as come back, up to as many.
fn exchange(stream: &mut TcpStream, sent: &[u8]) -> Vec<u8> {
    stream.write_all(sent).unwrap();
    receive(stream, sent.len())
}

fn receive(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut received = Vec::new();
    let _ = stream.take(length as u64).read_to_end(&mut received);
    received
}

/// One whole question and answer with Redis.
#[track_caller]
fn ping(stream: &mut TcpStream) {
    stream.write_all(b"PING\r\n").unwrap();
    assert_eq!(receive(stream, 7), b"+PONG\r\n");
}

fn client(proxy: &Proxy) -> Client {
    Client::connect(&Endpoint::Tcp(proxy.address()), PATIENCE).unwrap()
}

fn is_silent(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    let heard = hear(stream);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    matches!(heard, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

/// The client sees the end of the connection, in one way or the other.
fn is_closed(stream: &mut TcpStream) -> bool {
    match hear(stream) {
        Ok(length) => length == 0,
        Err(kind) => !matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

/// A read with a timeout does not go on by itself after a signal, and SIGCHLD can come with any server that ends.
fn hear(stream: &mut TcpStream) -> Result<usize, ErrorKind> {
    loop {
        match stream.read(&mut [0]).map_err(|error| error.kind()) {
            Err(ErrorKind::Interrupted) => {}
            heard => return heard,
        }
    }
}

#[test]
fn passes_and_counts() {
    let echo = Echo::start();
    let proxy = Proxy::to(echo.address);
    let mut stream = connect(&proxy);
    assert_eq!(exchange(&mut stream, b"hello"), b"hello");
    let before = proxy.traffic();
    assert_eq!(before, Traffic { connections: 1, round_trips: 1, up: 5, down: 5 });
    let large = vec![7; 3_000_000];
    let mut writer = stream.try_clone().unwrap();
    let sent = large.clone();
    let sender = spawn(move || writer.write_all(&sent).unwrap());
    assert_eq!(receive(&mut stream, large.len()), large);
    sender.join().unwrap();
    assert_eq!((proxy.traffic() - before).down, 3_000_000);
    drop(stream);
    wait_for("the link to end", || proxy.open() == 0);
}

#[test]
fn counts_the_round_trips_of_pipelines() {
    let redis = Redis::start();
    let proxy = Proxy::to(redis.address());
    let mut client = client(&proxy);
    for _ in 0..3 {
        client.run("PING").unwrap().ok();
    }
    assert_eq!((proxy.round_trips(), proxy.connections()), (3, 1));
    let mut stream = connect(&proxy);
    assert_eq!(exchange(&mut stream, b"PING\r\nPING\r\n")[..2], *b"+P");
    assert_eq!(proxy.round_trips(), 4);
}

#[test]
fn half_closed_connection_still_answers() {
    let echo = Echo::start();
    let proxy = Proxy::to(echo.address);
    let mut stream = connect(&proxy);
    stream.write_all(b"last words").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(receive(&mut stream, 100), b"last words");
}

#[test]
fn delays_both_ways() {
    let echo = Echo::start();
    let proxy = Proxy::to(echo.address);
    let mut stream = connect(&proxy);
    proxy.delay(Duration::from_millis(60));
    let start = Instant::now();
    assert_eq!(exchange(&mut stream, b"hello"), b"hello");
    assert!(start.elapsed() >= Duration::from_millis(120));
    proxy.delay(Duration::from_secs(3600));
    stream.write_all(b"late").unwrap();
    assert!(is_silent(&mut stream));
    proxy.heal();
    assert_eq!(receive(&mut stream, 4), b"late");
}

#[test]
fn drips() {
    let echo = Echo::start();
    let proxy = Proxy::to(echo.address);
    let mut stream = connect(&proxy);
    proxy.drip(1, Duration::from_millis(20));
    let start = Instant::now();
    assert_eq!(exchange(&mut stream, b"drops"), b"drops");
    assert!(start.elapsed() >= Duration::from_millis(80));
    proxy.drip(1, Duration::from_secs(3600));
    assert_eq!(exchange(&mut stream, b"x"), b"x");
    proxy.heal();
    assert_eq!(exchange(&mut stream, b"fast"), b"fast");
}

#[test]
fn frozen_connection_stays_silent_and_an_idle_one_recovers() {
    let redis = Redis::start();
    let proxy = Proxy::to(redis.address());
    let (mut used, mut idle) = (connect(&proxy), connect(&proxy));
    for stream in [&mut used, &mut idle] {
        ping(stream);
    }
    proxy.freeze();
    used.write_all(b"PING\r\n").unwrap();
    let mut late = connect(&proxy);
    late.write_all(b"PING\r\n").unwrap();
    wait_for("both to be lost", || proxy.traffic().up == 4 * 6);
    assert!(is_silent(&mut used) && is_silent(&mut late));
    proxy.heal();
    used.write_all(b"PING\r\n").unwrap();
    assert!(is_silent(&mut used) && is_silent(&mut late));
    ping(&mut idle);
    ping(&mut connect(&proxy));
}

#[test]
fn frozen_connection_does_not_hear_that_the_server_died() {
    let redis = Redis::start();
    let proxy = Proxy::to(redis.address());
    let mut stream = connect(&proxy);
    ping(&mut stream);
    proxy.freeze();
    redis.kill9();
    stream.write_all(b"PING\r\n").unwrap();
    assert!(is_silent(&mut stream) && is_silent(&mut connect(&proxy)));
}

#[test]
fn muted_server_does_what_nobody_hears_of() {
    let redis = Redis::start();
    let proxy = Proxy::to(redis.address());
    let (mut used, mut idle) = (connect(&proxy), connect(&proxy));
    ping(&mut used);
    ping(&mut idle);
    proxy.mute();
    used.write_all(b"INCR a\r\n").unwrap();
    wait_for("the answer to be lost", || proxy.traffic().down == 2 * 7 + 4);
    assert_eq!(redis.run("GET a").text(), "1");
    assert!(is_silent(&mut used));
    proxy.heal();
    used.write_all(b"PING\r\n").unwrap();
    assert!(is_silent(&mut used));
    ping(&mut idle);
}

#[test]
fn stalled_answers_arrive_afterwards() {
    let echo = Echo::start();
    let proxy = Proxy::to(echo.address);
    let mut stream = connect(&proxy);
    assert_eq!(exchange(&mut stream, b"now"), b"now");
    proxy.stall();
    stream.write_all(b"later").unwrap();
    assert!(is_silent(&mut stream));
    proxy.heal();
    assert_eq!(receive(&mut stream, 5), b"later");
}

#[test]
fn cut_closes_and_refuses_until_healed() {
    let echo = Echo::start();
    let proxy = Proxy::to(echo.address);
    for _ in 0..3 {
        let mut stream = connect(&proxy);
        assert_eq!(exchange(&mut stream, b"hello"), b"hello");
        proxy.cut();
        assert!(is_closed(&mut stream));
        assert_eq!(TcpStream::connect(proxy.address()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        proxy.cut();
        proxy.heal();
    }
    assert_eq!(proxy.connections(), 3);
}

#[test]
fn tears_in_the_middle_of_an_answer() {
    let echo = Echo::start();
    let proxy = Proxy::to(echo.address);
    for _ in 0..2 {
        proxy.tear(7);
        let mut stream = connect(&proxy);
        assert_eq!(exchange(&mut stream, b"hello"), b"hello");
        assert_eq!(exchange(&mut stream, b"hello"), b"he");
        assert!(is_closed(&mut stream));
    }
}

#[test]
fn corrupts_what_the_server_says() {
    let echo = Echo::start();
    let proxy = Proxy::to(echo.address);
    let mut stream = connect(&proxy);
    proxy.corrupt();
    let received = exchange(&mut stream, &[0; 64]);
    assert_eq!(received.len(), 64);
    assert_ne!(received, [0; 64]);
    proxy.corrupt_with(|bytes| bytes.fill(b'x'));
    assert_eq!(exchange(&mut stream, b"hello"), b"xxxxx");
    proxy.heal();
    assert_eq!(exchange(&mut stream, b"hello"), b"hello");
}

#[test]
fn talks_nonsense_to_old_and_new_connections() {
    let redis = Redis::start();
    let proxy = Proxy::to(redis.address());
    let mut stream = connect(&proxy);
    ping(&mut stream);
    let before = redis.commands_processed();
    proxy.nonsense();
    assert_eq!(exchange(&mut stream, b"PING\r\n"), b"HTTP/1");
    let kind = client(&proxy).run("PING").unwrap_err().kind();
    assert_eq!(kind, ErrorKind::InvalidData);
    assert_eq!(redis.commands_processed(), before);
    proxy.nonsense_with(&[0xff, 0]);
    redis.kill9();
    assert_eq!(exchange(&mut connect(&proxy), b"??"), [0xff, 0]);
}

#[test]
fn connects_elsewhere_after_a_retarget() {
    let (first, second) = (Redis::start(), Redis::start());
    second.run("SET a 2").ok();
    let proxy = Proxy::to(first.address());
    proxy.retarget(second.address());
    assert_eq!(client(&proxy).run("GET a").unwrap().text(), "2");
}

#[test]
fn closes_what_the_server_does_not_accept() {
    let redis = Redis::start();
    let proxy = Proxy::to(redis.address());
    redis.stop();
    assert!(is_closed(&mut connect(&proxy)));
    redis.restart();
    ping(&mut connect(&proxy));
}

#[test]
fn dropped_proxy_leaves_no_thread_and_no_port() {
    let redis = Redis::start();
    let modes: [fn(&Proxy); 6] = [
        Proxy::pass,
        Proxy::freeze,
        Proxy::stall,
        Proxy::cut,
        |proxy| proxy.delay(Duration::from_secs(3600)),
        |proxy| proxy.drip(1, Duration::from_secs(3600)),
    ];
    for mode in modes {
        let proxy = Proxy::to(redis.address());
        let address = proxy.address();
        let mut stream = connect(&proxy);
        ping(&mut stream);
        mode(&proxy);
        let _ = stream.write_all(b"PING\r\nPING\r\n");
        // It waits for the threads it has started.
        drop(proxy);
        assert!(TcpStream::connect(address).is_err());
    }
}

#[test]
fn nobody_gets_into_a_black_hole() {
    let hole = Blackhole::open();
    let error = TcpStream::connect_timeout(&hole.address(), SILENCE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}
