//! openssl's client, and what it sees of a handshake.

use std::fs::File;

use super::programs::{outcome, program};
use crate::harness::{Dir, Lbd, Process, process::Finished};

/// The last request of a connection.
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// What openssl says of a connection.
#[derive(Debug)]
pub(crate) struct Handshake {
    /// Whether it was done.
    pub(crate) is_done: bool,
    said: String,
}

/// `openssl s_client ARGS`, which leaves after the handshake.
pub(crate) fn s_client(lbd: &Lbd, args: &[&str]) -> Handshake {
    let mut openssl = program("openssl");
    openssl.args(["s_client", "-connect", &lbd.addr.to_string()]);
    outcome(openssl.args(args)).into()
}

/// `openssl s_client ARGS`, which asks for / and leaves when lbd does.
///
/// It gets what comes after the handshake too: the sessions of TLS 1.3.
pub(crate) fn s_client_asks(lbd: &Lbd, args: &[&str]) -> Handshake {
    let dir = Dir::new();
    let request = File::open(dir.write("request", REQUEST)).expect("a file of our own");
    let mut openssl = program("openssl");
    openssl.args(["s_client", "-ign_eof", "-connect", &lbd.addr.to_string()]);
    Process::spawn(openssl.args(args).stdin(request))
        .finish()
        .into()
}

impl From<Finished> for Handshake {
    fn from(ended: Finished) -> Self {
        Self {
            is_done: ended.code == Some(0),
            said: ended.out + &ended.err,
        }
    }
}

impl Handshake {
    /// Whether the server's certificate is the first of `pem`.
    pub(crate) fn is_shown(&self, pem: &str) -> bool {
        let begin = self.said.find("-----BEGIN CERTIFICATE-----");
        let shown = begin.map(|begin| &self.said[begin..]);
        let end = shown.and_then(|shown| shown.find("-----END"));
        let (shown, end) = shown.zip(end).unwrap_or_else(|| panic!("{}", self.said));
        pem.starts_with(&shown[..end])
    }

    /// Whether an earlier session went on.
    pub(crate) fn is_resumed(&self) -> bool {
        let begins = |with| self.said.lines().any(|line| line.starts_with(with));
        assert!(begins("Reused, TLS") || begins("New, TLS"), "{}", self.said);
        begins("Reused, TLS")
    }

    /// The protocol that was agreed on.
    pub(crate) fn alpn(&self) -> Option<&str> {
        let mut lines = self.said.lines();
        lines.find_map(|line| line.strip_prefix("ALPN protocol: "))
    }

    /// Whether the request was answered.
    pub(crate) fn is_answered(&self) -> bool {
        self.said.contains("HTTP/1.1 200 ")
    }
}
