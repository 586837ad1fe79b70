//! What can be asked of the running server, and what it answers.
//!
//! A request and its answer are HTTP, so that `curl --unix-socket` can do what the commands do.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request as HttpRequest, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::mpsc;

use super::Request;
use crate::{
    http::Question,
    server::{ReloadError, Reloader, Wish},
    upstream::Duty,
};

/// What the running server answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    /// 200; 400 and 404 for what makes no sense; 422 if the file has faults; 409 if the system does not give what it
    /// asks for.
    pub status: StatusCode,
    /// For the operator, or JSON.
    pub text: String,
}

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

/// Where the server says whether it goes on, and what it says when it does not.
pub(super) const STATE: &str = "/api/v1/state";
pub(super) const ENDING: &str = "ending\n";

const STATUS: &str = "/api/v1/status";
const EXPLAIN: &str = "/api/v1/explain";
const POOLS: &str = "/api/v1/pools/";
const SERVERS: &str = "/servers/";
const VERBS: [(&str, Ask); 4] = [
    ("/api/v1/reload", Ask::Reload),
    ("/api/v1/reopen", Ask::Reopen),
    ("/api/v1/stop", Ask::Stop),
    ("/api/v1/quit", Ask::Quit),
];

/// Seconds that a server may drain until it goes down.
const LONGEST_DRAIN: u64 = 366 * 24 * 60 * 60;

/// More than any request has to say.
const LONGEST: usize = 64 << 10;

/// Who asks, and of whom.
pub(super) struct Api {
    pub(super) reloader: Arc<Reloader>,
    pub(super) requests: mpsc::UnboundedSender<Request>,
    /// The user at the other end of the socket.
    pub(super) user: String,
}

impl Ask {
    /// The request that asks for it: method, target and body.
    pub(super) fn to_request(&self) -> (Method, String, Bytes) {
        if let Some((path, _)) = VERBS.iter().find(|(_, verb)| verb == self) {
            return (Method::POST, (*path).to_owned(), Bytes::new());
        }
        match self {
            Self::Order {
                pool,
                server,
                change,
            } => {
                let escape = |name| utf8_percent_encode(name, NON_ALPHANUMERIC);
                let path = format!("{POOLS}{}{SERVERS}{}", escape(pool), escape(server));
                // A structure of texts and numbers is always JSON.
                let body = serde_json::to_vec(change).unwrap_or_default();
                (Method::PATCH, path, body.into())
            }
            Self::Explain(question) => {
                // As above.
                let body = serde_json::to_vec(question).unwrap_or_default();
                (Method::POST, EXPLAIN.to_owned(), body.into())
            }
            _ => (Method::GET, STATUS.to_owned(), Bytes::new()),
        }
    }
}

impl Reply {
    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }

    fn json(value: &impl Serialize) -> Self {
        match serde_json::to_string_pretty(value) {
            Ok(text) => Self::new(StatusCode::OK, text + "\n"),
            Err(error) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }

    pub(super) fn render(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.text)));
        *response.status_mut() = self.status;
        response
    }
}

impl Api {
    /// Answers `request`.
    pub(super) async fn answer(&self, request: HttpRequest<Incoming>) -> Reply {
        let path = request.uri().path().to_owned();
        let method = request.method().clone();
        if path == STATE {
            let is_ending = self.reloader.is_ending();
            return Reply::new(StatusCode::OK, if is_ending { ENDING } else { "serving\n" });
        }
        if path == STATUS {
            return match method {
                Method::GET => Reply::json(&self.reloader.status()),
                _ => use_method("GET"),
            };
        }
        if path == EXPLAIN {
            return match method {
                Method::POST => self.explain(request.into_body()).await,
                _ => use_method("POST"),
            };
        }
        if let Some((pool, server)) = server_of(&path) {
            return match method {
                Method::PATCH => self.change(&pool, &server, request.into_body()).await,
                _ => use_method("PATCH"),
            };
        }
        match VERBS.iter().find(|(verb, _)| *verb == path) {
            Some(_) if method != Method::POST => use_method("POST"),
            Some((_, ask)) => self.obey(ask).await,
            None => Reply::new(StatusCode::NOT_FOUND, "no such request\n"),
        }
    }

    async fn obey(&self, ask: &Ask) -> Reply {
        match ask {
            Ask::Reload => self.reload().await,
            Ask::Reopen => match self.reloader.reopen_log() {
                Ok(()) => Reply::new(StatusCode::OK, "access log reopened\n"),
                Err(error) => Reply::new(
                    StatusCode::CONFLICT,
                    format!("{error}; lines go on to the old file\n"),
                ),
            },
            Ask::Stop => self.hand_on(Request::Stop),
            _ => self.hand_on(Request::Quit),
        }
    }

    async fn reload(&self) -> Reply {
        let reloader = Arc::clone(&self.reloader);
        // A task of its own: whoever asked may leave, and half a reload is none.
        let by = self.user.clone();
        let reload = tokio::spawn(async move { reloader.reload(&by).await });
        let error = match reload.await {
            Ok(Ok(warnings)) => {
                return Reply::new(StatusCode::OK, format!("{warnings}reloaded\n"));
            }
            Ok(Err(error)) => error,
            Err(error) => {
                return Reply::new(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"));
            }
        };
        let text = error.to_string();
        let status = match error {
            ReloadError::Faulty(_)
            | ReloadError::Unreadable { .. }
            | ReloadError::Expired { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            ReloadError::Refused(_) => StatusCode::CONFLICT,
        };
        Reply::new(
            status,
            format!("{text}\nreload failed, nothing is changed\n"),
        )
    }

    fn hand_on(&self, request: Request) -> Reply {
        match self.requests.send(request) {
            Ok(()) => Reply::new(StatusCode::OK, "stopping\n"),
            Err(_) => Reply::new(StatusCode::SERVICE_UNAVAILABLE, "ended already\n"),
        }
    }

    async fn explain(&self, body: Incoming) -> Reply {
        let question = match read(body).await {
            Ok(question) => question,
            Err(reply) => return reply,
        };
        match self.reloader.explain(&question) {
            Ok(text) => Reply::new(StatusCode::OK, text),
            Err(why) => bad(&why),
        }
    }

    /// Changes what `server` of `pool` is there for, as `body` says.
    async fn change(&self, pool: &str, server: &str, body: Incoming) -> Reply {
        let change: Change = match read(body).await {
            Ok(change) => change,
            Err(reply) => return reply,
        };
        let Some(duty) = Duty::named(&change.state) else {
            return bad(&format!("{} is not up, drain or down", change.state));
        };
        if server.is_empty() {
            return bad("name a server, as the file calls it");
        }
        if change.deadline_seconds.is_some() && duty != Duty::Drain {
            return bad("a deadline is for drain");
        }
        if change
            .deadline_seconds
            .is_some_and(|seconds| seconds > LONGEST_DRAIN)
        {
            return bad("a deadline is a year at most");
        }
        let wish = Wish {
            pool: pool.to_owned(),
            server: server.to_owned(),
            duty,
            deadline: change.deadline_seconds.map(Duration::from_secs),
            closes: change.close,
            by: match change.by.filter(|by| *by != self.user && is_name(by)) {
                Some(by) => format!("{by} ({})", self.user),
                None => self.user.clone(),
            },
        };
        match self.reloader.order(&wish) {
            Ok(ordered) => Reply::json(&ordered),
            Err(error) => Reply::new(StatusCode::NOT_FOUND, format!("{error}\n")),
        }
    }
}

/// What `body` says, in JSON.
async fn read<T: DeserializeOwned>(body: Incoming) -> Result<T, Reply> {
    let body = Limited::new(body, LONGEST).collect().await;
    let body = body.map_err(|error| bad(&error.to_string()))?.to_bytes();
    serde_json::from_slice(&body).map_err(|error| bad(&error.to_string()))
}

fn bad(why: &str) -> Reply {
    Reply::new(StatusCode::BAD_REQUEST, format!("{why}\n"))
}

/// Pool and server of `/api/v1/pools/POOL/servers/SERVER`.
fn server_of(path: &str) -> Option<(String, String)> {
    let (pool, server) = path.strip_prefix(POOLS)?.split_once(SERVERS)?;
    let plain = |name| percent_decode_str(name).decode_utf8_lossy().into_owned();
    Some((plain(pool), plain(server)))
}

fn use_method(method: &str) -> Reply {
    Reply::new(StatusCode::METHOD_NOT_ALLOWED, format!("use {method}\n"))
}

/// Whether logs and terminals can show it as it is.
fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || "-_.@".contains(c))
}
