//! gRPC as Python speaks it, on both sides of lbd.

mod failing;

use std::process::Stdio;

use crate::harness::{Lbd, Process};
use crate::support::{Ca, Cert, PYTHON, addr, are_here, front_with, program, servers, tls};

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/grpc/client.py");
const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/grpc/server.py");

/// server.py. Killed on drop.
struct Server {
    process: Process,
    addr: String,
}

impl Server {
    fn start(name: &str, cert: Option<&Cert>) -> Self {
        let mut python = program(PYTHON);
        python.args([SERVER, name]).stdin(Stdio::null());
        python.args(cert.iter().flat_map(|cert| [&cert.cert, &cert.key]));
        let process = Process::spawn(&mut python);
        let addr = addr(&process);
        Self { process, addr }
    }
}

/// Servers, and lbd in front of them.
struct Site {
    lbd: Lbd,
    servers: Vec<Server>,
}

impl Site {
    /// A server for each name, and further keys of the pool.
    fn start(names: &[&str], keys: &str) -> Option<Self> {
        if !are_here(&["python:grpc"]) {
            return None;
        }
        let running: Vec<_> = names.iter().map(|name| Server::start(name, None)).collect();
        let addrs: Vec<_> = running.iter().map(|server| &server.addr).collect();
        let lbd = before(&servers(&addrs), keys);
        Some(Self {
            lbd,
            servers: running,
        })
    }

    /// The lines of `client.py` for this call.
    fn call(&self, call: &str, texts: &[&str]) -> String {
        lines(&self.lbd, "-", call, texts)
    }
}

/// lbd in front of these servers, without TLS.
fn before(servers: &str, keys: &str) -> Lbd {
    let pool = format!("{servers}\nprotocol = \"h2c\"\n{keys}");
    front_with("h2c = true", &pool)
}

/// `client.py ADDRESS CA CALL TEXTS`.
fn client(lbd: &Lbd, ca: &str, call: &str, texts: &[&str]) -> Process {
    let mut python = program(PYTHON);
    python.args([CLIENT, &lbd.addr.to_string(), ca, call]);
    Process::spawn(python.args(texts).stdin(Stdio::null()))
}

/// All of its lines.
fn lines(lbd: &Lbd, ca: &str, call: &str, texts: &[&str]) -> String {
    let ended = client(lbd, ca, call, texts).finish();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.out
}

const OK: &str = "status OK\ndetails ''\n";

/// Every kind of call, and what comes of it.
fn every_kind(call: impl Fn(&str, &[&str]) -> String) {
    assert_eq!(call("unary", &["hello"]), format!("message a: hello\n{OK}"));
    assert_eq!(
        call("client_stream", &["1", "2", "3"]),
        format!("message a: 1+2+3\n{OK}")
    );
    assert_eq!(
        call("server_stream", &["1+2+3"]),
        format!("message a: 1\nmessage a: 2\nmessage a: 3\n{OK}")
    );
    assert_eq!(
        call("bidi", &["1", "2", "3"]),
        format!("message a: 1\nmessage a: 2\nmessage a: 3\n{OK}")
    );
}

#[test]
fn every_kind_of_call_is_answered() {
    let Some(site) = Site::start(&["a"], "") else {
        return;
    };
    every_kind(|call, texts| site.call(call, texts));
}

#[test]
fn every_kind_of_call_is_answered_over_tls() {
    if !are_here(&["python:grpc", "openssl"]) {
        return;
    }
    let ca = Ca::new();
    let server = Server::start("a", Some(&ca.ecdsa(&["app.test"])));
    let (servers, file) = (servers(&[&server.addr]), ca.file());
    let trust = format!("tls = {{ ca = \"{file}\", server_name = \"app.test\" }}");
    let lbd = front_with(
        &tls(&[&ca.ecdsa(&["shop.test"])], ""),
        &format!("{servers}\nprotocol = \"h2\"\n{trust}"),
    );
    every_kind(|call, texts| lines(&lbd, &file, call, texts));
}

#[test]
fn a_megabyte_goes_both_ways() {
    let Some(site) = Site::start(&["a"], "") else {
        return;
    };
    assert_eq!(site.call("large", &[]), "same True\n");
}

#[test]
fn metadata_goes_both_ways_before_and_after_the_message() {
    let Some(site) = Site::start(&["a"], "") else {
        return;
    };
    let own = |place: &str| {
        format!("{place} x-own 1\n{place} x-own 2\n{place} x-own-bin b'\\x00\\xfe\\n'\n")
    };
    let said = site.call("metadata", &["hello"]);
    let (answer, fields) = said.split_at(said.find("before").expect("metadata"));
    assert_eq!(answer, format!("message a: hello\n{OK}"));
    assert!(fields.starts_with(&own("before")), "{said}");
    let after = "after x-after 42\nafter x-after-bin b'\\x00\\xff,\\n'\n";
    assert!(
        fields.ends_with(&(after.to_owned() + &own("after"))),
        "{said}"
    );
}

#[test]
fn a_status_arrives_with_its_message_and_metadata() {
    let Some(site) = Site::start(&["a"], "") else {
        return;
    };
    let said = site.call("fail", &["it"]);
    let status = "status NOT_FOUND\ndetails '100% missing: \u{e9}\u{4e2d}\\nit'\n";
    assert_eq!(said, status.to_owned() + "after x-after 42\n");
}

#[test]
fn a_status_after_messages_arrives() {
    let Some(site) = Site::start(&["a"], "") else {
        return;
    };
    let said = site.call("fail_late", &["1"]);
    assert_eq!(
        said,
        "message a: 1\nstatus DATA_LOSS\ndetails 'half of it'\n"
    );
}

#[test]
fn calls_of_one_channel_go_to_the_servers_in_turn() {
    let Some(site) = Site::start(&["a", "b"], "") else {
        return;
    };
    let said = site.call("unary", &["x"; 6]);
    let names: Vec<_> = said
        .lines()
        .filter_map(|line| line.strip_prefix("message ")?.strip_suffix(": x"))
        .collect();
    assert!(names == ["a", "b", "a", "b", "a", "b"], "{said}");
}

#[test]
fn many_calls_at_once_are_answered_each_with_its_own() {
    let Some(site) = Site::start(&["a", "b"], "") else {
        return;
    };
    let texts: Vec<_> = (0..200).map(|i| i.to_string()).collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    let said = site.call("at_once", &texts);
    let messages = said.lines().filter(|line| line.starts_with("message "));
    let answers: Vec<_> = messages
        .filter_map(|line| line.split(": ").nth(1))
        .collect();
    assert_eq!(answers, texts);
    for name in ["message a: ", "message b: "] {
        assert_eq!(said.matches(name).count(), 100, "{said}");
    }
}
