//! `check = "grpc"` before gRPC's own server.

use std::process::Stdio;

use super::{AT_ONCE, becomes, said_of};
use crate::harness::{Dir, Lbd, Process};
use crate::support::{PYTHON, addr, are_here, front_with, outcome, program, servers};

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/grpc/client.py");
const SERVER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/interop/checks/health.py"
);

/// health.py. Killed on drop.
struct Server {
    // Before `dir`, so that nobody reads there when it is removed.
    _process: Process,
    dir: Dir,
    addr: String,
}

impl Server {
    fn start(name: &str, statuses: &str) -> Self {
        let dir = Dir::new();
        let file = dir.write("statuses", statuses);
        let mut python = program(PYTHON);
        python.args([SERVER, name]).arg(file).stdin(Stdio::null());
        let process = Process::spawn(&mut python);
        let addr = addr(&process);
        Self {
            _process: process,
            dir,
            addr,
        }
    }

    /// From now on it says so.
    fn says(&self, statuses: &str) {
        let new = self.dir.write("new", statuses);
        std::fs::rename(new, self.dir.file("statuses")).expect("files of our own");
    }
}

/// lbd before these, whose checks have these keys.
fn before(running: &[&Server], keys: &str) -> Lbd {
    let addrs: Vec<_> = running.iter().map(|server| &server.addr).collect();
    let health = format!("health = {{ check = \"grpc\", {AT_ONCE}{keys} }}");
    let pool = format!("{}\nprotocol = \"h2c\"\n{health}", servers(&addrs));
    let lbd = front_with("h2c = true", &pool);
    lbd.process.err.wait_for("control socket ");
    lbd
}

/// Who answers six calls.
fn names(lbd: &Lbd) -> String {
    let mut python = program(PYTHON);
    python.args([CLIENT, &lbd.addr.to_string(), "-", "unary"]);
    let ended = outcome(python.args(["x"; 6]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let lines = ended.out.lines();
    let mut names: Vec<_> = lines
        .filter_map(|line| line.strip_prefix("message ")?.strip_suffix(": x"))
        .collect();
    assert_eq!(names.len(), 6, "{}", ended.out);
    names.sort_unstable();
    names.dedup();
    names.concat()
}

#[test]
fn a_server_gets_calls_while_it_is_serving() {
    if !are_here(&["python:grpc"]) {
        return;
    }
    let (a, b) = (
        Server::start("a", "- SERVING"),
        Server::start("b", "- SERVING"),
    );
    let lbd = before(&[&a, &b], "");
    assert_eq!(names(&lbd), "ab");
    a.says("- NOT_SERVING");
    becomes(&lbd, &a.addr, "out is not serving");
    assert_eq!(names(&lbd), "b");
    a.says("- SERVING");
    becomes(&lbd, &a.addr, "up");
    assert_eq!(names(&lbd), "ab");
}

#[test]
fn a_service_is_asked_about_by_its_name() {
    if !are_here(&["python:grpc"]) {
        return;
    }
    let server = Server::start("a", "- NOT_SERVING\nmy.Service SERVING\n");
    let lbd = before(&[&server], ", service = \"my.Service\"");
    assert_eq!(said_of(&lbd, &server.addr), "up");
    let lbd = before(&[&server], ", service = \"my.Other\"");
    let said = said_of(&lbd, &server.addr);
    assert!(said.starts_with("out does not know the service"), "{said}");
}

#[test]
fn what_is_not_serving_is_not_well() {
    if !are_here(&["python:grpc"]) {
        return;
    }
    for (status, reason) in [
        ("NOT_SERVING", "is not serving"),
        ("UNKNOWN", "does not say whether it serves"),
        ("SERVICE_UNKNOWN", "does not know the service"),
    ] {
        let server = Server::start("a", &format!("- {status}"));
        let lbd = before(&[&server], "");
        let said = said_of(&lbd, &server.addr);
        assert!(said.starts_with(&format!("out {reason}")), "{said}");
    }
}

#[test]
fn a_server_without_the_service_is_out_and_told_apart() {
    if !are_here(&["python:grpc"]) {
        return;
    }
    const PLAIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/grpc/server.py");
    let mut python = program(PYTHON);
    let process = Process::spawn(python.args([PLAIN, "a"]).stdin(Stdio::null()));
    let addr = addr(&process);
    let health = format!("health = {{ check = \"grpc\", {AT_ONCE} }}");
    let pool = format!("{}\nprotocol = \"h2c\"\n{health}", servers(&[&addr]));
    let lbd = front_with("h2c = true", &pool);
    lbd.process.err.wait_for("control socket ");
    let said = said_of(&lbd, &addr);
    assert!(
        said.starts_with("out does not know grpc.health.v1"),
        "{said}"
    );
}
