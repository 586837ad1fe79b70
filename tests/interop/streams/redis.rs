//! redis-cli before redis.

use std::{
    fs::{self, File},
    process::{Command, Stdio},
};

use crate::harness::{Dir, Process, process::Finished};
use crate::support::{Port, Stream, are_here, letters, outcome, program, servers};

struct Site {
    stream: Stream,
    // Before `dir`, so that nobody reads there when it is removed.
    _redis: Process,
    dir: Dir,
}

impl Site {
    fn start() -> Option<Self> {
        if !are_here(&["redis-server", "redis-cli"]) {
            return None;
        }
        let (dir, port) = (Dir::new(), Port::new());
        let mut redis = program("redis-server");
        redis.args(["--bind", "127.0.0.1", "--port"]);
        redis.arg(port.addr().port().to_string());
        redis.args(["--save", "", "--appendonly", "no", "--dir"]);
        redis.arg(dir.path()).stdin(Stdio::null());
        let redis = Process::spawn(&mut redis);
        port.until_it_listens();
        let stream = Stream::start("", &servers(&[port]));
        Some(Self {
            stream,
            _redis: redis,
            dir,
        })
    }

    /// What `redis-cli ARGS` prints.
    fn ask(&self, args: &[&str]) -> String {
        answer(outcome(self.client().args(args)))
    }

    /// What `redis-cli ARGS` prints when it reads this.
    fn ask_with(&self, input: &str, args: &[&str]) -> String {
        let path = self.dir.file("input");
        fs::write(&path, input).expect("a file of our own");
        let input = File::open(&path).expect("a file of our own");
        answer(Process::spawn(self.client().args(args).stdin(input)).finish())
    }

    fn client(&self) -> Command {
        let [host, port] = self.stream.host_and_port();
        let mut redis = program("redis-cli");
        redis.args(["-h", &host, "-p", &port]);
        redis
    }
}

fn answer(ended: Finished) -> String {
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    ended.out
}

#[test]
fn what_is_set_is_got() {
    let Some(site) = Site::start() else { return };
    assert_eq!(site.ask(&["SET", "key", "value"]), "OK\n");
    assert_eq!(site.ask(&["GET", "key"]), "value\n");
}

#[test]
fn a_transaction_is_answered_line_by_line() {
    let Some(site) = Site::start() else { return };
    let said = site.ask_with("MULTI\nSET n 1\nINCR n\nEXEC\n", &[]);
    assert_eq!(said, "OK\nQUEUED\nQUEUED\nOK\n2\n");
}

#[test]
fn a_transaction_may_be_sent_in_one_piece() {
    let Some(site) = Site::start() else { return };
    let commands = format!("MULTI\r\n{}EXEC\r\n", "INCR n\r\n".repeat(10_000));
    let said = site.ask_with(&commands, &["--pipe"]);
    assert!(said.ends_with("errors: 0, replies: 10002\n"), "{said}");
    assert_eq!(site.ask(&["GET", "n"]), "10000\n");
}

#[test]
fn ten_megabytes_go_both_ways() {
    let Some(site) = Site::start() else { return };
    let value = letters(10 << 20);
    assert_eq!(site.ask_with(&value, &["-x", "SET", "key"]), "OK\n");
    assert_eq!(site.ask(&["STRLEN", "key"]), "10485760\n");
    assert!(site.ask(&["GET", "key"]) == value + "\n", "not the same");
}

#[test]
fn a_subscriber_is_told_what_another_publishes() {
    let Some(site) = Site::start() else { return };
    let mut subscriber = site.client();
    subscriber.args(["SUBSCRIBE", "news"]).stdin(Stdio::null());
    let subscriber = Process::spawn(&mut subscriber);
    subscriber.out.wait_for("subscribe");
    for message in ["hello", "again"] {
        assert_eq!(site.ask(&["PUBLISH", "news", message]), "1\n");
        subscriber.out.wait_for(message);
    }
}
