//! `[[listeners]]`: where clients connect, and how patient lbd is with them.

use std::{net::SocketAddr, time::Duration};

use super::{
    proxies::{TrustedProxies, read_proxies},
    reader::{Section, Value},
    source::At,
    tls::ListenerTls,
};

/// One entry of `[[listeners]]`.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The name that routes may use.
    pub name: Option<At<String>>,
    /// The addresses to accept on.
    pub bind: Vec<At<SocketAddr>>,
    /// Whether each connection begins with a PROXY header (nginx `listen … proxy_protocol`).
    pub proxy_protocol: bool,
    /// Proxies in front whose `X-Forwarded-*` and PROXY header are believed (nginx `set_real_ip_from`).
    pub trusted_proxies: TrustedProxies,
    /// How long a client may take.
    pub timeouts: ClientTimeouts,
    /// Bytes of request line and header fields together; more is answered 431.
    pub max_header: usize,
    /// Bytes of a request target; more is answered 414.
    pub max_uri: usize,
    /// The name to put in `Via`; absent: no `Via` is added.
    pub via: Option<String>,
    /// Whether fields with `_` in their name are passed on. Many apps cannot tell `X_Real_IP` from
    /// `X-Real-IP`, so that anybody could forge the latter (nginx `underscores_in_headers`).
    pub underscores_in_headers: bool,
    /// Clients speak TLS.
    pub tls: Option<ListenerTls>,
    /// Whether clients without TLS may speak HTTP/2 with prior knowledge (RFC 9113 section 3.3).
    pub h2c: bool,
    /// Requests that one HTTP/2 connection may have open (nginx `http2_max_concurrent_streams`).
    pub max_streams: u32,
    /// Connections at a time; on others each request is answered 503. 0: no limit.
    pub max_connections: u32,
}

/// How long a client may take (nginx `client_header_timeout`, `client_body_timeout`, `send_timeout`, `keepalive_timeout`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClientTimeouts {
    /// For the whole head of a request, from its first byte, and for that to come on a new connection; for a PROXY
    /// header and a TLS handshake together, too.
    pub header: Duration,
    /// Between two reads of a body.
    pub body: Duration,
    /// Between two writes to the client.
    pub send: Duration,
    /// Between two requests.
    pub idle: Duration,
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(60),
            body: Duration::from_secs(60),
            send: Duration::from_secs(60),
            idle: Duration::from_secs(75),
        }
    }
}

/// nginx's `large_client_header_buffers` is `4 8k`.
const DEFAULT_MAX_HEADER: usize = 32 << 10;
const DEFAULT_MAX_URI: usize = 8 << 10;
/// Beyond this a head is an attack or a mistake, whatever the file says.
const LARGEST_HEAD: u64 = 1 << 20;

/// Twice nginx's 128: gRPC clients put every call on one connection and wait for room there.
const DEFAULT_MAX_STREAMS: u32 = 256;

impl Listener {
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        let section = value.section("[[listeners]]")?;
        let (proxy_protocol, trusted_proxies) = read_proxies(&section);
        let listener = Self {
            name: section.get("name").and_then(|v| v.string()),
            bind: read_bind(&section, "listener", "0.0.0.0:8100"),
            proxy_protocol,
            trusted_proxies,
            timeouts: section
                .get("timeouts")
                .and_then(|v| ClientTimeouts::read(&v))
                .unwrap_or_default(),
            max_header: read_limit(&section, "max_header").unwrap_or(DEFAULT_MAX_HEADER),
            max_uri: read_limit(&section, "max_uri").unwrap_or(DEFAULT_MAX_URI),
            via: section.get("via").and_then(|v| read_via(&v)),
            underscores_in_headers: section
                .get("underscores_in_headers")
                .and_then(|v| v.boolean())
                .unwrap_or(false),
            tls: section.get("tls").and_then(|v| ListenerTls::read(&v)),
            h2c: read_h2c(&section),
            max_connections: section
                .get("max_connections")
                .and_then(|v| v.integer(0..=10_000_000))
                .map_or(0, |n| n.value),
            max_streams: section
                .get("max_streams")
                .and_then(|v| v.integer(1..=10_000))
                .map_or(DEFAULT_MAX_STREAMS, |n| n.value),
        };
        section.finish();
        Some(listener)
    }

    /// How messages and logs call it: its name, or its first address.
    pub fn label(&self) -> String {
        match (&self.name, self.bind.first()) {
            (Some(name), _) => name.value.clone(),
            (None, Some(bind)) => bind.to_string(),
            (None, None) => "listener".to_owned(),
        }
    }
}

impl ClientTimeouts {
    fn read(value: &Value<'_>) -> Option<Self> {
        let section = value.section("timeouts")?;
        let default = Self::default();
        let read = |key, default| {
            section
                .get(key)
                .and_then(|v| v.timeout())
                .unwrap_or(default)
        };
        let timeouts = Self {
            header: read("header", default.header),
            body: read("body", default.body),
            send: read("send", default.send),
            idle: read("idle", default.idle),
        };
        section.finish();
        Some(timeouts)
    }
}

/// `bind` of a table that is a `what`; `example` is an address for one.
pub(super) fn read_bind(section: &Section<'_>, what: &str, example: &str) -> Vec<At<SocketAddr>> {
    let Some(value) = section.get("bind") else {
        section.error(
            format!("a {what} without `bind`"),
            format!("add the address to accept on: bind = \"{example}\""),
        );
        return Vec::new();
    };
    let texts = value.strings();
    if value.is_empty_array() {
        let help = format!("name at least one address: bind = \"{example}\"");
        value.fault("is empty", &help);
    }
    texts
        .into_iter()
        .filter_map(|text| parse_bind(&value, text))
        .collect()
}

pub(super) fn parse_bind(value: &Value<'_>, text: At<String>) -> Option<At<SocketAddr>> {
    match text.parse() {
        Ok(address) => Some(At::new(address, text.span)),
        Err(_) => {
            let help = if text.parse::<u16>().is_ok() {
                format!("to accept on every address: \"0.0.0.0:{}\"", *text)
            } else if let Some(port) = text.strip_prefix("*:") {
                format!(
                    "to accept on every address: \"0.0.0.0:{port}\", or [\"0.0.0.0:{port}\", \"[::]:{port}\"]"
                )
            } else {
                "an IP address and a port: \"0.0.0.0:8100\" or \"[::]:8100\"".to_owned()
            };
            value.fault_at(
                text.span.clone(),
                format!("is not an address to bind: \"{}\"", *text),
                &help,
            );
            None
        }
    }
}

fn read_limit(section: &Section<'_>, key: &'static str) -> Option<usize> {
    let value = section.get(key)?;
    let size = value.size()?;
    if !(256..=LARGEST_HEAD).contains(&size) {
        value.fault("is out of range", "from 256 bytes to 1m");
        return None;
    }
    usize::try_from(size).ok()
}

fn read_h2c(section: &Section<'_>) -> bool {
    let is_tls = section.get("tls").is_some();
    let Some(value) = section.get("h2c") else {
        return false;
    };
    let allowed = value.boolean().unwrap_or(false);
    if allowed && is_tls {
        value.fault(
            "stands beside `tls`",
            "clients with TLS agree on HTTP/2 in the handshake: remove it",
        );
    }
    allowed
}

fn read_via(value: &Value<'_>) -> Option<String> {
    let name = value.string()?;
    if name.is_empty()
        || !name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b))
    {
        value.fault(
            "is not a name for `Via`",
            "letters, digits, - . _ and : only, such as \"lbd-1\"",
        );
        return None;
    }
    Some(name.value)
}
