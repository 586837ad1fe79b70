//! An app that says what it was asked, and sends back what it was given.

use std::process::Stdio;

use super::programs::program;
use crate::harness::Process;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/support/echo.py");

/// Python's HTTP/1.1 server: GET is answered with the request's head, POST and PUT with its body. Killed on drop.
#[derive(Debug)]
pub(crate) struct Echo {
    _process: Process,
    pub(crate) addr: String,
}

impl Echo {
    pub(crate) fn start() -> Self {
        let mut python = program("python3");
        let process = Process::spawn(python.arg(SCRIPT).stdin(Stdio::null()));
        let addr = addr(&process);
        Self {
            _process: process,
            addr,
        }
    }
}

/// The address of a script that has said its port.
pub(crate) fn addr(script: &Process) -> String {
    let line = script.out.wait_for("port ");
    let port = line.strip_prefix("port ").expect("a port");
    format!("127.0.0.1:{port}")
}
