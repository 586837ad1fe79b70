//! `[[streams]]`: ports whose bytes are passed on as they are (nginx's `stream` module).

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{
    listener::read_bind,
    proxies::{TrustedProxies, read_proxies},
    reader::{Section, Value},
    route::HostMatch,
    source::At,
    tls::ListenerTls,
};

/// One entry of `[[streams]]`.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The name that logs use.
    pub name: Option<At<String>>,
    /// The addresses to accept on.
    pub bind: Vec<At<SocketAddr>>,
    /// What is passed on.
    pub protocol: StreamProtocol,
    /// Where to.
    pub target: StreamTarget,
    /// The PROXY header that servers are sent (nginx `proxy_protocol on`).
    pub send_proxy: Option<ProxyVersion>,
    /// Whether clients send one (nginx `listen … proxy_protocol`), and who may.
    pub proxy_protocol: bool,
    /// Proxies in front whose PROXY header is believed.
    pub trusted_proxies: TrustedProxies,
    /// Clients speak TLS, and lbd ends it.
    pub tls: Option<ListenerTls>,
    /// How long each side may take.
    pub timeouts: StreamTimeouts,
    /// How long either side may leave unacknowledged what it was sent (TCP_USER_TIMEOUT, HAProxy `tcp-ut`); `None`: as
    /// long as the kernel tries. It also ends a connection to somebody who is there and does not read.
    pub tcp_user_timeout: Option<Duration>,
    /// Datagrams that a session of UDP expects back for each that its client sends, after which it is over (nginx
    /// `proxy_responses`).
    pub responses: Option<u32>,
    /// Connections at a time; others are closed. 0: no limit.
    pub max_connections: u32,
    /// Sessions of UDP at a time.
    pub max_sessions: u32,
}

/// What a stream passes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StreamProtocol {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

/// Which pool a stream is for.
#[derive(Clone, Debug)]
pub enum StreamTarget {
    /// This one.
    Pool(At<String>),
    /// The one for the name that a client asks for in TLS, which stays closed (nginx `ssl_preread`).
    Sni(Vec<SniRoute>),
}

/// One name of `sni`, and the pool for it.
#[derive(Clone, Debug)]
pub struct SniRoute {
    /// `None`: every other name, and clients that name nobody.
    pub host: Option<HostMatch>,
    /// Its pool.
    pub pool: At<String>,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProxyVersion {
    /// One line of text.
    V1,
    /// Binary, with what is known of TLS.
    V2,
}

/// How long each side of a stream may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StreamTimeouts {
    /// For a server to accept a connection (nginx `proxy_connect_timeout`); `None`: as its pool says.
    pub connect: Option<Duration>,
    /// Without a byte in either direction (nginx `proxy_timeout`).
    pub idle: Duration,
    /// For what comes before the first byte that is passed on: a PROXY header, a TLS handshake or what is read of one.
    pub header: Duration,
}

impl Default for StreamTimeouts {
    fn default() -> Self {
        Self {
            connect: None,
            idle: Duration::from_secs(600),
            header: Duration::from_secs(60),
        }
    }
}

/// As many as a client machine has ports: 30 MB of memory and as many descriptors.
const DEFAULT_MAX_SESSIONS: u32 = 1 << 16;

impl Stream {
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        let section = value.section("[[streams]]")?;
        let protocol = section
            .get("protocol")
            .and_then(|v| v.word(&[("tcp", StreamProtocol::Tcp), ("udp", StreamProtocol::Udp)]))
            .unwrap_or(StreamProtocol::Tcp);
        match protocol {
            StreamProtocol::Udp => refuse(
                &section,
                &[
                    "tls",
                    "sni",
                    "send_proxy",
                    "proxy_protocol",
                    "trusted_proxies",
                    "tcp_user_timeout",
                    "max_connections",
                ],
                NO_CONNECTIONS,
            ),
            StreamProtocol::Tcp => refuse(
                &section,
                &["responses", "max_sessions"],
                "is for protocol = \"udp\"",
            ),
        }
        let (proxy_protocol, trusted_proxies) = read_proxies(&section);
        if !proxy_protocol
            && protocol == StreamProtocol::Tcp
            && let Some(value) = section.get("trusted_proxies")
        {
            value.warn(
                "does nothing without `proxy_protocol`",
                "add proxy_protocol = true, or remove it",
            );
        }
        let stream = Self {
            name: section.get("name").and_then(|v| v.string()),
            bind: read_bind(&section, "stream", "0.0.0.0:6183"),
            protocol,
            target: read_target(&section).unwrap_or(StreamTarget::Sni(Vec::new())),
            send_proxy: section.get("send_proxy").and_then(|v| read_version(&v)),
            proxy_protocol,
            trusted_proxies,
            tls: section
                .get("tls")
                .and_then(|v| ListenerTls::read_for_stream(&v)),
            timeouts: section
                .get("timeouts")
                .and_then(|v| StreamTimeouts::read(&v, protocol))
                .unwrap_or_default(),
            tcp_user_timeout: section.get("tcp_user_timeout").and_then(|v| v.timeout()),
            responses: section
                .get("responses")
                .and_then(|v| v.integer(1..=u32::MAX))
                .map(|n| n.value),
            max_connections: section
                .get("max_connections")
                .and_then(|v| v.integer(0..=10_000_000))
                .map_or(0, |n| n.value),
            max_sessions: section
                .get("max_sessions")
                .and_then(|v| v.integer(1..=10_000_000))
                .map_or(DEFAULT_MAX_SESSIONS, |n| n.value),
        };
        section.finish();
        Some(stream)
    }

    /// The pools that it names.
    pub fn pools(&self) -> impl Iterator<Item = &At<String>> {
        let (one, several) = match &self.target {
            StreamTarget::Pool(pool) => (Some(pool), &[][..]),
            StreamTarget::Sni(routes) => (None, &routes[..]),
        };
        one.into_iter()
            .chain(several.iter().map(|route| &route.pool))
    }
}

const NO_CONNECTIONS: &str = "is for connections, and UDP has none";

/// Notes a fault for each of `keys` that is there.
fn refuse(section: &Section<'_>, keys: &[&'static str], reason: &str) {
    for key in keys {
        if let Some(value) = section.get(key) {
            value.fault(reason, "remove it");
        }
    }
}

/// `None` goes with a fault.
fn read_target(section: &Section<'_>) -> Option<StreamTarget> {
    let (pool, sni) = (section.get("pool"), section.get("sni"));
    if let (Some(sni), true) = (&sni, section.get("tls").is_some()) {
        sni.fault(
            "stands beside `tls`",
            "a stream either ends TLS (`tls`) or passes it on unopened (`sni`): remove one of the two",
        );
    }
    match (pool, sni) {
        (Some(pool), None) => Some(StreamTarget::Pool(pool.string()?)),
        (None, Some(sni)) => Some(StreamTarget::Sni(read_sni(&sni)?)),
        (Some(_), Some(sni)) => {
            sni.fault(
                "stands beside `pool`",
                "name the pool for all other names as \"*\" and remove `pool`",
            );
            None
        }
        (None, None) => {
            section.error(
                "a stream without `pool`",
                "name the pool that it is for: pool = \"mqtt\"",
            );
            None
        }
    }
}

fn read_sni(value: &Value<'_>) -> Option<Vec<SniRoute>> {
    let section = value.section("sni")?;
    if section.is_empty() {
        value.fault(
            "is empty",
            "sni = { \"mqtt.company.com\" = \"mqtt\", \"*\" = \"web\" }",
        );
    }
    let mut routes: Vec<SniRoute> = Vec::new();
    for (name, pool) in section.entries() {
        let span = name.span.clone();
        if name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            value.fault_at(
                span,
                "has an address",
                "clients ask for names only; what asks for none goes to \"*\"",
            );
            continue;
        }
        let host = match name.as_str() {
            "*" => None,
            _ => match HostMatch::parse(value, name) {
                Some(host) => Some(host.value),
                None => continue,
            },
        };
        if routes.iter().any(|route| route.host == host) {
            value.fault_at(
                span,
                "has a name twice",
                "case and a dot at the end make no difference",
            );
        }
        routes.extend(pool.string().map(|pool| SniRoute { host, pool }));
    }
    Some(routes)
}

pub(super) fn read_version(value: &Value<'_>) -> Option<ProxyVersion> {
    value.word(&[
        ("off", None),
        ("v1", Some(ProxyVersion::V1)),
        ("v2", Some(ProxyVersion::V2)),
    ])?
}

impl StreamTimeouts {
    fn read(value: &Value<'_>, protocol: StreamProtocol) -> Option<Self> {
        let section = value.section("timeouts")?;
        let default = Self::default();
        if protocol == StreamProtocol::Udp {
            refuse(&section, &["connect", "header"], NO_CONNECTIONS);
        }
        let read = |key| section.get(key).and_then(|v| v.timeout());
        let timeouts = Self {
            connect: read("connect"),
            idle: read("idle").unwrap_or(default.idle),
            header: read("header").unwrap_or(default.header),
        };
        section.finish();
        Some(timeouts)
    }
}
