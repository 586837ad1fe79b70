//! Python's client of MQTT over WebSocket before brokers of mosquitto.

use std::{fs, process::Stdio};

use crate::harness::{Dir, File, Lbd, Process, until};
use crate::support::{
    Ca, Mosquitto, PYTHON, are_here, curl, letters, outcome, program, servers, tls, url,
};

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/tunnels/mqtt.py");

/// More than 64 KB, and not so much that it takes several reads of the client, which then waits in vain.
const LONG: usize = 70_000;

struct Site {
    lbd: Lbd,
    brokers: Vec<Mosquitto>,
}

impl Site {
    /// lbd whose listener has these keys, with the brokers at /mqtt, and "hello" elsewhere.
    fn start(count: usize, listener: &str) -> Option<Self> {
        if !are_here(&["mosquitto", "mosquitto_pub", "python:paho.mqtt.client"]) {
            return None;
        }
        let brokers: Vec<_> = (0..count).map(|_| Mosquitto::start()).collect();
        let ports: Vec<_> = brokers.iter().map(|broker| &broker.websocket).collect();
        let rest = format!(
            "[[routes]]\npath = \"/mqtt\"\npool = \"mqtt\"\n\
             [[routes]]\npath = \"/\"\nrespond = {{ status = 200, body = \"hello\" }}\n\
             [pools.mqtt]\n{}\n",
            servers(&ports)
        );
        let lbd = File {
            log: "access = \"@DIR@/access.log\"",
            listener,
            rest: &rest,
            ..File::default()
        }
        .start();
        Some(Self { lbd, brokers })
    }

    /// `mqtt.py` with this name, certificate authority and file.
    fn client(&self, name: &str, ca: &str, file: Option<&str>) -> Process {
        let (host, port) = (self.lbd.addr.ip(), self.lbd.addr.port());
        let mut python = program(PYTHON);
        python.args([CLIENT, &host.to_string(), &port.to_string(), name, ca]);
        Process::spawn(python.args(file).stdin(Stdio::null()))
    }

    /// A client that goes on, and which broker it has found.
    fn subscriber(&self, name: &str) -> (usize, Process) {
        let process = self.client(name, "-", None);
        let at = until(&format!("{name} has subscribed"), || {
            let mut brokers = self.brokers.iter();
            brokers.position(|broker| broker.has_subscriber(name))
        });
        (at, process)
    }

    /// What a client gets back of a text that it publishes.
    fn echo(&self, text: &str, ca: &str) -> String {
        let dir = Dir::new();
        let file = dir.file("message").display().to_string();
        fs::write(&file, text).expect("a file of our own");
        let ended = self.client("echo", ca, Some(&file)).finish();
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        ended.out
    }
}

/// Publishes at the broker itself.
fn publish(broker: &Mosquitto, message: &str) {
    let port = broker.tcp.addr().port().to_string();
    let mut command = program("mosquitto_pub");
    command.args(["-h", "127.0.0.1", "-p", &port, "-t", "news", "-q", "1"]);
    let ended = outcome(command.args(["-m", message]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn a_client_gets_what_it_publishes() {
    let Some(site) = Site::start(1, "") else {
        return;
    };
    assert_eq!(site.echo("hello", "-"), "hello\n");
    let line = until("the tunnel's line is written", || {
        let log = fs::read_to_string(site.lbd.dir.file("access.log")).ok()?;
        log.lines().next().map(str::to_owned)
    });
    assert!(line.contains("\"GET /mqtt HTTP/1.1\" 101 "), "{line}");
    assert!(line.contains(" received="), "{line}");
}

#[test]
fn a_long_message_goes_both_ways() {
    let Some(site) = Site::start(1, "") else {
        return;
    };
    let text = letters(LONG);
    assert!(site.echo(&text, "-") == text + "\n", "not the same");
}

#[test]
fn a_long_message_goes_both_ways_over_tls() {
    if !are_here(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let cert = ca.ecdsa(&["127.0.0.1"]);
    let Some(site) = Site::start(1, &tls(&[&cert], "")) else {
        return;
    };
    let text = letters(LONG);
    assert!(site.echo(&text, &ca.file()) == text + "\n", "not the same");
}

#[test]
fn the_listener_goes_on_with_http_beside_it() {
    let Some(site) = Site::start(1, "") else {
        return;
    };
    if !are_here(&["curl"]) {
        return;
    }
    let (_, subscriber) = site.subscriber("one");
    assert_eq!(curl(&[&url(&site.lbd, "/")]).text(), "hello");
    publish(&site.brokers[0], "news of today");
    subscriber.out.wait_for("news of today");
    assert_eq!(site.brokers[0].connections("one"), 1);
}

#[test]
fn a_killed_broker_s_client_finds_the_other_and_that_one_s_notices_nothing() {
    let Some(mut site) = Site::start(2, "") else {
        return;
    };
    let (dead, orphan) = site.subscriber("orphan");
    let (alive, steady) = site.subscriber("steady");
    assert_ne!(dead, alive);
    site.brokers[dead].kill();
    let other = &site.brokers[alive];
    until("the orphan has found the other broker", || {
        other.has_subscriber("orphan").then_some(())
    });
    publish(other, "after");
    for client in [&orphan, &steady] {
        client.out.wait_for("after");
    }
    assert_eq!(other.connections("steady"), 1);
}
