//! What can be asked of the running server, and what it answers: over the control socket, and over `[admin]`'s port.
//!
//! A request and its answer are HTTP, so that `curl --unix-socket` can do what the commands do, and the page what both do.
//! `openapi.json` describes all of it; a test holds it against the answers.

mod ask;
mod edit;
mod reply;
mod resource;

use std::{sync::Arc, time::Duration};

use http::{Method, Request as HttpRequest, StatusCode, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::mpsc;

use self::{ask::LONGEST_DRAIN, resource::Resource};
pub use self::{
    ask::{Ask, Change, NewServer},
    reply::Reply,
};
use super::{Request, metrics::Exposition, page};
use crate::{
    server::{ReloadError, Reloader, Status, Wish},
    telemetry::Event,
    upstream::{Duty, PoolStatus, ServerStatus},
};

/// Where the server says whether it goes on, and what it says when it does not.
pub(super) const STATE: &str = "/api/v1/state";
pub(super) const ENDING: &str = "ending\n";

/// Bytes of a body: more than any request has to say.
pub(super) const LONGEST: usize = 64 << 10;
/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who asks, and of whom.
pub(super) struct Api {
    pub(super) reloader: Arc<Reloader>,
    pub(super) requests: mpsc::UnboundedSender<Request>,
    /// Whoever is at the other end, for logs.
    pub(super) user: String,
}

/// The pools of a [`Status`], alone.
#[derive(Debug, Serialize)]
struct Pools {
    pools: Vec<PoolStatus>,
}

/// The servers that a name stands for.
#[derive(Debug, Serialize)]
struct Servers {
    servers: Vec<ServerStatus>,
}

/// What has happened of late.
#[derive(Debug, Serialize)]
struct Happened {
    events: Vec<Event>,
    /// The id of the last event there is, for the next question.
    last: u64,
}

impl Api {
    /// Answers `request`.
    pub(super) async fn answer(&self, request: HttpRequest<Incoming>) -> Reply {
        let (parts, body) = request.into_parts();
        let Some(resource) = Resource::at(parts.uri.path()) else {
            return Reply::new(StatusCode::NOT_FOUND, "no such request\n");
        };
        let method = match parts.method {
            Method::HEAD => Method::GET,
            ref method => method.clone(),
        };
        if !resource.methods().contains(&method.as_str()) {
            return Reply::not_allowed(resource.methods());
        }
        match method {
            Method::GET => self.show(&resource, &parts),
            _ => {
                let query = parts.uri.query().unwrap_or_default();
                self.obey(resource, &method, query, body).await
            }
        }
    }

    /// What is asked for without changing anything.
    fn show(&self, resource: &Resource, parts: &Parts) -> Reply {
        match resource {
            Resource::Page(part) => page::reply(*part),
            Resource::OpenApi => {
                let text = include_str!("../openapi.json");
                Reply::new(StatusCode::OK, text).of_type(reply::JSON)
            }
            Resource::State if self.reloader.is_ending() => Reply::ok(ENDING),
            Resource::State => Reply::ok("serving\n"),
            Resource::Health if self.reloader.is_ending() => Reply::unavailable(ENDING),
            Resource::Health => Reply::ok("ok\n"),
            Resource::Ready => self.ready(),
            Resource::Metrics => self.metrics(parts),
            Resource::StubStatus => Reply::ok(stub_status(&self.reloader.status())),
            Resource::Status => Reply::json(&self.reloader.status()),
            Resource::Events => self.events(parts.uri.query().unwrap_or_default()),
            Resource::Pools => Reply::json(&Pools {
                pools: self.reloader.status().pools,
            }),
            Resource::Pool(name) => match self.pool(name) {
                Ok(pool) => Reply::json(&pool),
                Err(reply) => reply,
            },
            Resource::Servers(name) => match self.pool(name) {
                Ok(PoolStatus { servers, .. }) => Reply::json(&Servers { servers }),
                Err(reply) => reply,
            },
            Resource::Server(pool, server) => match self.reloader.servers(pool, server) {
                Ok(servers) => Reply::json(&Servers { servers }),
                Err(error) => Reply::new(StatusCode::NOT_FOUND, format!("{error}\n")),
            },
            Resource::Explain | Resource::Verb(_) => Reply::not_allowed(resource.methods()),
        }
    }

    /// What is asked for with another method than GET.
    async fn obey(
        &self,
        resource: Resource,
        method: &Method,
        query: &str,
        body: Incoming,
    ) -> Reply {
        match (resource, method) {
            (Resource::Verb(ask), _) => self.command(&ask).await,
            (Resource::Explain, _) => self.explain(body).await,
            (Resource::Servers(pool), _) => self.add(&pool, body).await,
            (Resource::Server(pool, server), &Method::DELETE) => {
                self.remove(&pool, &server, query).await
            }
            (Resource::Server(pool, server), _) => self.change(&pool, &server, body).await,
            (resource, _) => Reply::not_allowed(resource.methods()),
        }
    }

    fn pool(&self, name: &str) -> Result<PoolStatus, Reply> {
        let mut pools = self.reloader.status().pools;
        let known: Vec<_> = pools.iter().map(|pool| pool.name.clone()).collect();
        let found = known.iter().position(|known| known == name);
        found.map(|index| pools.swap_remove(index)).ok_or_else(|| {
            let text = format!("there is no pool {name}; there are {}\n", known.join(", "));
            Reply::new(StatusCode::NOT_FOUND, text)
        })
    }

    /// Whether every pool has somebody: whoever is in front of lbd may then send requests.
    fn ready(&self) -> Reply {
        if self.reloader.is_ending() {
            return Reply::unavailable(ENDING);
        }
        let pools = self.reloader.status().pools;
        // One that the next request is to probe can only come back if there is one.
        let may_be_asked =
            |server: &ServerStatus| server.live || server.probe_in_seconds == Some(0.0);
        let dark = pools.iter();
        let dark = dark.filter(|pool| !pool.servers.iter().any(may_be_asked));
        let lines = dark.map(|pool| format!("pool {} has no live server\n", pool.name));
        match lines.collect::<String>() {
            lines if lines.is_empty() => Reply::ok("ready\n"),
            lines => Reply::unavailable(lines),
        }
    }

    fn metrics(&self, parts: &Parts) -> Reply {
        let accept = parts.headers.get(http::header::ACCEPT);
        let accept = accept.and_then(|value| value.to_str().ok());
        let exposition = Exposition::accepted_by(accept);
        match exposition.of(self.reloader.status()) {
            Ok(text) => Reply::ok(text).of_type(exposition.content_type()),
            Err(error) => Reply::broken(error),
        }
    }

    fn events(&self, query: &str) -> Reply {
        let number = |key: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let found = pairs.find(|(name, _)| *name == key);
            found.map(|(_, value)| value.parse::<u64>())
        };
        let since = number("since").unwrap_or(Ok(0));
        let limit = number("limit").unwrap_or(Ok(u64::MAX));
        let (Ok(since), Ok(limit)) = (since, limit) else {
            return Reply::bad("`since` and `limit` are numbers");
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (events, last) = self.reloader.events().since(since, limit);
        Reply::json(&Happened { events, last })
    }

    async fn command(&self, ask: &Ask) -> Reply {
        match ask {
            Ask::Reload => self.reload().await,
            Ask::Reopen => match self.reloader.reopen_log() {
                Ok(()) => Reply::ok("access log reopened\n"),
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
        let (reloader, by) = (Arc::clone(&self.reloader), self.user.clone());
        // A task of its own: whoever asked may leave, and half a reload is none.
        let reload = tokio::spawn(async move { reloader.reload(&by).await });
        let error = match reload.await {
            Ok(Ok(warnings)) => return Reply::ok(format!("{warnings}reloaded\n")),
            Ok(Err(error)) => error,
            Err(error) => return Reply::broken(error),
        };
        let status = match error {
            ReloadError::Faulty(_)
            | ReloadError::Unreadable { .. }
            | ReloadError::Expired { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            ReloadError::Refused(_) => StatusCode::CONFLICT,
        };
        Reply::new(
            status,
            format!("{error}\nreload failed, nothing is changed\n"),
        )
    }

    fn hand_on(&self, request: Request) -> Reply {
        match self.requests.send(request) {
            Ok(()) => Reply::ok("stopping\n"),
            Err(_) => Reply::unavailable("ended already\n"),
        }
    }

    async fn explain(&self, body: Incoming) -> Reply {
        let question = match read(body).await {
            Ok(question) => question,
            Err(reply) => return reply,
        };
        match self.reloader.explain(&question) {
            Ok(text) => Reply::ok(text),
            Err(why) => Reply::bad(&why),
        }
    }

    /// Changes what `server` of `pool` is there for, as `body` says.
    async fn change(&self, pool: &str, server: &str, body: Incoming) -> Reply {
        let change: Change = match read(body).await {
            Ok(change) => change,
            Err(reply) => return reply,
        };
        let wish = match self.wish(pool, server, &change) {
            Ok(wish) => wish,
            Err(why) => return Reply::bad(&why),
        };
        let mut reply = match self.set_shares(pool, server, &change).await {
            Some(reply) if reply.status != StatusCode::OK => return reply,
            reply => reply,
        };
        if let Some(wish) = wish {
            reply = Some(match self.reloader.order(&wish) {
                Ok(ordered) => Reply::json(&ordered),
                Err(error) => Reply::new(StatusCode::NOT_FOUND, format!("{error}\n")),
            });
        }
        reply.unwrap_or_else(|| Reply::bad("say what to change: state, weight or max_conns"))
    }

    /// What `change` comes to for `server` of `pool`.
    fn wish(&self, pool: &str, server: &str, change: &Change) -> Result<Option<Wish>, String> {
        if server.is_empty() {
            return Err("name a server, as the file calls it".to_owned());
        }
        let deadline = change.deadline_seconds;
        let Some(state) = &change.state else {
            return match deadline.is_some() || change.close {
                true => Err("a deadline and `close` go with a state".to_owned()),
                false => Ok(None),
            };
        };
        let duty = duty_named(state)?;
        if deadline.is_some() && duty != Duty::Drain {
            return Err("a deadline is for drain".to_owned());
        }
        if deadline.is_some_and(|seconds| seconds > LONGEST_DRAIN) {
            return Err("a deadline is a year at most".to_owned());
        }
        Ok(Some(Wish {
            pool: pool.to_owned(),
            server: server.to_owned(),
            duty,
            deadline: deadline.map(Duration::from_secs),
            closes: change.close,
            by: self.author(change.by.as_deref()),
        }))
    }

    /// Who wants something: whoever the other end says it is, and who it is known to be.
    fn author(&self, by: Option<&str>) -> String {
        match by.filter(|by| *by != self.user && is_name(by)) {
            Some(by) => format!("{by} ({})", self.user),
            None => self.user.clone(),
        }
    }
}

fn duty_named(state: &str) -> Result<Duty, String> {
    Duty::named(state).ok_or_else(|| format!("{state} is not up, drain or down"))
}

/// What `body` says, in JSON.
async fn read<T: DeserializeOwned>(body: Incoming) -> Result<T, Reply> {
    let collecting = Limited::new(body, LONGEST).collect();
    let Ok(collected) = tokio::time::timeout(PATIENCE, collecting).await else {
        return Err(Reply::new(StatusCode::REQUEST_TIMEOUT, "too slow\n"));
    };
    let body = collected.map_err(|error| match error.is::<LengthLimitError>() {
        true => Reply::too_long(),
        false => Reply::bad(&error.to_string()),
    })?;
    serde_json::from_slice(&body.to_bytes()).map_err(|error| Reply::bad(&error.to_string()))
}

/// What nginx's `stub_status` says.
fn stub_status(status: &Status) -> String {
    let totals = &status.totals;
    let refused: u64 = status.listeners.iter().map(|l| l.refused).sum();
    format!(
        "Active connections: {} \nserver accepts handled requests\n {} {} {} \nReading: 0 Writing: {} Waiting: {} \n",
        totals.connections,
        totals.accepted,
        totals.accepted.saturating_sub(refused),
        totals.requests,
        totals.connections.saturating_sub(totals.idle),
        totals.idle
    )
}

/// Whether logs and terminals can show it as it is.
fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || "-_.@".contains(c))
}
