//! `expose_upstream`: whether clients are told which server has answered (Zuul's and others' `X-Upstream`).

use http::HeaderName;

use super::{
    proxies::{TrustedProxies, read_list},
    reader::Value,
    sticky::read_name,
};

/// How clients are told which server has answered.
#[derive(Clone, Debug)]
pub struct Expose {
    /// Where it stands.
    pub place: ExposePlace,
    /// Whether they are told a number that stands for the server, not its address.
    pub is_hashed: bool,
    /// Who is told; `None`: everybody.
    pub to: Option<TrustedProxies>,
}

/// Where a response says which server has answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ExposePlace {
    /// In a field of this name.
    Header(String),
    /// In a cookie of this name.
    Cookie(String),
}

impl Expose {
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        let section = value.section("`expose_upstream`")?;
        let header = section.get("header").and_then(|v| read_header(&v));
        let cookie = section.get("cookie").and_then(|v| read_name(&v));
        let is_hashed = section
            .get("value")
            .and_then(|v| v.word(&[("plain", false), ("hashed", true)]))
            .unwrap_or(false);
        let to = section.get("to").map(|v| read_list(&v));
        let has_one = section.get("header").is_some() != section.get("cookie").is_some();
        if !has_one {
            section.error(
                "`expose_upstream` wants `header` or `cookie`, one of them",
                "such as expose_upstream = { header = \"X-Upstream\" }",
            );
        }
        section.finish();
        let place = match (header, cookie) {
            (Some(name), None) => ExposePlace::Header(name),
            (None, Some(name)) => ExposePlace::Cookie(name),
            _ => return None,
        };
        Some(Self {
            place,
            is_hashed,
            to,
        })
    }
}

/// Names whose meaning another part of lbd, or of HTTP, depends on.
const TAKEN: [&str; 10] = [
    "connection",
    "content-length",
    "content-type",
    "date",
    "location",
    "server",
    "set-cookie",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fn read_header(value: &Value<'_>) -> Option<String> {
    let name = value.string()?;
    let is_taken = |name: &str| TAKEN.iter().any(|taken| taken.eq_ignore_ascii_case(name));
    if HeaderName::from_bytes(name.as_bytes()).is_err() || is_taken(&name) {
        value.fault(
            format!("is no name for this: \"{}\"", *name),
            "a header of your own: \"X-Upstream\"",
        );
        return None;
    }
    Some(name.value)
}
