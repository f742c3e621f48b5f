//! Servers that are down, slow, of another kind, or refuse the login.

use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command as Process;
use std::thread;
use std::time::{Duration, Instant};

use super::super::*;
use super::server::{Server, free_port, impostor, soon, until};
use super::write;

/// Runs every operation within a time. Returns the failures and the longest duration.
fn try_all(store: &RedisStore, within: Duration) -> (Vec<StoreFailure>, Duration) {
    let mut longest = Duration::ZERO;
    let mut timed = |call: &dyn Fn(Instant) -> Result<(), StoreFailure>| {
        let began = Instant::now();
        let result = call(began + within);
        longest = longest.max(began.elapsed());
        result.expect_err("should fail")
    };
    let failures = vec![
        timed(&|deadline| store.read(&[1, 2], deadline).map(drop)),
        timed(&|deadline| store.read_or_lease(1, within, deadline).map(drop)),
        timed(&|deadline| store.write(&[write(1, b"secret"), write(2, b"")], deadline)),
        timed(&|deadline| store.release(1, Lease(1), deadline)),
        timed(&|deadline| store.sync(SyncPosition::default(), &[1], deadline).map(drop)),
    ];
    (failures, longest)
}

#[test]
fn calls_to_a_slow_server_return_by_the_deadline() {
    const WITHIN: Duration = Duration::from_millis(150);
    let drip = |text: &'static [u8]| {
        move |mut stream: TcpStream| {
            stream.set_nodelay(true).unwrap();
            for byte in text.iter().cycle() {
                thread::sleep(Duration::from_millis(5));
                if stream.write_all(&[*byte]).is_err() {
                    return;
                }
            }
        }
    };
    let silent = impostor(|mut stream| {
        thread::sleep(Duration::from_secs(30));
        let _ = stream.read(&mut [0]);
    });
    let backlog = TcpListener::bind("127.0.0.1:0").unwrap();
    let unattended = format!("redis://{}", backlog.local_addr().unwrap());
    let backlog = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = backlog.local_addr().unwrap();
    let full = format!("redis://{address}");
    let _waiting: Vec<_> = std::iter::from_fn(|| TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok())
        .take(10_000)
        .collect();
    let login = |url: &str| url.replace("redis://", "redis://:password@");
    let urls = [
        login(&silent),
        silent,
        impostor(drip(b"$1000000\r\n........")),
        login(&impostor(drip(b"+"))),
        impostor(drip(b"*1000000000\r\n:1\r\n:2\r\n")),
        // The operating system accepts the connection, but no process reads from it.
        unattended,
        full,
        "redis://192.0.2.1:6379".to_owned(),
    ];
    for url in urls {
        let store = RedisStore::connect(&url).unwrap();
        let (failures, longest) = try_all(&store, WITHIN);
        assert!(longest < WITHIN + Duration::from_millis(250), "{url}: {longest:?}");
        for failure in failures {
            assert!(matches!(failure.kind, FailureKind::Timeout | FailureKind::Unreachable), "{url}: {failure:?}");
        }
    }
}

#[test]
fn writing_a_large_value_returns_by_the_deadline() {
    let url = impostor(|stream| {
        thread::sleep(Duration::from_secs(30));
        drop(stream);
    });
    let large = vec![0; 32 << 20];
    let began = Instant::now();
    let failure =
        RedisStore::connect(&url).unwrap().write(&[write(1, &large)], began + Duration::from_millis(200)).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Timeout, "{failure}");
    assert!(began.elapsed() < Duration::from_millis(1000), "{:?}", began.elapsed());
}

#[test]
fn waiting_for_a_connection_returns_by_the_deadline() {
    let server = Server::start(&[]);
    let store = server.store().pool_size(1);
    thread::scope(|scope| {
        scope.spawn(|| {
            server.call("CLIENT PAUSE 1500 ALL");
        });
        thread::sleep(Duration::from_millis(200));
        scope.spawn(|| store.read(&[1], Instant::now() + Duration::from_millis(1000)));
        thread::sleep(Duration::from_millis(200));
        let began = Instant::now();
        let failure = store.read(&[1], began + Duration::from_millis(100)).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Timeout);
        assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    });
    until("works again", Duration::from_secs(5), || store.read(&[1], soon()).is_ok());
}

#[test]
fn a_server_of_another_kind_is_detected() {
    let answer = |text: &'static [u8]| {
        impostor(move |mut stream| {
            let _ = stream.read(&mut [0; 64]).and_then(|_| stream.write_all(text));
            let _ = stream.read(&mut [0; 64]);
        })
    };
    let endless = |start: &'static [u8], text: &'static [u8]| {
        impostor(move |mut stream| {
            let text = text.repeat(1 << 12);
            let _ = stream.write_all(start);
            while stream.write_all(&text).is_ok() {}
        })
    };
    let telling = [
        answer(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        answer(b"ERROR\r\nERROR\r\n"),
        answer(b"\x15\x03\x03\x00\x02\x02\x46"),
        answer(b"*-5\r\n%-1\r\n|-1\r\n=-1\r\n"),
        answer(b":99999999999999999999999\r\n"),
        answer(b"$3\r\nabcdefg\r\n"),
        answer(b"*2\r\n:1\r\n:2\r\n*2\r\n:1\r\n:2\r\n"),
        endless(b"", b"*1\r\n"),
        impostor(drop),
    ];
    for url in telling {
        let store = RedisStore::connect(&url).unwrap();
        let (failures, longest) = try_all(&store, Duration::from_secs(10));
        assert!(longest < Duration::from_secs(5), "{url}: {longest:?}");
        for failure in failures {
            let kinds = [FailureKind::InvalidReply, FailureKind::Unreachable];
            assert!(kinds.contains(&failure.kind) && !failure.message.contains("secret"), "{failure:?}");
        }
    }
    // Replies that begin correctly and do not end.
    let endless = [
        answer(b"|9223372036854775807\r\n:1\r\n"),
        answer(b"=-1\r\n"),
        endless(b"$9223372036854775807\r\n", b"x"),
        endless(b"*9223372036854775807\r\n", b":1\r\n"),
        endless(b"+", b"x"),
    ];
    for url in endless {
        let store = RedisStore::connect(&url).unwrap();
        let (failures, longest) = try_all(&store, Duration::from_millis(500));
        assert!(longest < Duration::from_millis(1500), "{url}: {longest:?}");
        assert!(failures.iter().all(|failure| failure.kind != FailureKind::Refused), "{failures:?}");
    }
}

#[test]
fn a_refusal_contains_the_reason_and_no_password() {
    let server = Server::start(&["--requirepass", "right-secret"]);
    for (url, why) in [
        (format!("redis://:wrong-secret@127.0.0.1:{}", server.port), "WRONGPASS"),
        (format!("redis://nobody:wrong-secret@127.0.0.1:{}", server.port), "WRONGPASS"),
        (format!("redis://127.0.0.1:{}", server.port), "NOAUTH"),
        (format!("redis://:right-secret@127.0.0.1:{}/99", server.port), "out of range"),
    ] {
        let store = RedisStore::connect(&url).unwrap();
        let (failures, longest) = try_all(&store, Duration::from_secs(5));
        assert!(longest < Duration::from_secs(3), "{longest:?}");
        for failure in failures {
            assert_eq!(failure.kind, FailureKind::Refused, "{failure:?}");
            assert!(failure.message.contains(why) && !failure.message.contains("secret"), "{failure}");
        }
        let failure = store.listen(&|| (), &|| false).unwrap_err();
        assert!(failure.kind == FailureKind::Refused && failure.message.contains(why), "{failure:?}");
    }
    let store = RedisStore::connect(&format!("redis://default:right-secret@127.0.0.1:{}/3", server.port)).unwrap();
    store.write(&[write(1, b"x")], soon()).unwrap();
    assert_eq!(store.read(&[1], soon()).unwrap(), [Some(b"x".to_vec())]);
}

#[test]
fn calls_to_a_port_without_a_server_fail_quickly() {
    let port = free_port();
    let store = RedisStore::connect(&format!("redis://127.0.0.1:{port}")).unwrap();
    let (failures, longest) = try_all(&store, Duration::from_secs(10));
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    assert!(failures.iter().all(|failure| failure.kind == FailureKind::Unreachable), "{failures:?}");
    assert!(failures[0].message.starts_with("cannot read from redis 127.0.0.1:"), "{}", failures[0]);
    let failure = store.listen(&|| (), &|| false).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable);
}

#[test]
fn a_restart_fails_no_call_and_calls_work_again_after_an_outage() {
    let mut server = Server::start(&[]);
    let store = server.store();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|_| _ = store.read(&[1], soon()).unwrap()));
        }
    });
    // All pooled connections are closed; the first call opens another one.
    server.stop();
    server.start_again();
    assert_eq!(store.read(&[1], soon()).unwrap(), [None]);
    store.write(&[write(1, b"x")], soon()).unwrap();
    server.stop();
    let (failures, _) = try_all(&store, Duration::from_millis(300));
    assert!(failures.iter().all(|failure| failure.kind == FailureKind::Unreachable), "{failures:?}");
    server.start_again();
    until("works again", Duration::from_secs(2), || {
        store.read(&[1], Instant::now() + Duration::from_millis(200)).is_ok()
    });
}

#[test]
fn a_server_that_hung_is_used_again() {
    let server = Server::start(&[]);
    let store = server.store().pool_size(2);
    store.write(&[write(1, b"one"), write(2, b"two")], soon()).unwrap();
    let signal = |name: &str| {
        assert!(Process::new("kill").args([name, &server.process().to_string()]).status().unwrap().success());
    };
    signal("-STOP");
    for _ in 0..5 {
        let began = Instant::now();
        let failure = store.read(&[1], began + Duration::from_millis(100)).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Timeout);
        assert!(began.elapsed() < Duration::from_millis(500));
    }
    signal("-CONT");
    until("works again", Duration::from_secs(2), || {
        store.read(&[1], Instant::now() + Duration::from_millis(200)).is_ok()
    });
    // A late reply is not read by another call.
    for _ in 0..20 {
        assert_eq!(store.read(&[2], soon()).unwrap(), [Some(b"two".to_vec())]);
    }
}

#[test]
fn a_subscriber_detects_a_server_that_hangs_or_stops() {
    let mut server = Server::start(&[]);
    let store = server.store();
    let signal = |name: &str, server: &Server| {
        assert!(Process::new("kill").args([name, &server.process().to_string()]).status().unwrap().success());
    };
    for hang in [true, false] {
        let (sender, receiver) = std::sync::mpsc::channel();
        thread::scope(|scope| {
            let listener = scope.spawn(|| store.listen(&|| _ = sender.send(()), &|| false));
            receiver.recv_timeout(Duration::from_secs(5)).unwrap();
            let began = Instant::now();
            if hang {
                signal("-STOP", &server);
            } else {
                server.stop();
            }
            let failure = listener.join().unwrap().unwrap_err();
            assert_eq!(failure.kind, FailureKind::Unreachable, "{failure:?}");
            assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
            if hang {
                signal("-CONT", &server);
            }
        });
    }
}
