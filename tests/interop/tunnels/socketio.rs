//! socket.io's client before two of its servers: a session begins with polling, which only one server knows, and becomes
//! a WebSocket.

use std::{fs, process::Stdio};

use crate::harness::{Lbd, Process, until};
use crate::support::{addr, are_here, front, outcome, program, url};

const CLIENT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/interop/socketio/client.js"
);
const SERVER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/interop/socketio/server.js"
);

struct Site {
    lbd: Lbd,
    _servers: [Process; 2],
}

impl Site {
    fn start(keys: &str) -> Option<Self> {
        if !are_here(&["node", "node:socket.io", "node:socket.io-client"]) {
            return None;
        }
        let servers = [(); 2].map(|()| {
            let mut node = program("node");
            Process::spawn(node.arg(SERVER).stdin(Stdio::null()))
        });
        let addrs = servers
            .each_ref()
            .map(|server| format!("\"{}\"", addr(server)));
        Some(Self {
            lbd: front(&addrs, keys),
            _servers: servers,
        })
    }

    /// What a client says that may use these transports.
    fn client(&self, transports: &[&str]) -> String {
        let mut node = program("node");
        node.args([CLIENT, &url(&self.lbd, "")]).args(transports);
        let ended = outcome(&mut node);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.out
    }
}

/// What a client says that opens with one transport and is answered over another.
fn answered(first: &str, then: &str) -> String {
    format!(
        "open {first}\nconnected\ntransport {then}\nanswer hello\nsame true\n\
         disconnected io client disconnect\n"
    )
}

#[test]
fn polling_becomes_websocket_where_a_client_stays_with_its_server() {
    let Some(site) = Site::start("balance = \"ip_hash\"") else {
        return;
    };
    let said = site.client(&["polling", "websocket"]);
    assert_eq!(said, answered("polling", "websocket"));
    let line = until("the tunnel's line is written", || {
        let log = fs::read_to_string(site.lbd.dir.file("access.log")).ok()?;
        let mut lines = log.lines();
        let line = lines.find(|line| line.contains("transport=websocket"));
        line.map(str::to_owned)
    });
    assert!(line.contains(" HTTP/1.1\" 101 "), "{line}");
    assert!(line.contains(" received="), "{line}");
}

#[test]
fn polling_goes_on_where_a_client_stays_with_its_server() {
    let Some(site) = Site::start("balance = \"ip_hash\"") else {
        return;
    };
    let said = site.client(&["polling"]);
    assert_eq!(said, answered("polling", "polling"));
}

#[test]
fn polling_becomes_websocket_where_a_cookie_of_lbd_s_says_which_server() {
    let Some(site) = Site::start("sticky = { cookie = \"lbd\" }") else {
        return;
    };
    for _ in 0..3 {
        let said = site.client(&["polling", "websocket"]);
        assert_eq!(said, answered("polling", "websocket"));
    }
}

#[test]
fn polling_goes_on_where_a_cookie_of_lbd_s_says_which_server() {
    let Some(site) = Site::start("sticky = { cookie = \"lbd\" }") else {
        return;
    };
    for _ in 0..3 {
        let said = site.client(&["polling"]);
        assert_eq!(said, answered("polling", "polling"));
    }
}

#[test]
fn polling_fails_where_each_request_goes_to_another_server() {
    let Some(site) = Site::start("balance = \"round_robin\"") else {
        return;
    };
    let said = site.client(&["polling"]);
    assert!(said.starts_with("open polling\nconnect_error "), "{said}");
    assert!(said.contains("400"), "{said}");
    assert!(said.contains("Session ID unknown"), "{said}");
}

#[test]
fn websocket_alone_needs_no_server_of_its_own() {
    let Some(site) = Site::start("balance = \"round_robin\"") else {
        return;
    };
    for _ in 0..2 {
        let said = site.client(&["websocket"]);
        assert_eq!(said, answered("websocket", "websocket"));
    }
}
