//! `[[routes]]`: which requests they are for, and what is done with those.

use std::ops::RangeInclusive;

use regex::Regex;

use super::{
    action::Action,
    headers::HeaderEdits,
    reader::{Section, Value},
    source::At,
    template::Template,
};

/// One entry of `[[routes]]`.
#[derive(Clone, Debug)]
pub struct Route {
    /// The paths that it is for.
    pub path: At<PathMatch>,
    /// The keys that the file gives it, and where.
    pub keys: Vec<At<String>>,
    /// The hosts that it is for; empty: every host.
    pub hosts: Vec<At<HostMatch>>,
    /// Names of the listeners that it is for; empty: every listener.
    pub listeners: Vec<At<String>>,
    /// What is done with its requests.
    pub action: Action,
    /// Bytes of a request body; more is answered 413; 0: no limit (nginx `client_max_body_size`).
    pub max_body: u64,
    /// Edits of what the server sees.
    pub request_headers: HeaderEdits,
    /// Edits of what the client sees.
    pub response_headers: HeaderEdits,
    /// Bodies for answers that lbd itself makes, by status.
    pub error_pages: Vec<ErrorPage>,
}

/// The paths that a route is for; they are compared with the decoded path whose dots are resolved.
#[derive(Clone, Debug)]
pub enum PathMatch {
    /// This path and no other (nginx `location =`).
    Exact(String),
    /// This path and what lies below it, by whole segments.
    Prefix {
        /// `/app_a/` or `/app_a`.
        path: String,
        /// Wins at once over every regex (nginx `location ^~`).
        is_final: bool,
    },
    /// Paths in which this is found (nginx `location ~`).
    Regex(Regex),
}

/// The hosts that a route is for.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum HostMatch {
    /// One name, in lower case.
    Exact(String),
    /// Every name below this one: `*.x.com` is kept as `.x.com`.
    Wildcard(String),
}

/// A body for answers that lbd itself makes.
#[derive(Clone, Debug)]
pub struct ErrorPage {
    /// The status codes that it is for.
    pub statuses: RangeInclusive<u16>,
    /// The content of the file, read when the configuration is.
    pub body: Vec<u8>,
    /// By the file's ending.
    pub content_type: &'static str,
}

impl Route {
    /// How status and metrics call it: listeners and hosts, if it is for some only, and its path. No two have the same.
    pub fn name(&self) -> String {
        let listeners: Vec<_> = self.listeners.iter().map(|name| name.as_str()).collect();
        let hosts: Vec<_> = self
            .hosts
            .iter()
            .map(|host| host.value.to_string())
            .collect();
        let path = self.path.value.label();
        let mut name = String::new();
        if !listeners.is_empty() {
            name = format!("[{}] ", listeners.join(","));
        }
        name.push_str(&hosts.join(","));
        if !hosts.is_empty() && !path.starts_with('/') {
            name.push(' ');
        }
        name + &path
    }
}

impl PathMatch {
    /// How messages and logs call it.
    pub fn label(&self) -> String {
        match self {
            Self::Exact(path) => format!("= {path}"),
            Self::Prefix { path, .. } => path.clone(),
            Self::Regex(regex) => format!("~ {regex}"),
        }
    }
}

impl std::fmt::Display for HostMatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(suffix) => write!(f, "*{suffix}"),
        }
    }
}

impl HostMatch {
    /// What `text` in `value` names; faults are noted.
    pub(super) fn parse(value: &Value<'_>, text: At<String>) -> Option<At<Self>> {
        let name = text.to_ascii_lowercase();
        let rest = name.strip_prefix("*.").unwrap_or(&name);
        let help = if name.contains("://") || name.contains('/') {
            "a host is a name without scheme and path: \"hq.company.com\""
        } else if rest.contains(':') && !rest.starts_with('[') {
            "a host is compared without its port: remove it"
        } else if rest.contains('*') {
            "a star stands only as the first label: \"*.company.com\""
        } else if rest.is_empty() || rest.bytes().any(|b| b <= b' ' || b == 0x7f) {
            "a host is a name: \"hq.company.com\" or \"*.company.com\""
        } else {
            let host = match name.strip_prefix('*') {
                Some(suffix) => Self::Wildcard(suffix.trim_end_matches('.').to_owned()),
                None => Self::Exact(name.trim_end_matches('.').to_owned()),
            };
            return Some(At::new(host, text.span));
        };
        value.fault_at(
            text.span.clone(),
            format!("has no host name: \"{}\"", *text),
            help,
        );
        None
    }
}

impl Route {
    /// `https` is where clients are sent that shall use it.
    pub(super) fn read(value: &Value<'_>, https: &Template) -> Option<Self> {
        let section = value.section("[[routes]]")?;
        let path = read_path(&section);
        let action = Action::read(&section, path.as_ref(), https);
        let edits = |key| {
            section
                .get(key)
                .and_then(|v| HeaderEdits::read(&v))
                .unwrap_or_default()
        };
        let (request_headers, response_headers) =
            (edits("request_headers"), edits("response_headers"));
        let hosts = section
            .get("hosts")
            .map(|v| read_hosts(&v))
            .unwrap_or_default();
        let listeners = section
            .get("listeners")
            .map(|v| v.strings())
            .unwrap_or_default();
        let max_body = section.get("max_body").and_then(|v| v.size()).unwrap_or(0);
        let error_pages = section
            .get("error_pages")
            .map(|v| read_error_pages(&v))
            .unwrap_or_default();
        let keys = section.keys();
        section.finish();
        Some(Self {
            keys,
            path: path?,
            action: action?,
            hosts,
            listeners,
            max_body,
            request_headers,
            response_headers,
            error_pages,
        })
    }
}

fn read_path(section: &Section<'_>) -> Option<At<PathMatch>> {
    let is_final = section.get("final");
    let given: Vec<Value<'_>> = ["path", "exact", "regex"]
        .into_iter()
        .filter_map(|key| section.get(key))
        .collect();
    if given.is_empty() {
        section.error(
            "a route without `path`, `exact` or `regex`",
            "say which requests it is for: path = \"/app_a/\"",
        );
    }
    for second in given.iter().skip(1) {
        second.fault(
            "stands beside another of `path`, `exact` and `regex`",
            "a route has one of the three",
        );
    }
    let final_wins = is_final.as_ref().and_then(Value::boolean).unwrap_or(false);
    if let Some(is_final) = &is_final
        && !given.iter().any(|value| value.name() == "path")
    {
        is_final.fault(
            "stands beside a route that has no prefix",
            "only a route with `path` can be final",
        );
    }
    // Each is read, so that its own faults are told, too.
    let mut path = None;
    for value in &given {
        path = read_match(value, final_wins);
    }
    path
}

fn read_match(value: &Value<'_>, is_final: bool) -> Option<At<PathMatch>> {
    let text = value.string()?;
    let path = match value.name() {
        "regex" => PathMatch::Regex(read_regex(value, &text)?),
        "exact" => PathMatch::Exact(check_path(value, &text)?),
        _ => PathMatch::Prefix {
            path: check_path(value, &text)?,
            is_final,
        },
    };
    Some(At::new(path, text.span))
}

/// Holds a path against what requests are compared by: a path with `..` or `//` could never match.
pub(super) fn check_path(value: &Value<'_>, path: &str) -> Option<String> {
    let help = if !path.starts_with('/') {
        format!("a path starts with a slash: \"/{path}\"")
    } else if path.contains("//") {
        "requests are compared with their slashes merged: write one slash".to_owned()
    } else if path
        .split('/')
        .any(|segment| segment == "." || segment == "..")
    {
        "requests are compared with their dots resolved: write the path they resolve to".to_owned()
    } else if path.contains(['?', '#']) {
        "a path has no query: remove what follows the `?`".to_owned()
    } else if path.bytes().any(|b| b < b' ' || b == 0x7f) {
        "a path has no control characters".to_owned()
    } else {
        return Some(path.to_owned());
    };
    value.fault(format!("is not a path: \"{path}\""), &help);
    None
}

fn read_regex(value: &Value<'_>, text: &str) -> Option<Regex> {
    Regex::new(text)
        .map_err(|error| {
            let message = error.to_string();
            let reason = message
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ");
            value.fault(
                format!("is not a regular expression: {reason}"),
                "the syntax is that of the Rust crate `regex`: no look-around, no back-references",
            );
        })
        .ok()
}

fn read_hosts(value: &Value<'_>) -> Vec<At<HostMatch>> {
    if value.is_empty_array() {
        value.fault(
            "is empty",
            "name a host, or remove the key: the route is then for every host",
        );
    }
    let parse = |text: At<String>| HostMatch::parse(value, text);
    value.strings().into_iter().filter_map(parse).collect()
}

fn read_error_pages(value: &Value<'_>) -> Vec<ErrorPage> {
    let Some(section) = value.section("error_pages") else {
        return Vec::new();
    };
    let read = |(statuses, file): (At<String>, Value<'_>)| {
        let parsed = parse_statuses(&statuses);
        if parsed.is_none() {
            file.fault_at(
                statuses.span,
                "is no error status",
                "a status or a range of them from 400 to 599: \"404\", \"502-504\"",
            );
        }
        let (path, body) = file.file()?;
        Some(ErrorPage {
            statuses: parsed?,
            body,
            content_type: content_type(&path),
        })
    };
    section.entries().into_iter().filter_map(read).collect()
}

fn parse_statuses(text: &str) -> Option<RangeInclusive<u16>> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let range = from.trim().parse().ok()?..=to.trim().parse().ok()?;
    (*range.start() >= 400 && *range.end() <= 599 && !range.is_empty()).then_some(range)
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("json") => "application/json",
        _ => "text/plain; charset=utf-8",
    }
}
