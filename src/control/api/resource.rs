//! What a path stands for.

use percent_encoding::percent_decode_str;

use super::{
    super::page::Part,
    ask::{Ask, VERBS},
};

/// What a path stands for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Resource {
    Page(Part),
    OpenApi,
    State,
    Health,
    Ready,
    Metrics,
    StubStatus,
    Status,
    Events,
    Pools,
    Pool(String),
    Servers(String),
    Server(String, String),
    Explain,
    Verb(Ask),
}

impl Resource {
    /// What is at `path`.
    pub(super) fn at(path: &str) -> Option<Self> {
        if let Some(part) = Part::at(path) {
            return Some(Self::Page(part));
        }
        let plain = |name: &str| percent_decode_str(name).decode_utf8_lossy().into_owned();
        let parts: Vec<_> = path.split('/').skip(1).collect();
        Some(match parts[..] {
            ["healthz"] => Self::Health,
            ["readyz"] => Self::Ready,
            ["metrics"] => Self::Metrics,
            ["stub_status"] => Self::StubStatus,
            ["api", "v1", "openapi.json"] => Self::OpenApi,
            ["api", "v1", "state"] => Self::State,
            ["api", "v1", "status"] => Self::Status,
            ["api", "v1", "events"] => Self::Events,
            ["api", "v1", "explain"] => Self::Explain,
            ["api", "v1", "pools"] => Self::Pools,
            ["api", "v1", "pools", pool] => Self::Pool(plain(pool)),
            ["api", "v1", "pools", pool, "servers"] => Self::Servers(plain(pool)),
            ["api", "v1", "pools", pool, "servers", server] => {
                Self::Server(plain(pool), plain(server))
            }
            ["api", "v1", verb] => {
                let (_, ask) = VERBS.iter().find(|(known, _)| *known == verb)?;
                Self::Verb(ask.clone())
            }
            _ => return None,
        })
    }

    /// The methods that it has.
    pub(super) fn methods(&self) -> &'static [&'static str] {
        match self {
            Self::Explain | Self::Verb(_) => &["POST"],
            Self::Server(..) => &["GET", "PATCH", "DELETE"],
            Self::Servers(_) => &["GET", "POST"],
            _ => &["GET"],
        }
    }
}
