//! Everything that requests need to know of one configuration. Immutable, and swapped as a whole.

use std::{cell::RefCell, collections::HashMap, fmt, net::SocketAddr, sync::Arc};

use arc_swap::{ArcSwap, Cache};

use crate::{
    config::{AccessFormat, AccessTarget, Certificate, Config, Log},
    http::{Site, SiteSource},
    telemetry::LineFormat,
    upstream::{Pool, Resolver},
};

/// What one configuration says, ready for requests.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// By the listener's address as the file says it. Few, so that a walk is the fastest look-up.
    sites: Vec<(SocketAddr, Arc<Site>)>,
    pools: HashMap<String, Arc<Pool>>,
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
            let site = Arc::new(Site::new(listener, &config.routes, &pools, access)?);
            sites.extend(
                listener
                    .bind
                    .iter()
                    .map(|bind| (bind.value, Arc::clone(&site))),
            );
        }
        Ok(Self {
            sites,
            pools,
            certificates: config.certificates().cloned().collect(),
        })
    }

    /// Those that lbd shows, to clients and to servers.
    pub(super) fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.certificates.iter()
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
    fn site(&self, address: SocketAddr) -> Option<&Arc<Site>> {
        self.sites
            .iter()
            .find(|(listener, _)| *listener == address)
            .map(|(_, site)| site)
    }
}

impl SiteSource for CurrentSnapshot {
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

impl fmt::Debug for CurrentSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CurrentSnapshot").finish_non_exhaustive()
    }
}
