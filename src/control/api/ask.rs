//! What commands ask for, and the requests that ask for it.

use bytes::Bytes;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::http::Question;

/// What can be asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ask {
    /// Serve the file as it is now.
    Reload,
    /// Open the access log again.
    Reopen,
    /// End within the shutdown timeout.
    Stop,
    /// End when the last request has.
    Quit,
    /// What there is to tell: [`Status`](crate::server::Status), as JSON.
    Status,
    /// What has happened since the event with this id, at most so many.
    Events {
        /// The id of the last event that is known; 0: none is.
        since: u64,
        /// How many at most, the last ones.
        limit: usize,
    },
    /// What would become of a request.
    Explain(Question),
    /// Change what a server is there for; the answer is [`Ordered`](crate::server::Ordered), as JSON.
    Order {
        /// The pool.
        pool: String,
        /// The server, as the file calls it.
        server: String,
        /// What it is to be.
        change: Change,
    },
}

/// A change to a server.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// `up`, `drain` or `down`.
    pub state: String,
    /// Seconds until a server that drains goes down.
    #[serde(default)]
    pub deadline_seconds: Option<u64>,
    /// Whether tunnels to it end at once.
    #[serde(default)]
    pub close: bool,
    /// Who says so, beside the user that the socket knows.
    #[serde(default)]
    pub by: Option<String>,
}

/// Seconds that a server may drain until it goes down.
pub(super) const LONGEST_DRAIN: u64 = 366 * 24 * 60 * 60;

pub(super) const VERBS: [(&str, Ask); 4] = [
    ("reload", Ask::Reload),
    ("reopen", Ask::Reopen),
    ("stop", Ask::Stop),
    ("quit", Ask::Quit),
];

impl Ask {
    /// The request that asks for it: method, target and body.
    pub(in super::super) fn to_request(&self) -> (Method, String, Bytes) {
        if let Some((verb, _)) = VERBS.iter().find(|(_, verb)| verb == self) {
            return (Method::POST, format!("/api/v1/{verb}"), Bytes::new());
        }
        match self {
            Self::Order {
                pool,
                server,
                change,
            } => (Method::PATCH, path_of(pool, server), written(change)),
            Self::Explain(question) => {
                let path = "/api/v1/explain".to_owned();
                (Method::POST, path, written(question))
            }
            Self::Events { since, limit } => {
                let path = format!("/api/v1/events?since={since}&limit={limit}");
                (Method::GET, path, Bytes::new())
            }
            _ => (Method::GET, "/api/v1/status".to_owned(), Bytes::new()),
        }
    }
}

/// Where `server` of `pool` is.
fn path_of(pool: &str, server: &str) -> String {
    let escape = |name| utf8_percent_encode(name, NON_ALPHANUMERIC);
    format!("/api/v1/pools/{}/servers/{}", escape(pool), escape(server))
}

fn written(value: &impl Serialize) -> Bytes {
    // A structure of texts and numbers is always JSON.
    serde_json::to_vec(value).unwrap_or_default().into()
}
