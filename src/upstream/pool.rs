//! A pool of peers: who may be chosen, and who is.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use super::{
    lease::Lease,
    peer::Peer,
    peer_set::{Light, PeerSet, PickContext},
    resolve::Resolver,
    transport::Transport,
};
use crate::config;

/// A pool as one configuration describes it. Its peers may be older.
#[derive(Debug)]
pub struct Pool {
    config: config::Pool,
    set: ArcSwap<PeerSet>,
    transport: Arc<Transport>,
}

/// Nobody could be chosen.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("pool {pool} has no live server")]
pub struct NoLivePeer {
    /// The pool.
    pub pool: String,
    /// How long until one that is out is probed; `None` if all are down, busy, unresolved or tried.
    pub retry_in: Option<Duration>,
}

impl Pool {
    /// The pool that `config` describes, which is to [`begin`](Self::begin). Peers of `previous` that it still names
    /// keep what is known of them; names are looked up in `resolver`, which must know them.
    ///
    /// # Errors
    /// Its TLS is of no use.
    pub fn new(
        config: config::Pool,
        resolver: &Resolver,
        previous: Option<&Self>,
    ) -> Result<Self, rustls::Error> {
        let transport = Transport::new(&config, previous.map(|pool| &pool.transport))?;
        let known = previous
            .map(|pool| pool.set.load().peers())
            .unwrap_or_default();
        let light = Arc::new(Light::new(&config.name));
        let set = PeerSet::build(&config, resolver, &known, light);
        Ok(Self {
            config,
            set: ArcSwap::from_pointee(set),
            transport,
        })
    }

    /// It is served from now on. Failure marks are forgotten: a reload says that what failed is mended.
    pub fn begin(&self) {
        let set = self.set.load();
        for member in set.members() {
            member.peer.health.clear();
        }
        set.take_seats();
    }

    /// How its servers are spoken to.
    pub fn transport(&self) -> &Arc<Transport> {
        &self.transport
    }

    /// The pool's name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// What the file says of it.
    pub fn config(&self) -> &config::Pool {
        &self.config
    }

    /// Follows what `resolver` has learnt.
    pub fn follow(&self, resolver: &Resolver) {
        let current = self.set.load();
        let next = PeerSet::build(
            &self.config,
            resolver,
            &current.peers(),
            Arc::clone(current.light()),
        );
        if next.addresses() != current.addresses() {
            tracing::info!(
                "pool {}: servers are now {}",
                self.name(),
                next.labels().join(", ")
            );
            next.take_seats();
            self.set.store(Arc::new(next));
        }
    }

    /// Whether `peer` is one of its peers that may be used.
    pub fn uses(&self, peer: &Peer) -> bool {
        let set = self.set.load();
        set.members()
            .any(|member| member.peer.id() == peer.id() && !member.down)
    }

    /// Chooses a peer and counts the request as in flight there.
    ///
    /// # Errors
    /// [`NoLivePeer`], which is logged when the pool goes dark, not for each request.
    pub fn pick(&self, context: &PickContext<'_>) -> Result<Lease, NoLivePeer> {
        let set = self.set.load_full();
        if let Some((place, probes)) = set.pick(context) {
            return Ok(Lease::new(set, place, probes, context.now));
        }
        let retry_in = set.retry_in(context.now);
        if context.tried.is_empty() {
            set.light().goes_out(retry_in);
        }
        Err(NoLivePeer {
            pool: self.name().to_owned(),
            retry_in,
        })
    }
}

#[cfg(test)]
mod tests;
