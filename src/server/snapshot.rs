//! Everything that requests need to know of one configuration. Immutable, and swapped as a whole.

use std::{
    cell::RefCell, collections::HashMap, fmt, net::SocketAddr, rc::Rc, sync::Arc, time::Duration,
};

use arc_swap::{ArcSwap, Cache};

use super::status::RouteStatus;

use crate::{
    config::{
        self, AccessFormat, AccessTarget, Action, At, Certificate, Config, Log, StreamProtocol,
    },
    http::{Parts, Site, SiteSource},
    net::Gate,
    stream::{Forwarder, ForwarderSource},
    telemetry::{Events, LineFormat, RequestStats, RequestTotals, Striped, Tracer},
    upstream::{NextSet, Pool, Resolver},
};

/// What one configuration says, ready for requests.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// By the listener's address as the file says it. Few, so that a walk is the fastest look-up.
    sites: Vec<(SocketAddr, Arc<Site>)>,
    /// The same for streams. TCP and UDP have addresses of their own.
    forwarders: Vec<(SocketAddr, StreamProtocol, Arc<Forwarder>)>,
    pools: HashMap<String, Arc<Pool>>,
    /// Over how long what has no end of its own is closed at the end.
    pub(super) close_spread: Option<Duration>,
    certificates: Vec<Certificate>,
    routes: Vec<NamedRoute>,
    fronts: Vec<NamedFront>,
}

/// A route as status and metrics know it.
#[derive(Debug)]
struct NamedRoute {
    name: String,
    leads_to: String,
    pool: Option<String>,
    stats: Arc<Striped<RequestStats>>,
}

/// A listener or a stream as status and metrics know it.
#[derive(Debug)]
struct NamedFront {
    name: Option<String>,
    binds: Vec<SocketAddr>,
    protocol: &'static str,
    served: Served,
}

#[derive(Debug)]
enum Served {
    Site(Arc<Site>),
    Forwarder(Arc<Forwarder>),
}

/// A listener or a stream.
pub(super) struct Front<'f> {
    pub(super) name: Option<&'f str>,
    /// Its addresses as the file says them.
    pub(super) binds: &'f [SocketAddr],
    pub(super) protocol: &'static str,
    pub(super) gate: &'f Gate,
    /// How many sessions of UDP there are, and how many there may be.
    pub(super) sessions: Option<(u32, u32)>,
}

impl Snapshot {
    /// What `config` says. Pools take over the peers that `previous` knows.
    ///
    /// # Errors
    /// The TLS of a listener or a pool is of no use.
    pub(super) fn build(
        config: &Config,
        resolver: &Resolver,
        events: &Events,
        tracer: Option<&Arc<Tracer>>,
        previous: Option<&Self>,
    ) -> Result<Self, rustls::Error> {
        let pool = |pool: &config::Pool| {
            let before = previous.and_then(|snapshot| snapshot.pools.get(pool.name.as_str()));
            let next = Pool::new(pool.clone(), resolver, events, before.map(AsRef::as_ref))?;
            Ok((pool.name.value.clone(), Arc::new(next)))
        };
        let pools: Result<HashMap<_, _>, rustls::Error> = config.pools.iter().map(pool).collect();
        let pools = pools?;
        let access = line_format(&config.log);
        let routes: Vec<_> = config
            .routes
            .iter()
            .map(|route| NamedRoute::new(route, previous))
            .collect();
        let stats: Vec<_> = routes.iter().map(|r| Arc::clone(&r.stats)).collect();
        let parts = Parts {
            routes: &config.routes,
            stats: &stats,
            pools: &pools,
            access,
            tracer,
        };
        let (mut sites, mut fronts) = (Vec::new(), Vec::new());
        for listener in &config.listeners {
            let known = |bind: &At<SocketAddr>| previous?.site(bind.value);
            let before = listener.bind.iter().find_map(known).map(AsRef::as_ref);
            // Of two that were one, the first goes on counting.
            let is_taken = |known: &&Site| {
                let mut sites = sites.iter();
                sites.any(|(_, site): &(_, Arc<Site>)| site.counts_with(known))
            };
            let before = before.filter(|known| !is_taken(known));
            let site = Site::new(listener, &parts, before)?;
            let site = Arc::new(site);
            fronts.push(NamedFront::of_listener(listener, &site));
            sites.extend(
                listener
                    .bind
                    .iter()
                    .map(|bind| (bind.value, Arc::clone(&site))),
            );
        }
        let mut forwarders = Vec::new();
        for stream in &config.streams {
            let known = |address| previous?.forwarder(address, stream.protocol);
            let before = stream.bind.iter().find_map(|bind| known(bind.value));
            let is_taken = |known: &&Forwarder| {
                let mut forwarders = forwarders.iter();
                forwarders.any(|(_, _, forwarder): &(_, _, Arc<Forwarder>)| {
                    forwarder.gate().is_same(known.gate())
                })
            };
            let before = before.map(AsRef::as_ref).filter(|known| !is_taken(known));
            let forwarder = Arc::new(Forwarder::new(stream, &pools, access, before)?);
            fronts.push(NamedFront::of_stream(stream, &forwarder));
            let binds = stream.bind.iter().map(|bind| bind.value);
            forwarders.extend(binds.map(|bind| (bind, stream.protocol, Arc::clone(&forwarder))));
        }
        Ok(Self {
            sites,
            forwarders,
            pools,
            close_spread: config.close_spread,
            certificates: config.certificates().cloned().collect(),
            routes,
            fronts,
        })
    }

    /// What is known of servers that were down, and are not to be any more, is too old.
    pub(super) fn awaken(&self) {
        self.pools().for_each(|pool| pool.awaken());
    }

    /// `pools` with what operators have changed in them.
    pub(super) fn edited(&self, pools: &[config::Pool]) -> Vec<config::Pool> {
        let edited = |pool: &config::Pool| {
            let known = self.pools.get(pool.name.as_str());
            known.map_or_else(|| pool.clone(), |known| known.edits().apply(pool))
        };
        pools.iter().map(edited).collect()
    }

    /// Says what differs from the file, so that nobody looks for it there.
    pub(super) fn announce_edits(&self) {
        for pool in self.pools() {
            for edit in pool.edits().iter() {
                tracing::info!("pool {}: {edit}, beside the file", pool.name());
            }
        }
    }

    /// Its pools are served from now on.
    pub(super) fn begin(&self) {
        self.pools().for_each(|pool| pool.begin());
    }

    /// Those that lbd shows, to clients and to servers.
    pub(super) fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.certificates.iter()
    }

    /// Its pools, with the servers that they are to have.
    pub(super) fn prospects(&self) -> Vec<(Arc<Pool>, NextSet)> {
        let own = |pool: &Arc<Pool>| (Arc::clone(pool), pool.own_set());
        self.pools().map(own).collect()
    }

    /// Its listeners, then its streams.
    pub(super) fn fronts(&self) -> impl Iterator<Item = Front<'_>> {
        self.fronts.iter().map(NamedFront::front)
    }

    /// What is to be told of its routes.
    pub(super) fn route_status(&self) -> Vec<RouteStatus> {
        self.routes.iter().map(NamedRoute::status).collect()
    }

    pub(super) fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.pools.values()
    }
}

impl NamedRoute {
    /// What was counted under the same name before is counted on.
    fn new(route: &config::Route, previous: Option<&Snapshot>) -> Self {
        let name = route.name();
        let mut before = previous.iter().flat_map(|snapshot| &snapshot.routes);
        let known = before.find(|known| known.name == name);
        let (leads_to, pool) = match &route.action {
            Action::Forward(forward) => {
                let pool = forward.pool.value.clone();
                (format!("pool {pool}"), Some(pool))
            }
            Action::Redirect { to, .. } => (format!("redirect to {to}"), None),
            Action::Respond { status, .. } => (format!("answer {status}"), None),
        };
        Self {
            stats: known.map_or_else(Arc::default, |known| Arc::clone(&known.stats)),
            name,
            leads_to,
            pool,
        }
    }

    fn status(&self) -> RouteStatus {
        let totals = RequestTotals::of(&self.stats, |own| own);
        RouteStatus {
            route: self.name.clone(),
            leads_to: self.leads_to.clone(),
            pool: self.pool.clone(),
            requests: totals.requests,
            sent_bytes: totals.sent_bytes,
            received_bytes: totals.received_bytes,
            latency: totals.latency,
        }
    }
}

impl NamedFront {
    fn of_listener(listener: &config::Listener, site: &Arc<Site>) -> Self {
        Self {
            name: listener.name.as_ref().map(|name| name.value.clone()),
            binds: listener.bind.iter().map(|bind| bind.value).collect(),
            protocol: match listener.tls {
                Some(_) => "https",
                None => "http",
            },
            served: Served::Site(Arc::clone(site)),
        }
    }

    fn of_stream(stream: &config::Stream, forwarder: &Arc<Forwarder>) -> Self {
        Self {
            name: stream.name.as_ref().map(|name| name.value.clone()),
            binds: stream.bind.iter().map(|bind| bind.value).collect(),
            protocol: match (stream.protocol, &stream.tls) {
                (StreamProtocol::Udp, _) => "udp",
                (StreamProtocol::Tcp, Some(_)) => "tls",
                (StreamProtocol::Tcp, None) => "tcp",
            },
            served: Served::Forwarder(Arc::clone(forwarder)),
        }
    }

    fn front(&self) -> Front<'_> {
        let (gate, sessions) = match &self.served {
            Served::Site(site) => (site.gate(), None),
            Served::Forwarder(forwarder) => {
                let is_udp = self.protocol == "udp";
                (forwarder.gate(), is_udp.then(|| forwarder.sessions()))
            }
        };
        Front {
            name: self.name.as_deref(),
            binds: &self.binds,
            protocol: self.protocol,
            gate,
            sessions,
        }
    }
}

fn line_format(log: &Log) -> Option<LineFormat> {
    match (&log.access, log.access_format) {
        (AccessTarget::Off, _) => None,
        (_, AccessFormat::Combined) => Some(LineFormat::Combined),
        (_, AccessFormat::Json) => Some(LineFormat::Json),
    }
}

/// One worker's view of the current snapshot: a look at it is one atomic load.
pub(super) struct CurrentSnapshot {
    cache: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
}

impl CurrentSnapshot {
    pub(super) fn new(snapshot: Arc<ArcSwap<Snapshot>>) -> Self {
        Self {
            cache: RefCell::new(Cache::new(snapshot)),
        }
    }
}

impl Snapshot {
    fn forwarder(&self, address: SocketAddr, protocol: StreamProtocol) -> Option<&Arc<Forwarder>> {
        self.forwarders
            .iter()
            .find(|(bind, of, _)| *bind == address && *of == protocol)
            .map(|(_, _, forwarder)| forwarder)
    }

    pub(super) fn site(&self, address: SocketAddr) -> Option<&Arc<Site>> {
        self.sites
            .iter()
            .find(|(listener, _)| *listener == address)
            .map(|(_, site)| site)
    }
}

impl ForwarderSource for Rc<CurrentSnapshot> {
    fn forwarder(&self, address: SocketAddr, protocol: StreamProtocol) -> Option<Arc<Forwarder>> {
        let mut cache = self.cache.borrow_mut();
        cache.load().forwarder(address, protocol).cloned()
    }
}

impl SiteSource for Rc<CurrentSnapshot> {
    fn site(&self, address: SocketAddr) -> Option<Arc<Site>> {
        self.cache.borrow_mut().load().site(address).cloned()
    }

    fn follow(&self, address: SocketAddr, site: &mut Arc<Site>) -> bool {
        let mut cache = self.cache.borrow_mut();
        let Some(current) = cache.load().site(address) else {
            return false;
        };
        // Counting references is what workers would get into each other's way with.
        if !Arc::ptr_eq(current, site) {
            if !current.admits_like(site) {
                return false;
            }
            *site = Arc::clone(current);
        }
        true
    }

    fn let_go(&self) {
        self.cache.borrow_mut().load();
    }
}

impl CurrentSnapshot {
    /// Over how long what has no end of its own is closed at the end.
    pub(super) fn close_spread(&self) -> Option<Duration> {
        self.cache.borrow_mut().load().close_spread
    }
}

impl fmt::Debug for CurrentSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CurrentSnapshot").finish_non_exhaustive()
    }
}
