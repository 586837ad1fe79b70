//! lbd's streams before others' servers.

use std::net::SocketAddr;

use crate::harness::{File, Lbd};

/// lbd with a stream.
#[derive(Debug)]
pub(crate) struct Stream {
    _lbd: Lbd,
    /// Of the stream; there is a listener without routes, too.
    pub(crate) addr: SocketAddr,
}

impl Stream {
    /// The stream has these keys, and so has the only pool, `app`. It gets every connection.
    pub(crate) fn start(keys: &str, pool: &str) -> Self {
        Self::choosing(&format!("pool = \"app\"\n{keys}"), pool)
    }

    /// As [`Self::start`], but the keys say who gets a connection, too.
    pub(crate) fn choosing(keys: &str, pool: &str) -> Self {
        // Not at the listener's address, so that it can be told from it in what lbd says.
        let rest = format!("[[streams]]\nbind = \"127.0.0.2:0\"\n{keys}\n[pools.app]\n{pool}\n");
        let lbd = File {
            rest: &rest,
            ..File::default()
        }
        .start();
        let line = lbd.process.err.wait_for("listening on 127.0.0.2:");
        let mut words = line.split_whitespace();
        let addr = words.find(|word| word.starts_with("127.0.0.2:"));
        let addr = addr.and_then(|addr| addr.parse().ok());
        Self {
            _lbd: lbd,
            addr: addr.expect("the start-up line names an address"),
        }
    }

    /// Its host and its port, as programs take them.
    pub(crate) fn host_and_port(&self) -> [String; 2] {
        [self.addr.ip().to_string(), self.addr.port().to_string()]
    }
}
