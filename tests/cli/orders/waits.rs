//! `lbd drain --wait`, which returns when nobody is left.

use rustix::process::Signal;

use super::{left::Streams, run};
use crate::harness::{Lbd, Process, lbd::command as lbd_command, process::Finished};
use crate::support::{Client, Slow};

/// A server at which a request is held, and the lbd before it.
struct Held {
    slow: Slow,
    lbd: Lbd,
    client: Client,
    server: String,
}

impl Held {
    fn start() -> Self {
        let mut slow = Slow::new();
        let text = slow.file("");
        let server = text.split("servers = [\"").nth(1).expect("a server");
        let server = server.split('"').next().unwrap_or_default().to_owned();
        let lbd = Lbd::start(&text, &[]);
        lbd.process.err.wait_for("control socket ");
        let mut client = Client::connect(lbd.addr);
        slow.hold(&mut client);
        Self {
            slow,
            lbd,
            client,
            server,
        }
    }

    /// `lbd drain --wait`, which says who is left.
    fn waits(&self) -> Process {
        let args = ["drain", "slow", &self.server, "--wait", "-c", "lb.toml"];
        let waiting = Process::spawn(&mut lbd_command(&self.lbd.dir, &args));
        let left = format!("{}: drain; 1 requests and 0 tunnels left", self.server);
        waiting.out.wait_for(&left);
        waiting
    }
}

fn nobody_is_left(ended: &Finished) {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.ends_with("nobody is left\n"), "{}", ended.out);
}

#[test]
fn wait_returns_when_the_last_request_has_ended() {
    let mut held = Held::start();
    let mut waiting = held.waits();
    assert!(!waiting.out.text().contains("nobody is left"));
    held.slow.finish(&mut held.client);
    nobody_is_left(&waiting.finish());
}

#[test]
fn wait_returns_at_once_if_there_is_nobody() {
    let streams = Streams::start();
    let server = &streams.servers[0];
    nobody_is_left(&run(&streams.lbd, &["drain", "app", server, "--wait"]));
}

#[test]
fn wait_returns_at_the_deadline_at_the_latest() {
    let streams = Streams::start();
    let [mut ending, mut other] = streams.both();
    let server = &streams.servers[0];
    let args = ["drain", "app", server, "--deadline", "1s", "--wait"];
    nobody_is_left(&run(&streams.lbd, &args));
    ending.ends();
    other.is_open();
}

#[test]
fn wait_ends_with_1_if_lbd_does() {
    let mut held = Held::start();
    let mut waiting = held.waits();
    held.lbd.process.signal(Signal::KILL);
    held.lbd.process.finish();
    let ended = waiting.finish();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.starts_with("lbd: "), "{}", ended.err);
}
