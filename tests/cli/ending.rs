//! TERM, INT and QUIT: what is finished, what is closed, and how long it may take.

use rustix::process::Signal;

use crate::harness::{Dir, Lbd, Process, lbd::command as lbd_command, until};
use crate::support::{Client, Slow, says};

/// A lbd with a request in flight.
struct Busy {
    lbd: Lbd,
    slow: Slow,
    client: Client,
}

impl Busy {
    fn start(top: &str) -> Self {
        let mut slow = Slow::new();
        let lbd = Lbd::start(&slow.file(top), &[]);
        lbd.process.err.wait_for("control socket ");
        let mut client = Client::connect(lbd.addr);
        slow.hold(&mut client);
        Self { lbd, slow, client }
    }

    /// Sends `signal`, and waits until lbd has heard it.
    fn signal(&self, signal: Signal) {
        self.lbd.process.signal(signal);
        self.lbd.process.err.wait_for("INFO stopping");
    }

    fn nobody_listens(&self) {
        until("nobody listens", || {
            Client::try_connect(self.lbd.addr).err()
        });
    }

    /// The request ends as if nothing had happened, then lbd does.
    fn finishes(mut self) {
        self.slow.finish(&mut self.client);
        self.client.is_closed();
        let ended = self.lbd.process.finish();
        assert_eq!(ended.code, Some(0));
        assert!(ended.err.contains("INFO stopped\n"), "{}", ended.err);
    }
}

const HOUR: &str = "shutdown_timeout = \"1h\"";

#[test]
fn term_finishes_the_request_in_flight_and_accepts_no_other() {
    let busy = Busy::start("");
    busy.signal(Signal::TERM);
    busy.lbd.process.err.wait_for("requests in flight have 30s");
    busy.nobody_listens();
    busy.finishes();
}

#[test]
fn int_ends_as_term_does() {
    let busy = Busy::start("");
    busy.signal(Signal::INT);
    busy.lbd.process.err.wait_for("requests in flight have 30s");
    busy.nobody_listens();
    busy.finishes();
}

#[test]
fn idle_connections_are_closed_at_once() {
    let busy = Busy::start(HOUR);
    let mut idle = Client::connect(busy.lbd.addr);
    assert_eq!(idle.get("/").body, "hello");
    busy.signal(Signal::TERM);
    idle.is_closed();
    busy.finishes();
}

#[test]
fn without_requests_term_ends_at_once() {
    let mut lbd = Lbd::start(
        &says("hello").replace("workers", &format!("{HOUR}\nworkers")),
        &[],
    );
    lbd.process.err.wait_for("control socket ");
    let mut idle = Client::connect(lbd.addr);
    assert_eq!(idle.get("/").body, "hello");
    assert_eq!(lbd.stop().code, Some(0));
    idle.is_closed();
}

#[test]
fn a_second_term_ends_at_once() {
    let mut busy = Busy::start(HOUR);
    busy.signal(Signal::TERM);
    busy.lbd.process.signal(Signal::TERM);
    let ended = busy.lbd.process.finish();
    assert_eq!(ended.code, Some(0));
    assert!(
        ended.err.contains("stopping at once, as asked again"),
        "{}",
        ended.err
    );
    assert!(busy.client.receive().is_err(), "the request is cut off");
}

#[test]
fn shutdown_timeout_cuts_off_what_is_left() {
    let mut busy = Busy::start("shutdown_timeout = \"50ms\"");
    busy.signal(Signal::TERM);
    let ended = busy.lbd.process.finish();
    assert_eq!(ended.code, Some(0));
    let said = "1 connections are cut off: they did not end within 50ms";
    assert!(ended.err.contains(said), "{}", ended.err);
    assert!(busy.client.receive().is_err(), "the request is cut off");
}

#[test]
fn quit_waits_without_a_deadline() {
    let quitting = Busy::start("shutdown_timeout = \"1ms\"");
    let stopping = Busy::start("shutdown_timeout = \"1ms\"");
    quitting.signal(Signal::QUIT);
    quitting
        .lbd
        .process
        .err
        .wait_for("stopping when the last request has ended");
    quitting.nobody_listens();
    // Another lbd, told after it and with the same deadline, is gone: this one did not go by it.
    let mut stopped = stopping;
    stopped.signal(Signal::TERM);
    assert_eq!(stopped.lbd.process.finish().code, Some(0));
    quitting.finishes();
}

#[test]
fn term_sets_a_deadline_to_a_quit() {
    let mut busy = Busy::start("shutdown_timeout = \"1ms\"");
    busy.signal(Signal::QUIT);
    busy.nobody_listens();
    busy.lbd.process.signal(Signal::TERM);
    let ended = busy.lbd.process.finish();
    assert_eq!(ended.code, Some(0));
    assert!(
        ended.err.contains("requests in flight have 1ms"),
        "{}",
        ended.err
    );
    assert!(busy.client.receive().is_err(), "the request is cut off");
}

#[test]
fn a_reload_while_ending_changes_nothing() {
    let busy = Busy::start(HOUR);
    busy.signal(Signal::TERM);
    busy.nobody_listens();
    busy.lbd.process.signal(Signal::HUP);
    busy.lbd.process.signal(Signal::USR1);
    busy.finishes();
}

#[test]
fn a_successor_starts_while_the_last_requests_are_waited_for() {
    let mut busy = Busy::start(HOUR);
    busy.signal(Signal::QUIT);
    busy.nobody_listens();
    let mut successor = Process::spawn(&mut lbd_command(&busy.lbd.dir, &["-c", "lb.toml"]));
    successor.err.wait_for("control socket ");
    let socket = busy.lbd.dir.file("control.sock");
    busy.slow.finish(&mut busy.client);
    assert_eq!(busy.lbd.process.finish().code, Some(0));
    assert!(socket.exists(), "the socket is the successor's");
    successor.signal(Signal::TERM);
    assert_eq!(successor.finish().code, Some(0));
    assert!(!socket.exists());
}

#[test]
fn a_signal_is_heeded_as_soon_as_the_pid_file_is_there() {
    for _ in 0..10 {
        let dir = Dir::new();
        let text = says("hello").replace("workers", "pid = \"@DIR@/pid\"\nworkers");
        dir.write("lb.toml", &text);
        let mut lbd = Process::spawn(&mut lbd_command(&dir, &["-c", "lb.toml"]));
        let pid = dir.file("pid");
        // Without the pauses of `until`, for a moment is enough to lose a signal in.
        until("the pid file is there", || {
            (0..100_000).any(|_| pid.exists()).then_some(())
        });
        lbd.signal(Signal::TERM);
        assert_eq!(lbd.finish().code, Some(0));
    }
}
