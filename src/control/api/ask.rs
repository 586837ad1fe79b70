//! What commands ask for, and the requests that ask for it.

use bytes::Bytes;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
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
    /// Add a server to a pool; the answer is as above.
    Add {
        /// The pool.
        pool: String,
        /// The server.
        server: NewServer,
    },
    /// Remove a server from a pool; the answer is as above.
    Remove {
        /// The pool.
        pool: String,
        /// The server.
        server: String,
        /// Even if it is the last one.
        force: bool,
        /// Whether tunnels to it end at once.
        close: bool,
    },
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
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// `up`, `drain` or `down`.
    #[serde(default)]
    pub state: Option<String>,
    /// Its share of the requests, from 1 to 65535.
    #[serde(default)]
    pub weight: Option<u32>,
    /// Requests in flight at most; 0: no limit.
    #[serde(default)]
    pub max_conns: Option<u32>,
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

/// A server that is new.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewServer {
    /// Where it is, as the file would say it.
    pub address: String,
    /// Its share of the requests, from 1 to 65535.
    #[serde(default)]
    pub weight: Option<u32>,
    /// Requests in flight at most; 0: no limit.
    #[serde(default)]
    pub max_conns: Option<u32>,
    /// Failures within `fail_timeout` that take it out; 0: never.
    #[serde(default)]
    pub max_fails: Option<u32>,
    /// The window in which failures count, as the file has it: `"20s"`.
    #[serde(default)]
    pub fail_timeout: Option<String>,
    /// Whether it is used only while no other can be.
    #[serde(default)]
    pub backup: bool,
    /// `up`, `drain` or `down`.
    #[serde(default)]
    pub state: Option<String>,
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
            Self::Add { pool, server } => {
                let path = format!("/api/v1/pools/{}/servers", escape(pool));
                (Method::POST, path, written(server))
            }
            Self::Remove {
                pool,
                server,
                force,
                close,
            } => {
                let path = path_of(pool, server);
                let path = format!("{path}?force={force}&close={close}");
                (Method::DELETE, path, Bytes::new())
            }
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

fn escape(name: &str) -> PercentEncode<'_> {
    utf8_percent_encode(name, NON_ALPHANUMERIC)
}

/// Where `server` of `pool` is.
fn path_of(pool: &str, server: &str) -> String {
    format!("/api/v1/pools/{}/servers/{}", escape(pool), escape(server))
}

fn written(value: &impl Serialize) -> Bytes {
    // A structure of texts and numbers is always JSON.
    serde_json::to_vec(value).unwrap_or_default().into()
}
