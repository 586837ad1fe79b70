//! `sticky`: which server a client stays with.

use std::time::Duration;

use super::{
    reader::{Section, Value},
    template::Template,
};

/// Which server a client stays with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Sticky {
    /// The one that a cookie of lbd's names (nginx `sticky cookie`).
    Cookie(StickyCookie),
    /// The one whose `route` stands in the session's id: in the cookie of this name, or in the parameter or argument of
    /// this name (nginx `sticky route`; Tomcat's jvmRoute).
    Route(String),
    /// The one that has made its session (nginx `sticky learn`).
    Learn(StickyLearn),
}

/// A cookie of lbd's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StickyCookie {
    /// What it is called.
    pub name: String,
    /// A secret, so that nobody can find out whether a guess at a server's address is right.
    pub key: Option<String>,
    /// The attribute `Path`.
    pub path: String,
    /// The attribute `Domain`.
    pub domain: Option<String>,
    /// The attribute `Max-Age`, renewed with each answer; `None`: for as long as the browser runs.
    pub max_age: Option<Duration>,
    /// Whether it is `Secure`; `None`: if the client came by https.
    pub secure: Option<bool>,
    /// Whether it is `HttpOnly`.
    pub http_only: bool,
    /// The attribute `SameSite`.
    pub same_site: Option<&'static str>,
}

/// A table of sessions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StickyLearn {
    /// What a session is known by.
    pub from: LearnFrom,
    /// How long after its last request one is forgotten.
    pub timeout: Duration,
    /// How many are known at most.
    pub size: usize,
}

/// What a session is known by.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LearnFrom {
    /// A cookie that the app sets.
    Cookie(String),
    /// Something that each request says, such as the client's address.
    Key(Template),
}

const SHAPES: &str =
    "sticky = { cookie = \"lbd\" }, { route = \"JSESSIONID\" } or { learn = \"PHPSESSID\" }";

impl Sticky {
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        let section = value.section("sticky")?;
        let kinds = ["cookie", "route", "learn"].map(|kind| section.get(kind));
        let wrong = match kinds.iter().flatten().count() {
            0 => Some("does not say how"),
            1 => None,
            _ => Some("says more than one way"),
        };
        if let Some(wrong) = wrong {
            value.fault(wrong, SHAPES);
            return None;
        }
        let sticky = match kinds {
            [Some(name), None, None] => StickyCookie::read(&name, &section).map(Self::Cookie),
            [None, Some(name), None] => read_name(&name).map(Self::Route),
            [None, None, Some(from)] => StickyLearn::read(&from, &section).map(Self::Learn),
            _ => None,
        };
        section.finish();
        sticky
    }

    /// The template that it goes by, if any.
    pub(super) fn key(&self) -> Option<&Template> {
        match self {
            Self::Learn(StickyLearn {
                from: LearnFrom::Key(key),
                ..
            }) => Some(key),
            _ => None,
        }
    }
}

impl StickyCookie {
    fn read(name: &Value<'_>, section: &Section<'_>) -> Option<Self> {
        let same_site = section.get("same_site");
        let cookie = Self {
            key: section
                .get("key")
                .and_then(|v| v.string())
                .map(|key| key.value),
            path: section
                .get("path")
                .and_then(|v| read_path(&v))
                .unwrap_or_else(|| "/".to_owned()),
            domain: section.get("domain").and_then(|v| read_attribute(&v)),
            max_age: section.get("max_age").and_then(|v| v.timeout()),
            secure: section.get("secure").and_then(|v| read_secure(&v)),
            http_only: section
                .get("http_only")
                .and_then(|v| v.boolean())
                .unwrap_or(true),
            same_site: match &same_site {
                Some(value) => read_same_site(value),
                None => Some("Lax"),
            },
            name: read_name(name)?,
        };
        if cookie.same_site == Some("None")
            && cookie.secure != Some(true)
            && let Some(value) = same_site
        {
            value.fault(
                "is \"none\", and browsers refuse such a cookie if it is not Secure",
                "add secure = true",
            );
        }
        Some(cookie)
    }
}

impl StickyLearn {
    fn read(value: &Value<'_>, section: &Section<'_>) -> Option<Self> {
        let timeout = section.get("timeout").and_then(|v| v.timeout());
        let size = section.get("size").and_then(|v| v.integer(1..=100_000_000));
        let is_template = value.is_string() && value.string().is_some_and(|t| t.contains('$'));
        let from = if is_template {
            LearnFrom::Key(Template::read_key(value)?)
        } else {
            LearnFrom::Cookie(read_name(value)?)
        };
        Some(Self {
            from,
            timeout: timeout.unwrap_or(Duration::from_secs(30 * 60)),
            size: size.map_or(100_000, |n| n.value as usize),
        })
    }
}

/// RFC 6265 section 4.1.1: a cookie's name is a token.
pub(super) fn read_name(value: &Value<'_>) -> Option<String> {
    let name = value.string()?;
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(is_token) {
        value.fault(
            format!("is not a cookie's name: \"{}\"", *name),
            "letters, digits, - _ and . only: \"JSESSIONID\"",
        );
        return None;
    }
    Some(name.value)
}

fn read_attribute(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    let is_fit = |b: u8| b.is_ascii_graphic() && b != b';' && b != b',';
    if text.is_empty() || !text.bytes().all(is_fit) {
        value.fault(
            format!("cannot stand in a cookie: \"{}\"", *text),
            "visible characters without ; and ,",
        );
        return None;
    }
    Some(text.value)
}

fn read_path(value: &Value<'_>) -> Option<String> {
    let path = read_attribute(value)?;
    if !path.starts_with('/') {
        value.fault(
            format!("is not a path: \"{path}\""),
            "it begins with a slash; browsers ignore others",
        );
        return None;
    }
    Some(path)
}

fn read_secure(value: &Value<'_>) -> Option<bool> {
    if value.is_string() {
        return value.word(&[("auto", None)])?;
    }
    value.boolean()
}

fn read_same_site(value: &Value<'_>) -> Option<&'static str> {
    value.word(&[
        ("lax", Some("Lax")),
        ("strict", Some("Strict")),
        ("none", Some("None")),
        ("off", None),
    ])?
}
