//! mosquitto and redis, each asked in its own protocol.

use std::process::Stdio;

use super::{AT_ONCE, becomes, said_of, stream};
use crate::harness::{Dir, Process, until};
use crate::support::{Mosquitto, Port, are_here, outcome, program, servers};

// === MQTT ===

/// The keys of a pool of this broker whose checks have these keys.
fn pool(broker: &Mosquitto, keys: &str) -> String {
    let servers = servers(&[&broker.tcp]);
    format!("{servers}\nhealth = {{ check = \"mqtt\", {AT_ONCE}{keys} }}")
}

#[test]
fn a_broker_that_accepts_a_client_is_well() {
    if !are_here(&["mosquitto"]) {
        return;
    }
    let mut broker = Mosquitto::start();
    let keys = ", client_id = \"probe\", username = \"u\", password = \"p\"";
    let lbd = stream("", &pool(&broker, keys));
    let server = broker.tcp.to_string();
    assert_eq!(said_of(&lbd, &server), "up");
    // Each check is a client that comes and goes.
    until("some checks", || {
        (broker.connections("probe") >= 5).then_some(())
    });
    broker.kill();
    becomes(&lbd, &server, "out connection refused");
}

#[test]
fn a_check_takes_no_client_s_name() {
    if !are_here(&["mosquitto", "mosquitto_sub", "mosquitto_pub"]) {
        return;
    }
    let broker = Mosquitto::start();
    let lbd = stream("", &pool(&broker, ""));
    let [host, port] = [
        broker.tcp.addr().ip().to_string(),
        broker.tcp.addr().port().to_string(),
    ];
    let mut client = program("mosquitto_sub");
    client.args(["-h", &host, "-p", &port, "-t", "news", "-i", "lbd-check"]);
    let subscriber = Process::spawn(client.stdin(Stdio::null()));
    until("it has subscribed", || {
        broker.has_subscriber("lbd-check").then_some(())
    });
    lbd.process.err.wait_for("is well, by its first check");
    let mut publisher = program("mosquitto_pub");
    publisher.args(["-h", &host, "-p", &port, "-t", "news", "-m", "hello"]);
    assert_eq!(outcome(&mut publisher).code, Some(0));
    subscriber.out.wait_for("hello");
    assert_eq!(
        broker.connections("lbd-check"),
        1,
        "it was never thrown out"
    );
}

#[test]
fn a_broker_that_does_not_expect_the_stream_s_header_is_out() {
    if !are_here(&["mosquitto"]) {
        return;
    }
    let broker = Mosquitto::start();
    let server = broker.tcp.to_string();
    for version in ["v1", "v2"] {
        let keys = format!("send_proxy = \"{version}\"");
        let lbd = stream(&keys, &pool(&broker, ""));
        let said = said_of(&lbd, &server);
        assert!(
            said.starts_with("out closed before CONNACK"),
            "{version}: {said}"
        );
        // A look at the port alone would not have found that out.
        let tcp = pool(&broker, "").replace("\"mqtt\"", "\"tcp\"");
        assert_eq!(said_of(&stream(&keys, &tcp), &server), "up");
    }
}

#[test]
fn a_broker_that_wants_a_password_is_asked_with_it() {
    if !are_here(&["mosquitto", "mosquitto_passwd"]) {
        return;
    }
    let (dir, port) = (Dir::new(), Port::new());
    let passwords = dir.file("passwords");
    let mut passwd = program("mosquitto_passwd");
    let made = outcome(
        passwd
            .args(["-b", "-c"])
            .arg(&passwords)
            .args(["u", "secret"]),
    );
    assert_eq!(made.code, Some(0), "{made:?}");
    let config = format!(
        "user root\nallow_anonymous false\npassword_file {}\nlistener {} 127.0.0.1\n",
        passwords.display(),
        port.addr().port()
    );
    let mut mosquitto = program("mosquitto");
    mosquitto
        .arg("-c")
        .arg(dir.write("mosquitto.conf", &config));
    let _process = Process::spawn(mosquitto.stdin(Stdio::null()));
    port.until_it_listens();
    for (login, expected) in [
        (", username = \"u\", password = \"secret\"", "up"),
        (", username = \"u\", password = \"wrong\"", "out CONNACK 5"),
        ("", "out CONNACK 5"),
    ] {
        let health = format!("health = {{ check = \"mqtt\", {AT_ONCE}{login} }}");
        let lbd = stream("", &format!("{}\n{health}", servers(&[&port])));
        let said = said_of(&lbd, &port.to_string());
        assert!(said.starts_with(expected), "{login}: {said}");
    }
}

// === redis ===

/// redis with these arguments. Killed on drop.
struct Redis {
    // Before `dir`, so that nobody reads there when it is removed.
    _process: Process,
    _dir: Dir,
    port: Port,
}

impl Redis {
    fn start(args: &[&str]) -> Self {
        let (dir, port) = (Dir::new(), Port::new());
        let mut redis = program("redis-server");
        redis.args(["--bind", "127.0.0.1", "--port"]);
        redis.arg(port.addr().port().to_string());
        redis.args(["--save", "", "--appendonly", "no", "--dir"]);
        redis.arg(dir.path()).args(args).stdin(Stdio::null());
        let process = Process::spawn(&mut redis);
        port.until_it_listens();
        Self {
            _process: process,
            _dir: dir,
            port,
        }
    }

    /// What is said of it by checks that send this.
    fn judged(&self, send: &str) -> String {
        let asks = format!("check = \"tcp\", send = \"{send}\", expect = \"\\\\+PONG\"");
        let brief = "interval = \"20ms\", timeout = \"500ms\"";
        let pool = servers(&[&self.port]);
        let lbd = stream("", &format!("{pool}\nhealth = {{ {asks}, {brief} }}"));
        said_of(&lbd, &self.port.to_string())
    }
}

#[test]
fn redis_is_well_if_it_answers_a_ping() {
    if !are_here(&["redis-server"]) {
        return;
    }
    assert_eq!(Redis::start(&[]).judged("PING\\r\\n"), "up");
}

#[test]
fn redis_that_wants_a_password_is_asked_with_it() {
    if !are_here(&["redis-server"]) {
        return;
    }
    let redis = Redis::start(&["--requirepass", "secret"]);
    let said = redis.judged("PING\\r\\n");
    assert!(said.starts_with("out "), "{said}");
    assert_eq!(redis.judged("AUTH secret\\r\\nPING\\r\\n"), "up");
}
