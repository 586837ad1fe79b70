//! `[pools.NAME]`: the servers behind an app, and what lbd does when one of them fails.

use std::{fmt, time::Duration};

use super::{
    reader::{Section, Value},
    server::ServerSpec,
    source::At,
    tls::PeerTls,
};

/// One table below `[pools]`.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The name that routes use.
    pub name: At<String>,
    /// Its servers, in the file's order.
    pub servers: Vec<ServerSpec>,
    /// How a server is chosen.
    pub balance: Balance,
    /// When another server is tried.
    pub retry: Retry,
    /// How long a server may take.
    pub timeouts: PeerTimeouts,
    /// What is done with connections to servers between requests.
    pub keepalive: Keepalive,
    /// The `Host` that servers see.
    pub host: HostSent,
    /// What is spoken to them.
    pub protocol: PeerProtocol,
    /// They speak TLS.
    pub tls: Option<PeerTls>,
}

/// What is spoken to a pool's servers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PeerProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: with TLS if the pool has it, else by prior knowledge.
    Http2,
}

/// How a server is chosen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Balance {
    /// Smooth weighted round robin (nginx's default).
    RoundRobin,
    /// By the client's network (nginx `ip_hash`).
    IpHash,
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RoundRobin => "round_robin",
            Self::IpHash => "ip_hash",
        })
    }
}

/// When another server is tried (nginx `proxy_next_upstream` and its `_tries`, `_timeout`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Retry {
    /// What makes lbd turn to the next server.
    pub on: RetryOn,
    /// Servers to try at most; 0: each once.
    pub tries: u32,
    /// No further try starts after this time; zero: no limit.
    pub timeout: Duration,
    /// Whether POST, PATCH and LOCK may be sent a second time.
    pub non_idempotent: bool,
}

/// What makes lbd turn to the next server.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RetryOn {
    /// A connection that fails, or breaks before the response head is complete.
    pub error: bool,
    /// A server that does not connect or answer in time.
    pub timeout: bool,
    /// An answer that is empty or is no HTTP.
    pub invalid_header: bool,
    /// Answers with these status codes.
    pub statuses: Vec<u16>,
    /// gRPC answers without a message whose `grpc-status` is 14 (unavailable).
    pub grpc_unavailable: bool,
}

/// How long a server may take (nginx `proxy_connect_timeout`, `proxy_send_timeout`, `proxy_read_timeout`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PeerTimeouts {
    /// To accept a connection.
    pub connect: Duration,
    /// Between two writes to it.
    pub send: Duration,
    /// Between two reads from it.
    pub read: Duration,
    /// Without a byte in either direction, once a connection has changed its protocol (WebSocket). nginx has
    /// `proxy_read_timeout` for that, and its minute cuts off what is only quiet.
    pub tunnel: Duration,
}

/// What is done with connections to servers between requests (nginx `keepalive`, `keepalive_timeout`, `keepalive_requests`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Keepalive {
    /// Idle connections kept for each worker and server; 0: none.
    pub idle: usize,
    /// How long one may be idle.
    pub timeout: Duration,
    /// Requests after which one is closed.
    pub requests: u32,
}

/// The `Host` that servers see.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HostSent {
    /// What the client sent, with its port.
    Client,
    /// The server's address as the file says it.
    Server,
    /// Always this text.
    Literal(String),
}

/// What a route may say differently from its pool; absent parts are the pool's.
#[derive(Clone, Debug, Default)]
pub struct RetryOverrides {
    on: Option<RetryOn>,
    tries: Option<u32>,
    timeout: Option<Duration>,
    non_idempotent: Option<bool>,
}

/// What a route may say differently from its pool; absent parts are the pool's.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimeoutOverrides {
    connect: Option<Duration>,
    send: Option<Duration>,
    read: Option<Duration>,
    tunnel: Option<Duration>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            on: RetryOn {
                error: true,
                timeout: true,
                invalid_header: true,
                statuses: Vec::new(),
                grpc_unavailable: false,
            },
            tries: 0,
            timeout: Duration::ZERO,
            non_idempotent: false,
        }
    }
}

impl Default for PeerTimeouts {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self {
            connect: minute,
            send: minute,
            read: minute,
            tunnel: 60 * minute,
        }
    }
}

impl Default for Keepalive {
    fn default() -> Self {
        Self {
            idle: 128,
            timeout: Duration::from_secs(60),
            requests: 10_000,
        }
    }
}

impl Retry {
    /// This policy with what `overrides` says differently.
    pub fn with(&self, overrides: &RetryOverrides) -> Self {
        Self {
            on: overrides.on.clone().unwrap_or_else(|| self.on.clone()),
            tries: overrides.tries.unwrap_or(self.tries),
            timeout: overrides.timeout.unwrap_or(self.timeout),
            non_idempotent: overrides.non_idempotent.unwrap_or(self.non_idempotent),
        }
    }
}

impl PeerTimeouts {
    /// These timeouts with what `overrides` says differently.
    pub fn with(self, overrides: TimeoutOverrides) -> Self {
        Self {
            connect: overrides.connect.unwrap_or(self.connect),
            send: overrides.send.unwrap_or(self.send),
            read: overrides.read.unwrap_or(self.read),
            tunnel: overrides.tunnel.unwrap_or(self.tunnel),
        }
    }
}

impl Pool {
    pub(super) fn read(name: At<String>, value: &Value<'_>) -> Option<Self> {
        let section = value.section(format!("[pools.{}]", *name))?;
        let (protocol, tls) = read_protocol(&section);
        let pool = Self {
            protocol,
            tls,
            servers: ServerSpec::read_all(&section),
            balance: section
                .get("balance")
                .and_then(|v| read_balance(&v))
                .unwrap_or(Balance::RoundRobin),
            retry: Retry::default().with(
                &section
                    .get("retry")
                    .and_then(|v| RetryOverrides::read(&v))
                    .unwrap_or_default(),
            ),
            timeouts: PeerTimeouts::default().with(
                section
                    .get("timeouts")
                    .and_then(|v| TimeoutOverrides::read(&v))
                    .unwrap_or_default(),
            ),
            keepalive: section
                .get("keepalive")
                .and_then(|v| Keepalive::read(&v))
                .unwrap_or_default(),
            host: section
                .get("host")
                .and_then(|v| read_host(&v))
                .unwrap_or(HostSent::Client),
            name,
        };
        for key in [
            "hash_key",
            "consistent",
            "sticky",
            "health",
            "queue",
            "slow_start",
            "discovery",
        ] {
            section.not_yet(key);
        }
        section.finish();
        Some(pool)
    }
}

fn read_balance(value: &Value<'_>) -> Option<Balance> {
    let later = ["least_conn", "random", "hash"];
    if value.is_string()
        && value
            .string()
            .is_some_and(|text| later.contains(&text.as_str()))
    {
        value.fault(
            "has a method that is not supported yet",
            "\"round_robin\" or \"ip_hash\"",
        );
        return None;
    }
    value.word(&[
        ("round_robin", Balance::RoundRobin),
        ("ip_hash", Balance::IpHash),
    ])
}

/// `h2` is HTTP/2 inside TLS and `h2c` without, so the one implies `tls` and the other excludes it.
fn read_protocol(section: &Section<'_>) -> (PeerProtocol, Option<PeerTls>) {
    #[derive(Clone, Copy, PartialEq)]
    enum Word {
        Http1,
        H2c,
        H2,
    }
    let protocol = section.get("protocol");
    let tls = section.get("tls");
    let word = protocol
        .as_ref()
        .and_then(|v| v.word(&[("http1", Word::Http1), ("h2c", Word::H2c), ("h2", Word::H2)]));
    if word == Some(Word::H2c)
        && let Some(tls) = &tls
    {
        tls.fault(
            "stands beside protocol = \"h2c\", which is HTTP/2 without TLS",
            "write protocol = \"h2\", or remove `tls`",
        );
    }
    let tls = match (tls, &protocol) {
        (Some(tls), _) => PeerTls::read(&tls),
        (None, Some(protocol)) if word == Some(Word::H2) => Some(PeerTls::implied(protocol)),
        (None, _) => None,
    };
    match word {
        Some(Word::H2 | Word::H2c) => (PeerProtocol::Http2, tls),
        Some(Word::Http1) | None => (PeerProtocol::Http1, tls),
    }
}

fn read_host(value: &Value<'_>) -> Option<HostSent> {
    let text = value.string()?;
    match text.as_str() {
        "client" => Some(HostSent::Client),
        "server" => Some(HostSent::Server),
        literal
            if !literal.is_empty()
                && literal
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b)) =>
        {
            Some(HostSent::Literal(text.value))
        }
        _ => {
            value.fault(
                format!("is not a host: \"{}\"", *text),
                "\"client\", \"server\", or a name such as \"app.internal:8080\"",
            );
            None
        }
    }
}

const RETRY_STATUSES: [(&str, u16); 7] = [
    ("http_403", 403),
    ("http_404", 404),
    ("http_429", 429),
    ("http_500", 500),
    ("http_502", 502),
    ("http_503", 503),
    ("http_504", 504),
];

impl RetryOverrides {
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        let section = value.section("retry")?;
        let overrides = Self {
            on: section.get("on").map(|v| RetryOn::read(&v)),
            tries: section
                .get("tries")
                .and_then(|v| v.integer(0..=1000))
                .map(|n| n.value),
            timeout: section.get("timeout").and_then(|v| v.duration()),
            non_idempotent: section.get("non_idempotent").and_then(|v| v.boolean()),
        };
        section.not_yet("budget");
        section.finish();
        Some(overrides)
    }
}

impl RetryOn {
    /// Reads the words of `on`; `[]` or `"off"` is never.
    fn read(value: &Value<'_>) -> Self {
        let mut on = Self::default();
        if value.is_string() && value.string().is_some_and(|word| *word == "off") {
            return on;
        }
        for item in value.array().unwrap_or_default() {
            on.read_word(&item);
        }
        on
    }

    fn read_word(&mut self, item: &Value<'_>) {
        let words: Vec<(&str, u16)> = [
            ("error", 0),
            ("timeout", 1),
            ("invalid_header", 2),
            ("grpc_unavailable", 3),
        ]
        .into_iter()
        .chain(RETRY_STATUSES)
        .collect();
        if item.is_string() && item.string().is_some_and(|word| *word == "non_idempotent") {
            item.fault(
                "has \"non_idempotent\" among its words",
                "it is a key beside `on`: non_idempotent = true",
            );
            return;
        }
        match item.word(&words) {
            Some(0) => self.error = true,
            Some(1) => self.timeout = true,
            Some(2) => self.invalid_header = true,
            Some(3) => self.grpc_unavailable = true,
            Some(status) => self.statuses.push(status),
            None => {}
        }
    }
}

impl TimeoutOverrides {
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        let section = value.section("timeouts")?;
        let read = |key| section.get(key).and_then(|v| v.timeout());
        let overrides = Self {
            connect: read("connect"),
            send: read("send"),
            read: read("read"),
            tunnel: read("tunnel"),
        };
        section.finish();
        Some(overrides)
    }
}

impl Keepalive {
    fn read(value: &Value<'_>) -> Option<Self> {
        let section = value.section("keepalive")?;
        let default = Self::default();
        let number = |section: &Section<'_>, key, range| {
            section
                .get(key)
                .and_then(|v| v.integer(range))
                .map(|n| n.value)
        };
        let keepalive = Self {
            idle: number(&section, "idle", 0..=100_000).map_or(default.idle, |n| n as usize),
            timeout: section
                .get("timeout")
                .and_then(|v| v.timeout())
                .unwrap_or(default.timeout),
            requests: number(&section, "requests", 1..=u32::MAX).unwrap_or(default.requests),
        };
        section.finish();
        Some(keepalive)
    }
}
