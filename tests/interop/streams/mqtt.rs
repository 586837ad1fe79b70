//! mosquitto's clients before two brokers of mosquitto.

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::harness::{Dir, Process, until};
use crate::support::{Mosquitto, Stream, are_here, letters, outcome, program, servers};

struct Site {
    stream: Stream,
    brokers: Vec<Mosquitto>,
}

impl Site {
    fn start(count: usize) -> Option<Self> {
        if !are_here(&["mosquitto", "mosquitto_sub", "mosquitto_pub"]) {
            return None;
        }
        let brokers: Vec<_> = (0..count).map(|_| Mosquitto::start()).collect();
        let ports: Vec<_> = brokers.iter().map(|broker| &broker.tcp).collect();
        let stream = Stream::start("", &servers(&ports));
        Some(Self { stream, brokers })
    }

    /// A subscriber, and which broker it has found.
    fn subscriber(&self, name: &str, args: &[&str]) -> (usize, Process) {
        let mut command = self.client("mosquitto_sub");
        command.args(["-i", name]).args(args).stdin(Stdio::null());
        let process = Process::spawn(&mut command);
        let at = until(&format!("{name} has subscribed"), || {
            let mut brokers = self.brokers.iter();
            brokers.position(|broker| broker.has_subscriber(name))
        });
        (at, process)
    }

    /// Publishes through lbd, at one broker.
    fn publish(&self, args: &[&str]) {
        let ended = outcome(self.client("mosquitto_pub").args(args));
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    fn client(&self, name: &str) -> Command {
        let [host, port] = self.stream.host_and_port();
        let mut command = program(name);
        command.args(["-h", &host, "-p", &port, "-t", "news", "-q", "1"]);
        command
    }
}

#[test]
fn a_message_reaches_the_subscriber() {
    let Some(site) = Site::start(1) else { return };
    let (_, subscriber) = site.subscriber("one", &[]);
    site.publish(&["-m", "hello"]);
    subscriber.out.wait_for("hello");
}

#[test]
fn a_message_of_a_megabyte_arrives_whole() {
    let Some(site) = Site::start(1) else { return };
    let (dir, text) = (Dir::new(), letters(1 << 20));
    let file = dir.file("message").display().to_string();
    fs::write(&file, &text).expect("a file of our own");
    let (_, mut subscriber) = site.subscriber("one", &["-C", "1", "-N"]);
    site.publish(&["-f", &file]);
    assert!(subscriber.finish().out == text, "not the same");
}

#[test]
fn clients_go_to_the_brokers_in_turn() {
    let Some(site) = Site::start(2) else { return };
    let names = ["one", "two", "three", "four"];
    let subscribers = names.map(|name| site.subscriber(name, &[]));
    assert_eq!(subscribers.each_ref().map(|(at, _)| *at), [0, 1, 0, 1]);
    let messages = ["to the first", "to the second"];
    for message in messages {
        site.publish(&["-m", message]);
    }
    for (at, subscriber) in &subscribers {
        subscriber.out.wait_for(messages[*at]);
    }
}

#[test]
fn a_killed_broker_s_subscriber_finds_the_other_and_that_one_s_notices_nothing() {
    let Some(mut site) = Site::start(2) else {
        return;
    };
    let (dead, orphan) = site.subscriber("orphan", &[]);
    let (alive, steady) = site.subscriber("steady", &[]);
    assert_ne!(dead, alive);
    site.brokers[dead].kill();
    let other = &site.brokers[alive];
    until("the orphan has found the other broker", || {
        other.has_subscriber("orphan").then_some(())
    });
    // Whoever connects now gets to the one that lives.
    for message in ["after", "long after"] {
        site.publish(&["-m", message]);
        for subscriber in [&orphan, &steady] {
            subscriber.out.wait_for(message);
        }
    }
    assert_eq!(other.connections("steady"), 1);
}
