//! Who is left at a server, until when, and who is not.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use tokio::time::Instant;

use super::{run, status};
use crate::harness::{File, Lbd, until, wait::DEADLINE};

/// Sends back what it gets, over connections that stay. It ends with the tests.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("a bound socket");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            // A connection that breaks has ended.
            thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
    addr
}

/// Two servers that echo, and lbd with a stream to them.
pub(super) struct Streams {
    pub(super) lbd: Lbd,
    pub(super) servers: [String; 2],
    addr: SocketAddr,
}

impl Streams {
    pub(super) fn start() -> Self {
        let servers = [echo(), echo()].map(|addr| addr.to_string());
        let rest = format!(
            "[[streams]]\nbind = \"127.0.0.2:0\"\npool = \"app\"\n\
             [pools.app]\nservers = [\"{}\", \"{}\"]\n",
            servers[0], servers[1]
        );
        let file = File {
            rest: &rest,
            ..File::default()
        };
        let lbd = file.start();
        let line = lbd.process.err.wait_for("listening on 127.0.0.2:");
        let addr = line.split("listening on ").nth(1).unwrap_or_default();
        let addr = addr.trim().parse().expect("an address");
        lbd.process.err.wait_for("control socket ");
        Self { lbd, servers, addr }
    }

    /// A connection to each server, in their order.
    pub(super) fn both(&self) -> [Tunnel; 2] {
        let tunnels = [Tunnel::connect(self.addr), Tunnel::connect(self.addr)];
        let said = status(&self.lbd);
        for server in &self.servers {
            let line = said.lines().find(|line| line.contains(server));
            let words: Vec<_> = line.unwrap_or_default().split_whitespace().collect();
            assert_eq!(words[3..5], ["1", "1"], "{said}");
        }
        tunnels
    }

    /// `lbd VERB app SERVER ARGS`.
    fn order(&self, verb: &str, server: usize, args: &[&str]) -> String {
        let args = [&[verb, "app", &self.servers[server]], args].concat();
        let ended = run(&self.lbd, &args);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.out
    }

    /// Waits until the server is in this state.
    fn becomes(&self, server: usize, state: &str) {
        let line = format!("{} {state} ", self.servers[server]);
        until(&line, || {
            let said = status(&self.lbd);
            let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
            words.contains(&line).then_some(())
        });
    }
}

/// A connection through the stream.
pub(super) struct Tunnel(TcpStream);

impl Tunnel {
    fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).expect("lbd accepts");
        let patience = stream.set_read_timeout(Some(DEADLINE));
        patience.expect("a socket of our own");
        let mut tunnel = Self(stream);
        tunnel.is_open();
        tunnel
    }

    /// What is said comes back.
    pub(super) fn is_open(&mut self) {
        self.0.write_all(b"ping").expect("it is open");
        let mut came = [0; 4];
        self.0.read_exact(&mut came).expect("it is open");
        assert_eq!(&came, b"ping");
    }

    /// lbd ends it.
    pub(super) fn ends(&mut self) {
        match self.0.read(&mut [0]) {
            Ok(length) => assert_eq!(length, 0),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
    }
}

#[test]
fn tunnels_to_a_server_that_drains_or_is_down_go_on() {
    let streams = Streams::start();
    let mut tunnels = streams.both();
    for verb in ["drain", "down"] {
        let said = streams.order(verb, 0, &[]);
        let expected = format!(
            "{}: {verb}; 0 requests and 1 tunnels left\n",
            streams.servers[0]
        );
        assert_eq!(said, expected);
        tunnels.iter_mut().for_each(Tunnel::is_open);
    }
}

#[test]
fn at_its_deadline_a_server_is_down_and_its_tunnels_end() {
    let streams = Streams::start();
    let [mut ending, mut other] = streams.both();
    let began = Instant::now();
    let said = streams.order("drain", 0, &["--deadline", "1s"]);
    assert!(
        said.ends_with("; 0 requests and 1 tunnels left; down in 1 s\n"),
        "{said}"
    );
    ending.ends();
    assert!(
        began.elapsed() >= Duration::from_millis(900),
        "{:?}",
        began.elapsed()
    );
    streams.becomes(0, "down");
    let server = &streams.servers[0];
    let logged = streams
        .lbd
        .process
        .err
        .wait_for("its time to drain is over");
    assert!(
        logged.contains(&format!("server {server} is down")),
        "{logged}"
    );
    assert!(logged.ends_with("with 1 in flight"), "{logged}");
    other.is_open();
    streams.becomes(1, "up");
}

#[test]
fn a_deadline_is_shown() {
    let streams = Streams::start();
    let said = streams.order("drain", 0, &["--deadline", "1h30m"]);
    assert!(
        said.ends_with("; nothing in flight; down in 5400 s\n"),
        "{said}"
    );
    let said = status(&streams.lbd);
    let line = said.lines().find(|line| line.contains(&streams.servers[0]));
    let line = line.expect("a line for it");
    assert!(line.contains("; down in 90 min"), "{line}");
}

#[test]
fn another_order_takes_the_deadline_back() {
    let streams = Streams::start();
    let [mut staying, mut ending] = streams.both();
    for verb in ["up", "drain", "down"] {
        streams.order("drain", 0, &["--deadline", "1s"]);
        streams.order(verb, 0, &[]);
    }
    // Its time is over a little later than those.
    streams.order("drain", 1, &["--deadline", "1s"]);
    ending.ends();
    staying.is_open();
}

#[test]
fn a_deadline_outlives_a_reload() {
    let streams = Streams::start();
    let [mut ending, mut other] = streams.both();
    streams.order("drain", 0, &["--deadline", "1s"]);
    let ended = run(&streams.lbd, &["reload"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ending.ends();
    streams.becomes(0, "down");
    other.is_open();
}

#[test]
fn close_ends_tunnels_at_once() {
    let streams = Streams::start();
    let [mut ending, mut other] = streams.both();
    streams.order("down", 0, &["--close"]);
    ending.ends();
    other.is_open();
    until("its place is free", || {
        let said = streams.order("down", 0, &[]);
        said.ends_with(": down; nothing in flight\n").then_some(())
    });
}
