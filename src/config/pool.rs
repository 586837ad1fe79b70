//! `[pools.NAME]`: the servers behind an app, and what lbd does when one of them fails.

use std::time::Duration;

use super::{
    balance::Balance,
    expose::Expose,
    health::HealthCheck,
    reader::{Section, Value},
    retry::{Retry, RetryOverrides},
    server::{ServerDefaults, ServerSpec},
    source::At,
    sticky::Sticky,
    tls::PeerTls,
};

/// One table below `[pools]`.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The name that routes use.
    pub name: At<String>,
    /// The keys that the file gives it, and where.
    pub keys: Vec<At<String>>,
    /// Its servers, in the file's order.
    pub servers: Vec<ServerSpec>,
    /// What holds for servers that operators add.
    pub server_defaults: ServerDefaults,
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
    /// Which server a client stays with.
    pub sticky: Option<Sticky>,
    /// How lbd itself finds out whether they are well.
    pub health: Option<HealthCheck>,
    /// Of a hundred servers, how many may be out by failures; `None`: all of them.
    pub max_out: Option<u32>,
    /// Where requests wait while all servers have as many as they may.
    pub queue: Option<Queue>,
    /// Whether clients are told which server has answered.
    pub expose: Option<Expose>,
}

/// Where requests wait for a server (nginx Plus `queue`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Queue {
    /// How many at most.
    pub size: usize,
    /// How long each.
    pub timeout: Duration,
}

/// What is spoken to a pool's servers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PeerProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: with TLS if the pool has it, else by prior knowledge.
    Http2,
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
#[derive(Clone, Copy, Debug, Default)]
pub struct TimeoutOverrides {
    connect: Option<Duration>,
    send: Option<Duration>,
    read: Option<Duration>,
    tunnel: Option<Duration>,
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
        let (servers, server_defaults) = ServerSpec::read_all(&section);
        let pool = Self {
            protocol,
            tls,
            servers,
            server_defaults,
            balance: Balance::read(&section),
            retry: Retry::default().with(
                &section
                    .get("retry")
                    .and_then(|v| RetryOverrides::read(&v, true))
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
            sticky: section.get("sticky").and_then(|v| Sticky::read(&v)),
            health: section.get("health").and_then(|v| HealthCheck::read(&v)),
            max_out: section.get("max_out").and_then(|v| v.percent()),
            queue: section.get("queue").and_then(|v| Queue::read(&v)),
            expose: section
                .get("expose_upstream")
                .and_then(|v| Expose::read(&v)),
            keys: section.keys(),
            name,
        };
        section.not_yet("discovery");
        section.finish();
        Some(pool)
    }
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

impl Queue {
    fn read(value: &Value<'_>) -> Option<Self> {
        let section = value.section("queue")?;
        let queue = Self {
            size: section
                .get("size")
                .and_then(|v| v.integer(1..=1_000_000))
                .map_or(100, |n| n.value as usize),
            timeout: section
                .get("timeout")
                .and_then(|v| v.timeout())
                .unwrap_or(Duration::from_secs(10)),
        };
        section.finish();
        Some(queue)
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
