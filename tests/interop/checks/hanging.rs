//! A server that stops as by SIGSTOP: its kernel takes connections, and nobody answers them.

use std::{fs, process::Stdio};

use rustix::process::Signal;

use super::becomes;
use crate::harness::{Dir, Process};
use crate::support::{Nginx, are_here, curl, front_with, program, servers, url};

/// Python's server, which says "p".
struct Python {
    // Before `dir`, so that nobody reads there when it is removed.
    process: Process,
    _dir: Dir,
    addr: String,
}

impl Python {
    fn start() -> Self {
        let dir = Dir::new();
        fs::write(dir.file("index.html"), "p").expect("a file of our own");
        let mut python = program("python3");
        python.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]);
        python.current_dir(dir.path()).stdin(Stdio::null());
        let process = Process::spawn(&mut python);
        let line = process.out.wait_for("Serving HTTP on 127.0.0.1 port ");
        let port = line.split(' ').nth(5).expect("a port");
        let addr = format!("127.0.0.1:{port}");
        Self {
            process,
            _dir: dir,
            addr,
        }
    }
}

#[test]
fn once_it_is_out_nobody_waits_for_a_server_that_stopped() {
    if !are_here(&["nginx", "python3", "curl"]) {
        return;
    }
    let (stopping, steady) = (Python::start(), Nginx::apps(&["s"]));
    let health =
        "health = { check = \"http\", interval = \"100ms\", timeout = \"500ms\", fall = 3 }";
    let both = servers(&[stopping.addr.clone(), steady.addr()]);
    let lbd = front_with("", &format!("{both}\n{health}"));
    lbd.process.err.wait_for("control socket ");
    let url = url(&lbd, "/");
    let answers = |count: usize| {
        // Far less than a read timeout.
        let args = [&["--max-time", "5"][..], &vec![url.as_str(); count]].concat();
        let fetched = curl(&args);
        assert_eq!((fetched.exit, fetched.values.len()), (0, count));
        assert_eq!(fetched.values, vec!["200"; count]);
        fetched.text()
    };
    assert!(answers(4).contains('p'));
    stopping.process.signal(Signal::STOP);
    becomes(&lbd, &stopping.addr, "out no answer within 500ms");
    assert_eq!(answers(40), "s".repeat(40));
    stopping.process.signal(Signal::CONT);
    becomes(&lbd, &stopping.addr, "up");
    assert!(answers(4).contains('p'));
}
