//! An lbd that waits for its last requests does not keep the next one from its port.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use rustix::process::Signal;

use super::{Admin, ROUTES, server};
use crate::harness::{Dir, File, Lbd};

/// A file with this port for `[admin]`.
fn text(port: u16) -> String {
    let top = format!("[admin]\nbind = \"127.0.0.1:{port}\"");
    let rest = ROUTES.replace("@SERVER@", &server().to_string());
    let file = File {
        top: &top,
        rest: &rest,
        ..File::default()
    };
    file.text()
}

#[test]
fn a_successor_starts_while_the_last_request_is_waited_for() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("a bound socket").port();
    drop(free);
    let mut first = Admin::of(&text(port), Dir::new());
    let mut slow = TcpStream::connect(first.lbd.addr).expect("lbd accepts");
    let head = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
    slow.write_all(head.as_bytes()).expect("lbd reads");
    // Another request shows that it has been read.
    let looked = first.get("/api/v1/status");
    assert_eq!(looked.status, 200);
    first.lbd.process.signal(Signal::QUIT);
    first.lbd.process.err.wait_for("stopping when the last");
    let second = Lbd::start(&text(port), &[]);
    second
        .process
        .err
        .wait_for(&format!("admin on http://127.0.0.1:{port}"));
    slow.write_all(b"abc").expect("the first still reads");
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).expect("and answers");
    assert_eq!(&answer, b"HTTP/1.1 200");
    assert_eq!(first.lbd.process.finish().code, Some(0));
}
