//! One `[[streams]]` of the file, made ready for connections.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use rustix::process::{Resource, getrlimit};

use crate::{
    config::{
        self, HostMatch, ProxyVersion, SniRoute, StreamProtocol, StreamTarget, StreamTimeouts,
        TrustedProxies,
    },
    net::{Gate, TlsServer},
    telemetry::LineFormat,
    upstream::{Pool, RetryPolicy},
};

/// Everything that a connection or a session needs to know of the configuration. Immutable: a reload makes a new one.
#[derive(Debug)]
pub struct Forwarder {
    pub(super) protocol: StreamProtocol,
    pub(super) target: Target,
    pub(super) send_proxy: Option<ProxyVersion>,
    /// Whether each connection begins with a PROXY header.
    pub(super) proxy_protocol: bool,
    pub(super) trusted_proxies: TrustedProxies,
    /// Clients speak TLS, and it ends here.
    pub(super) tls: Option<TlsServer>,
    pub(super) timeouts: StreamTimeouts,
    /// How long what was sent may be left unacknowledged.
    pub(super) tcp_user_timeout: Option<Duration>,
    /// Datagrams that a session expects back for each of its client's.
    pub(super) responses: Option<u32>,
    /// What each connection comes through.
    pub(super) gate: Gate,
    max_sessions: u32,
    /// Sessions that there are, of all workers, and over every reload.
    sessions: Arc<AtomicU32>,
    pub(super) access: Option<LineFormat>,
}

/// Where connections go.
#[derive(Debug)]
pub(super) enum Target {
    Pool(Arc<Destination>),
    /// By the name that a client asks for.
    Sni(BySni),
}

/// A pool, and when its next server is tried.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) pool: Arc<Pool>,
    pub(super) retry: RetryPolicy,
}

/// Pools by name.
#[derive(Debug, Default)]
pub(super) struct BySni {
    exact: HashMap<String, Arc<Destination>>,
    /// By what stands behind the star: `.x.com`; the longest first.
    wildcard: Vec<(String, Arc<Destination>)>,
    /// For all other names, and for clients that name nobody.
    other: Option<Arc<Destination>>,
}

/// One of the sessions that a stream may have.
#[derive(Debug)]
pub(super) struct SessionPlace(Arc<AtomicU32>);

impl Forwarder {
    /// What `stream` describes; `pools` must have every pool that it names. `previous` is what was there before.
    ///
    /// # Errors
    /// Its TLS is of no use.
    pub fn new(
        stream: &config::Stream,
        pools: &HashMap<String, Arc<Pool>>,
        access: Option<LineFormat>,
        previous: Option<&Self>,
    ) -> Result<Self, rustls::Error> {
        let target = match &stream.target {
            StreamTarget::Pool(name) => destination(name, pools).map(Target::Pool),
            StreamTarget::Sni(routes) => Some(Target::Sni(BySni::new(routes, pools))),
        };
        Ok(Self {
            protocol: stream.protocol,
            // A pool that is not there is excluded by the configuration's checks.
            target: target.unwrap_or_else(|| Target::Sni(BySni::default())),
            send_proxy: stream.send_proxy,
            proxy_protocol: stream.proxy_protocol,
            trusted_proxies: stream.trusted_proxies.clone(),
            tls: stream.tls.as_ref().map(TlsServer::new).transpose()?,
            timeouts: stream.timeouts,
            tcp_user_timeout: stream.tcp_user_timeout,
            responses: stream.responses,
            gate: Gate::new(stream.max_connections, previous.map(|known| &known.gate)),
            max_sessions: stream.max_sessions,
            sessions: previous.map_or_else(Arc::default, |known| Arc::clone(&known.sessions)),
            access,
        })
    }

    /// What its connections come through.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// How many sessions of UDP there are, and how many there may be.
    pub fn sessions(&self) -> (u32, u32) {
        (self.sessions.load(Ordering::Relaxed), self.max_sessions)
    }

    /// A place for one session more, if there is one. Anybody can make sessions, and connections need descriptors, too:
    /// all streams together have half of those that there are.
    pub(super) fn place(&self) -> Option<SessionPlace> {
        let place = SessionPlace(Arc::clone(&self.sessions));
        let of_this = self.sessions.fetch_add(1, Ordering::Relaxed);
        let of_all = ALL_SESSIONS.fetch_add(1, Ordering::Relaxed);
        (of_this < self.max_sessions && of_all < most_sessions()).then_some(place)
    }
}

static ALL_SESSIONS: AtomicU32 = AtomicU32::new(0);

fn most_sessions() -> u32 {
    static MOST: OnceLock<u32> = OnceLock::new();
    *MOST.get_or_init(|| {
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        u32::try_from(descriptors / 2).unwrap_or(u32::MAX)
    })
}

impl Drop for SessionPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        ALL_SESSIONS.fetch_sub(1, Ordering::Relaxed);
    }
}

fn destination(name: &str, pools: &HashMap<String, Arc<Pool>>) -> Option<Arc<Destination>> {
    let pool = pools.get(name)?;
    Some(Arc::new(Destination {
        retry: RetryPolicy::new(pool.config().retry.clone()),
        pool: Arc::clone(pool),
    }))
}

impl BySni {
    fn new(routes: &[SniRoute], pools: &HashMap<String, Arc<Pool>>) -> Self {
        let mut by_sni = Self::default();
        for route in routes {
            let Some(destination) = destination(&route.pool, pools) else {
                continue;
            };
            match &route.host {
                Some(HostMatch::Exact(name)) => {
                    by_sni.exact.insert(name.clone(), destination);
                }
                Some(HostMatch::Wildcard(suffix)) => {
                    by_sni.wildcard.push((suffix.clone(), destination));
                }
                None => by_sni.other = Some(destination),
            }
        }
        let length = |(suffix, _): &(String, _)| std::cmp::Reverse(suffix.len());
        by_sni.wildcard.sort_by_key(length);
        by_sni
    }

    /// Where a client goes that asks for `name`, in lower case, or for nobody.
    pub(super) fn find(&self, name: Option<&str>) -> Option<&Arc<Destination>> {
        let Some(name) = name else {
            return self.other.as_ref();
        };
        let is_below = |(suffix, _): &&(String, _)| {
            name.len() > suffix.len() && name.ends_with(suffix.as_str())
        };
        let below = || self.wildcard.iter().find(is_below);
        let exact = self.exact.get(name);
        exact
            .or_else(|| below().map(|(_, destination)| destination))
            .or(self.other.as_ref())
    }
}
