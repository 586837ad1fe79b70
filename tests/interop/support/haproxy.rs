//! HAProxy with a configuration of its own.

use std::process::Stdio;

use super::{port::Port, programs::program};
use crate::harness::{Dir, Process};

const AROUND: &str = "global
    maxconn 256
defaults
    timeout connect 10s
    timeout client 1m
    timeout server 1m
listen it
    bind @PORT@ @BIND@
    @LISTEN@
";

/// One listening address. Killed on drop.
#[derive(Debug)]
pub(crate) struct Haproxy {
    // Before `dir`, so that nobody reads there when it is removed.
    _process: Process,
    _dir: Dir,
    pub(crate) port: Port,
}

impl Haproxy {
    /// HAProxy with these words behind its address, and these lines.
    pub(crate) fn start(bind: &str, lines: &str) -> Self {
        let (dir, port) = (Dir::new(), Port::new());
        let text = AROUND
            .replace("@PORT@", &port.to_string())
            .replace("@BIND@", bind)
            .replace("@LISTEN@", lines);
        let mut haproxy = program("haproxy");
        haproxy
            .args(["-db", "-f"])
            .arg(dir.write("haproxy.cfg", &text));
        let process = Process::spawn(haproxy.stdin(Stdio::null()));
        port.until_it_listens();
        Self {
            _process: process,
            _dir: dir,
            port,
        }
    }
}
