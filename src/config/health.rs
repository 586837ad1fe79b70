//! `health`: how lbd itself finds out whether a server is well.

use std::{ops::RangeInclusive, time::Duration};

use regex::bytes::Regex;

use super::{
    reader::{Section, Value},
    stream::{ProxyVersion, read_version},
};

/// How a pool's servers are checked (nginx Plus `health_check`, HAProxy `check`).
#[derive(Clone, Debug)]
pub struct HealthCheck {
    /// What a server is asked, and what is a good answer.
    pub check: Check,
    /// From one check to the next, give or take a tenth.
    pub interval: Duration,
    /// The same while results differ from what is thought of the server.
    pub fast: Duration,
    /// For a check as a whole.
    pub timeout: Duration,
    /// Good checks in a row that bring a server back.
    pub rise: u32,
    /// Bad checks in a row that take it out.
    pub fall: u32,
    /// The port that is asked, if it is not the server's own.
    pub port: Option<u16>,
    /// Whether tunnels and streams to a server end when checks take it out.
    pub closes: bool,
    /// The PROXY header that goes before: as the streams that use the pool send it, unless the file says otherwise.
    pub send_proxy: Option<ProxyVersion>,
    pub(super) says_proxy: bool,
    /// Whether streams use the pool, so that no protocol is known that is spoken inside TLS.
    pub is_for_streams: bool,
}

/// What a server is asked.
#[derive(Clone, Debug)]
pub enum Check {
    /// A request.
    Http(HttpCheck),
    /// A connection, and maybe a few bytes.
    Tcp {
        /// What is sent.
        send: Vec<u8>,
        /// What has to come back.
        expect: Option<Regex>,
    },
    /// A handshake.
    Tls,
    /// `grpc.health.v1.Health/Check`.
    Grpc {
        /// The service that is asked about; empty: the server as a whole.
        service: String,
    },
    /// An MQTT connection, until it is accepted.
    Mqtt {
        /// Who asks; `None`: a name that nobody else has.
        client_id: Option<String>,
        /// Its name, if it has to say one.
        username: Option<String>,
        /// And its password.
        password: Option<String>,
    },
}

/// A request, and what is a good answer.
#[derive(Clone, Debug)]
pub struct HttpCheck {
    /// The method.
    pub method: http::Method,
    /// Path and query.
    pub path: String,
    /// The `Host`; `None`: as the pool's `host` says, the server's own address where that is the client's.
    pub host: Option<String>,
    /// More fields.
    pub headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// Statuses that are good.
    pub status: Vec<RangeInclusive<u16>>,
    /// What has to be in the body.
    pub body: Option<Regex>,
    /// What has to stand at these places of a JSON body (RFC 6901).
    pub json: Vec<(String, serde_json::Value)>,
    /// What must not.
    pub json_not: Vec<(String, serde_json::Value)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Http,
    Tcp,
    Tls,
    Grpc,
    Mqtt,
}

impl HealthCheck {
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        let section = value.section("health")?;
        let kinds = [
            ("http", Kind::Http),
            ("tcp", Kind::Tcp),
            ("tls", Kind::Tls),
            ("grpc", Kind::Grpc),
            ("mqtt", Kind::Mqtt),
        ];
        let kind = match section.get("check") {
            Some(check) => check.word(&kinds),
            None => {
                value.fault(
                    "does not say what is checked",
                    "health = { check = \"http\", path = \"/status\" }, or \"tcp\", \"tls\", \"grpc\", \"mqtt\"",
                );
                None
            }
        };
        // Without a kind every key is known, so that only the kind is told.
        refuse_keys_of_others(&section, kind);
        let duration = |key| section.get(key).and_then(|v| v.timeout());
        let count = |key| {
            let count = section.get(key).and_then(|v| v.integer(1..=1000));
            count.map(|n| n.value)
        };
        let interval = duration("interval").unwrap_or(Duration::from_secs(5));
        let check = kind.map(|kind| Check::read(kind, &section));
        let send_proxy = section.get("send_proxy");
        let health = Self {
            interval,
            fast: duration("fast").unwrap_or_else(|| interval.min(Duration::from_secs(1))),
            timeout: duration("timeout").unwrap_or(Duration::from_secs(2)),
            rise: count("rise").unwrap_or(2),
            fall: count("fall").unwrap_or(3),
            port: section
                .get("port")
                .and_then(|v| v.integer(1..=65_535))
                .map(|n| n.value as u16),
            closes: section
                .get("on_down")
                .and_then(|v| v.word(&[("keep", false), ("close", true)]))
                .unwrap_or(false),
            says_proxy: send_proxy.is_some(),
            is_for_streams: false,
            send_proxy: send_proxy.and_then(|v| read_version(&v)),
            check: check.unwrap_or(Check::Tls),
        };
        section.finish();
        kind.map(|_| health)
    }
}

const OF_HTTP: [&str; 8] = [
    "path", "method", "host", "headers", "status", "body", "json", "json_not",
];

/// Notes the keys that belong to another kind of check.
fn refuse_keys_of_others(section: &Section<'_>, kind: Option<Kind>) {
    let owners: [(&[&'static str], Kind, &str); 4] = [
        (&OF_HTTP, Kind::Http, "http"),
        (&["send", "expect"], Kind::Tcp, "tcp"),
        (&["service"], Kind::Grpc, "grpc"),
        (&["username", "password", "client_id"], Kind::Mqtt, "mqtt"),
    ];
    for (keys, owner, name) in owners {
        for key in keys {
            if let Some(value) = section.get(key)
                && kind.is_some_and(|kind| kind != owner)
            {
                value.fault(format!("is for check = \"{name}\""), "remove it");
            }
        }
    }
}

impl Check {
    fn read(kind: Kind, section: &Section<'_>) -> Self {
        let text = |key| section.get(key).and_then(|v| v.string()).map(|t| t.value);
        match kind {
            Kind::Http => Self::Http(HttpCheck::read(section)),
            Kind::Tcp => Self::Tcp {
                send: text("send").unwrap_or_default().into_bytes(),
                expect: section.get("expect").and_then(|v| read_regex(&v)),
            },
            Kind::Tls => Self::Tls,
            Kind::Grpc => Self::Grpc {
                service: section
                    .get("service")
                    .and_then(|v| read_service(&v))
                    .unwrap_or_default(),
            },
            Kind::Mqtt => Self::Mqtt {
                client_id: text("client_id"),
                username: read_username(section),
                password: text("password"),
            },
        }
    }

    /// What the file calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Tcp { .. } => "tcp",
            Self::Tls => "tls",
            Self::Grpc { .. } => "grpc",
            Self::Mqtt { .. } => "mqtt",
        }
    }
}

impl HttpCheck {
    fn read(section: &Section<'_>) -> Self {
        let status = section.get("status");
        Self {
            method: section
                .get("method")
                .and_then(|v| read_method(&v))
                .unwrap_or(http::Method::GET),
            path: section
                .get("path")
                .and_then(|v| read_target(&v))
                .unwrap_or_else(|| "/".to_owned()),
            host: section.get("host").and_then(|v| read_host(&v)),
            headers: section
                .get("headers")
                .map(|v| read_headers(&v))
                .unwrap_or_default(),
            status: match status {
                Some(status) => read_statuses(&status),
                // As everybody else: what answers so works.
                None => vec![200..=399],
            },
            body: section.get("body").and_then(|v| read_regex(&v)),
            json: section
                .get("json")
                .map(|v| read_json(&v))
                .unwrap_or_default(),
            json_not: section
                .get("json_not")
                .map(|v| read_json(&v))
                .unwrap_or_default(),
        }
    }
}

/// MQTT has no password without a name (3.1.2.9).
fn read_username(section: &Section<'_>) -> Option<String> {
    let (name, password) = (section.get("username"), section.get("password"));
    if let (None, Some(password)) = (&name, password) {
        password.fault("stands without `username`", "add the name that it is for");
    }
    name?.string().map(|name| name.value)
}

fn read_service(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    if text.len() > 127 {
        value.fault(
            "is longer than any service's name",
            "\"my.package.Service\"",
        );
        return None;
    }
    Some(text.value)
}

fn read_method(value: &Value<'_>) -> Option<http::Method> {
    let text = value.string()?;
    let method = http::Method::from_bytes(text.as_bytes()).ok();
    if method.is_none() || text.bytes().any(|b| b.is_ascii_lowercase()) {
        value.fault(
            format!("is no method: \"{}\"", *text),
            "\"GET\", \"HEAD\", \"OPTIONS\" …",
        );
    }
    method
}

fn read_target(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    let is_fit = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if !is_fit {
        value.fault(
            format!("is not a path: \"{}\"", *text),
            "it begins with a slash, and has no spaces: \"/status?full=1\"",
        );
        return None;
    }
    Some(text.value)
}

fn read_host(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    let is_fit = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    if text.is_empty() || !text.bytes().all(is_fit) {
        value.fault(
            format!("is not a host: \"{}\"", text.escape_debug()),
            "a name, maybe with a port: \"app.internal:8080\"",
        );
        return None;
    }
    Some(text.value)
}

fn read_headers(value: &Value<'_>) -> Vec<(http::HeaderName, http::HeaderValue)> {
    let Some(section) = value.section("headers") else {
        return Vec::new();
    };
    let field = |(name, value): (super::At<String>, Value<'_>)| {
        let text = value.string()?;
        let field = (
            http::HeaderName::from_bytes(name.as_bytes()),
            http::HeaderValue::from_str(&text),
        );
        match field {
            (Ok(name), Ok(text)) => Some((name, text)),
            _ => {
                value.fault("is no header field", "headers = { \"X-Check\" = \"1\" }");
                None
            }
        }
    };
    section.entries().into_iter().filter_map(field).collect()
}

/// `["200-299", 401]`, each a number or a text.
fn read_statuses(value: &Value<'_>) -> Vec<RangeInclusive<u16>> {
    let items = if value.is_string() {
        None
    } else {
        Some(value.array().unwrap_or_default())
    };
    if value.is_empty_array() {
        value.fault(
            "is empty, so that no answer would be good",
            "status = [\"200-299\", \"401\"]",
        );
    }
    let read = |item: &Value<'_>| {
        if item.is_integer() {
            let status = item.integer(100..=599)?;
            return Some(status.value as u16..=status.value as u16);
        }
        let text = item.string()?;
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        let range = first.trim().parse().ok().zip(last.trim().parse().ok());
        match range {
            Some((first, last)) if 100 <= first && first <= last && last <= 599 => {
                Some(first..=last)
            }
            _ => {
                item.fault(
                    format!("has no status: \"{}\"", *text),
                    "status = [\"200-299\", \"401\"]",
                );
                None
            }
        }
    };
    match items {
        Some(items) => items.iter().filter_map(read).collect(),
        None => read(value).into_iter().collect(),
    }
}

fn read_regex(value: &Value<'_>) -> Option<Regex> {
    let text = value.string()?;
    Regex::new(&text)
        .map_err(|error| {
            let message = error.to_string();
            let last = message.lines().last().unwrap_or_default().trim();
            value.fault(
                format!("is no regular expression: {last}"),
                "in TOML, single quotes need no second backslash: '\\+PONG'",
            );
        })
        .ok()
}

fn read_json(value: &Value<'_>) -> Vec<(String, serde_json::Value)> {
    let Some(section) = value.section(value.name()) else {
        return Vec::new();
    };
    let entry = |(pointer, value): (super::At<String>, Value<'_>)| {
        if !pointer.is_empty() && !pointer.starts_with('/') {
            value.fault_at(
                pointer.span.clone(),
                "is no place in JSON",
                "it begins with a slash: \"/state\", \"/nodes/0/ready\" (RFC 6901)",
            );
        }
        Some((pointer.value, value.json()?))
    };
    section.entries().into_iter().filter_map(entry).collect()
}
