//! What one listener serves: its routes, made ready for requests.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use super::{lacking::Lacking, message::RequestHead, path::Path, router::Router};
use crate::{
    config::{
        self, ClientTimeouts, ErrorPage, HeaderEdits, HostSent, ListenerTls, PeerTimeouts,
        Template, TrustedProxies,
    },
    net::{Gate, TlsServer},
    telemetry::{LineFormat, RequestStats, Striped, Tracer},
    upstream::{Pool, RetryPolicy},
};

/// Everything that a request on one listener needs to know of the configuration. Immutable: a
/// reload makes a new one.
#[derive(Debug)]
pub struct Site {
    pub(super) router: Router<Arc<Route>>,
    pub(super) timeouts: ClientTimeouts,
    pub(super) limits: super::message::HeadLimits,
    pub(super) via: Option<String>,
    pub(super) underscores_in_headers: bool,
    pub(super) access: Option<LineFormat>,
    /// Who keeps traces of requests, if anybody does.
    pub(super) tracer: Option<Arc<Tracer>>,
    /// Clients speak TLS.
    pub(super) tls: Option<TlsServer>,
    admission: Option<ListenerTls>,
    /// What each connection comes through.
    pub(super) gate: Gate,
    /// Whether they may speak HTTP/2 without it, and how many requests they may have open then or inside it.
    pub(super) h2c: bool,
    pub(super) max_streams: u32,
    /// Whether each connection begins with a PROXY header.
    pub(super) proxy_protocol: bool,
    /// Who is believed what such a header, or `X-Forwarded-*`, says.
    pub(super) trusted_proxies: TrustedProxies,
}

/// A route, made ready for requests.
#[derive(Debug)]
pub(super) struct Route {
    /// Which of the file's routes it is.
    pub(super) index: usize,
    /// How traces call it.
    pub(super) name: String,
    /// The path of a prefix or an exact route; empty for a regex.
    pub(super) path: String,
    pub(super) action: Action,
    /// Bytes of a request body; `u64::MAX`: no limit.
    pub(super) max_body: u64,
    pub(super) request_headers: HeaderEdits,
    pub(super) response_headers: HeaderEdits,
    pub(super) error_pages: Vec<ErrorPage>,
    pub(super) stats: Arc<Striped<RequestStats>>,
}

/// What listeners have in common.
#[derive(Debug)]
pub struct Parts<'p> {
    /// The routes, in the file's order.
    pub routes: &'p [config::Route],
    /// What is counted of each of them.
    pub stats: &'p [Arc<Striped<RequestStats>>],
    /// All pools that routes name.
    pub pools: &'p HashMap<String, Arc<Pool>>,
    /// How access lines look, if there are any.
    pub access: Option<LineFormat>,
    /// Who keeps traces of requests, if anybody does.
    pub tracer: Option<&'p Arc<Tracer>>,
}

#[derive(Debug)]
pub(super) enum Action {
    Forward(Forward),
    Redirect {
        to: Template,
        status: http::StatusCode,
    },
    Respond {
        status: http::StatusCode,
        body: Template,
    },
}

/// How a route forwards.
#[derive(Debug)]
pub(super) struct Forward {
    pub(super) pool: Arc<Pool>,
    pub(super) retry: RetryPolicy,
    pub(super) timeouts: PeerTimeouts,
    pub(super) replace_prefix: Option<String>,
    /// Servers that lately did not have what the route is for.
    pub(super) lacking: Lacking,
}

impl Forward {
    /// The target that a peer gets of `request`, on a route with the path `prefix`: the client's own, or with that
    /// prefix replaced.
    pub(super) fn target<'r>(
        &self,
        request: &'r RequestHead,
        path: &Path<'_>,
        prefix: &str,
    ) -> Cow<'r, [u8]> {
        match &self.replace_prefix {
            None => Cow::Borrowed(request.path_and_query()),
            Some(replacement) => {
                let mut target = path.with_prefix_replaced(prefix, replacement);
                if let Some(query) = request.query() {
                    target.push(b'?');
                    target.extend_from_slice(query);
                }
                Cow::Owned(target)
            }
        }
    }

    /// The Host that the peer gets that the file calls `authority`.
    pub(super) fn host_sent<'h>(
        &'h self,
        request: &'h RequestHead,
        authority: &'h str,
    ) -> &'h [u8] {
        match &self.pool.config().host {
            // HTTP/1.0 may do without one, HTTP/1.1 may not.
            HostSent::Client if request.host().is_empty() => authority.as_bytes(),
            HostSent::Client => request.host(),
            HostSent::Server => authority.as_bytes(),
            HostSent::Literal(host) => host.as_bytes(),
        }
    }
}

impl Site {
    /// What `listener` serves of `parts`. `previous` is what was there before.
    ///
    /// # Errors
    /// Its TLS is of no use.
    pub fn new(
        listener: &config::Listener,
        parts: &Parts<'_>,
        previous: Option<&Self>,
    ) -> Result<Self, rustls::Error> {
        let mut router = Router::new();
        let served = |(_, route): &(usize, &config::Route)| serves(listener, route);
        for (index, route) in parts.routes.iter().enumerate().filter(served) {
            if let Some(ready) = Route::new(index, route, parts) {
                let hosts = route.hosts.iter().map(|host| &host.value);
                router.add(&route.path.value, hosts, &Arc::new(ready));
            }
        }
        Ok(Self {
            router,
            timeouts: listener.timeouts,
            limits: super::message::HeadLimits {
                header: listener.max_header,
                uri: listener.max_uri,
            },
            via: listener.via.clone(),
            underscores_in_headers: listener.underscores_in_headers,
            access: parts.access,
            tracer: parts.tracer.cloned(),
            tls: listener.tls.as_ref().map(TlsServer::new).transpose()?,
            admission: listener.tls.clone(),
            gate: Gate::new(listener.max_connections, previous.map(|site| &site.gate)),
            h2c: listener.h2c,
            max_streams: listener.max_streams,
            proxy_protocol: listener.proxy_protocol,
            trusted_proxies: listener.trusted_proxies.clone(),
        })
    }

    /// What its connections come through.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Whether connections of both are counted together.
    pub fn counts_with(&self, other: &Self) -> bool {
        self.gate.is_same(&other.gate)
    }

    /// Whether a client that `other` let in may go on: it would have had to show no more than it did.
    pub fn admits_like(&self, other: &Self) -> bool {
        if self.proxy_protocol != other.proxy_protocol {
            return false;
        }
        match (&self.admission, &other.admission) {
            (None, None) => true,
            (Some(now), Some(then)) => now.admits_like(then),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

fn serves(listener: &config::Listener, route: &config::Route) -> bool {
    let name = listener.name.as_ref().map(|name| name.as_str());
    route.listeners.is_empty()
        || route
            .listeners
            .iter()
            .any(|wanted| Some(wanted.as_str()) == name)
}

impl Route {
    /// `None` only for a pool that is not there, which the configuration's checks exclude.
    fn new(index: usize, route: &config::Route, parts: &Parts<'_>) -> Option<Self> {
        Some(Self {
            index,
            name: route.name(),
            path: match &route.path.value {
                config::PathMatch::Exact(path) | config::PathMatch::Prefix { path, .. } => {
                    path.clone()
                }
                config::PathMatch::Regex(_) => String::new(),
            },
            action: Action::new(&route.action, parts.pools)?,
            max_body: if route.max_body == 0 {
                u64::MAX
            } else {
                route.max_body
            },
            request_headers: route.request_headers.clone(),
            response_headers: route.response_headers.clone(),
            error_pages: route.error_pages.clone(),
            stats: parts.stats.get(index).cloned().unwrap_or_default(),
        })
    }

    /// The pool that it forwards to.
    pub(super) fn pool(&self) -> Option<&str> {
        match &self.action {
            Action::Forward(forward) => Some(forward.pool.name()),
            Action::Redirect { .. } | Action::Respond { .. } => None,
        }
    }

    /// The body that the operator wants for answers of lbd's own with `status`.
    pub(super) fn error_page(&self, status: http::StatusCode) -> Option<&ErrorPage> {
        self.error_pages
            .iter()
            .find(|page| page.statuses.contains(&status.as_u16()))
    }
}

impl Action {
    fn new(action: &config::Action, pools: &HashMap<String, Arc<Pool>>) -> Option<Self> {
        let status = |code| http::StatusCode::from_u16(code).ok();
        Some(match action {
            config::Action::Redirect { to, status: code } => Self::Redirect {
                to: to.clone(),
                status: status(*code)?,
            },
            config::Action::Respond { status: code, body } => Self::Respond {
                status: status(*code)?,
                body: body.clone(),
            },
            config::Action::Forward(forward) => {
                let pool = pools.get(forward.pool.as_str())?;
                Self::Forward(Forward {
                    retry: RetryPolicy::new(pool.config().retry.with(&forward.retry)),
                    timeouts: pool.config().timeouts.with(forward.timeouts),
                    replace_prefix: forward.replace_prefix.clone(),
                    lacking: Lacking::default(),
                    pool: Arc::clone(pool),
                })
            }
        })
    }
}
