//! Everything that requests need to know of one configuration. Immutable, and swapped as a whole.

use std::{
    cell::RefCell, collections::HashMap, fmt, net::SocketAddr, rc::Rc, sync::Arc, time::Duration,
};

use arc_swap::{ArcSwap, Cache};

use crate::{
    config::{AccessFormat, AccessTarget, At, Certificate, Config, Log, StreamProtocol},
    http::{Site, SiteSource},
    stream::{Forwarder, ForwarderSource},
    telemetry::LineFormat,
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
}

impl Snapshot {
    /// What `config` says. Pools take over the peers that `previous` knows.
    ///
    /// # Errors
    /// The TLS of a listener or a pool is of no use.
    pub(super) fn build(
        config: &Config,
        resolver: &Resolver,
        previous: Option<&Self>,
    ) -> Result<Self, rustls::Error> {
        let pool = |pool: &crate::config::Pool| {
            let before = previous.and_then(|snapshot| snapshot.pools.get(pool.name.as_str()));
            let next = Pool::new(pool.clone(), resolver, before.map(AsRef::as_ref))?;
            Ok((pool.name.value.clone(), Arc::new(next)))
        };
        let pools: Result<HashMap<_, _>, rustls::Error> = config.pools.iter().map(pool).collect();
        let pools = pools?;
        let access = line_format(&config.log);
        let mut sites = Vec::new();
        for listener in &config.listeners {
            let known = |bind: &At<SocketAddr>| previous?.site(bind.value);
            let before = listener.bind.iter().find_map(known).map(AsRef::as_ref);
            // Of two that were one, the first goes on counting.
            let is_taken = |known: &&Site| {
                let mut sites = sites.iter();
                sites.any(|(_, site): &(_, Arc<Site>)| site.counts_with(known))
            };
            let before = before.filter(|known| !is_taken(known));
            let site = Site::new(listener, &config.routes, &pools, access, before)?;
            let site = Arc::new(site);
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
            let before = before.map(AsRef::as_ref);
            let forwarder = Arc::new(Forwarder::new(stream, &pools, access, before)?);
            let binds = stream.bind.iter().map(|bind| bind.value);
            forwarders.extend(binds.map(|bind| (bind, stream.protocol, Arc::clone(&forwarder))));
        }
        Ok(Self {
            sites,
            forwarders,
            pools,
            close_spread: config.close_spread,
            certificates: config.certificates().cloned().collect(),
        })
    }

    /// What is known of servers that were down, and are not to be any more, is too old.
    pub(super) fn awaken(&self) {
        self.pools().for_each(|pool| pool.awaken());
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

    pub(super) fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.pools.values()
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
