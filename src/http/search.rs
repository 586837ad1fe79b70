//! Whom one request is for: what its pool goes by, and who has been asked in vain.

use std::{borrow::Cow, net::IpAddr};

use tokio::time::Instant;

use super::{
    exchange::Exchange,
    message::{RequestHead, ResponseHead},
    session::{learn, session_of},
    site::Forward,
    variables::write_template,
};
use crate::{
    config::Balance,
    net::Timer,
    upstream::{Lease, NoLivePeer, Peer, PeerId, PickContext},
};

/// The search for a peer that answers one request.
pub(super) struct Search<'f> {
    forward: &'f Forward,
    client: IpAddr,
    hash_key: Vec<u8>,
    session: Option<Cow<'f, [u8]>>,
    tried: Vec<PeerId>,
    /// Those that lack what the route is for: by what it remembers, and then by their answers to this request.
    lacking: Vec<PeerId>,
    remembered: usize,
}

impl<'f> Search<'f> {
    pub(super) fn new(
        forward: &'f Forward,
        exchange: &Exchange<'_>,
        request: &'f RequestHead,
    ) -> Self {
        let mut hash_key = Vec::new();
        let config = forward.pool.config();
        if let Balance::Hash { key, .. } = &config.balance {
            write_template(&mut hash_key, key, exchange);
        }
        let sticky = config.sticky.as_ref();
        let lacking = forward.lacking.at(exchange.times.arrived);
        Self {
            forward,
            client: exchange.client.address,
            hash_key,
            session: sticky.and_then(|sticky| session_of(sticky, exchange, request)),
            tried: Vec::new(),
            remembered: lacking.len(),
            lacking,
        }
    }

    /// What the first choice depends on.
    pub(super) fn first_context(&self, now: Instant) -> PickContext<'_> {
        self.context(&self.lacking, now)
    }

    /// How many were asked.
    pub(super) fn tries(&self) -> usize {
        self.tried.len()
    }

    /// The first to be asked, once it has room, as far as the pool lets requests wait.
    pub(super) async fn first_in_turn(
        &self,
        now: Instant,
        timer: &Timer,
    ) -> Result<Lease, NoLivePeer> {
        let pool = &self.forward.pool;
        // One that waits takes whoever has room: it must not stand in the way of others.
        if self.remembered > 0
            && pool.waiting() == 0
            && let Ok(lease) = self.next_who_has_it(now)
        {
            return Ok(lease);
        }
        let context = self.context(&[], now);
        pool.pick_in_turn(&context, timer).await
    }

    /// Somebody who was not asked, and does not lack what the route is for.
    pub(super) fn next_who_has_it(&self, now: Instant) -> Result<Lease, NoLivePeer> {
        self.forward.pool.pick(&self.context(&self.lacking, now))
    }

    /// Somebody who was not asked.
    pub(super) fn next(&self, now: Instant) -> Result<Lease, NoLivePeer> {
        let pool = &self.forward.pool;
        self.next_who_has_it(now).or_else(|nobody| {
            if self.remembered == 0 {
                return Err(nobody);
            }
            // Better one that may lack it than nobody.
            pool.pick(&self.context(&self.lacking[self.remembered..], now))
        })
    }

    /// Anybody at all: those that were asked had no time for it.
    pub(super) fn again(&self, now: Instant) -> Result<Lease, NoLivePeer> {
        let context = PickContext {
            tried: &[],
            ..self.context(&[], now)
        };
        self.forward.pool.pick(&context)
    }

    /// `peer` was asked in vain.
    pub(super) fn tried(&mut self, peer: &Peer) {
        self.tried.push(peer.id());
    }

    /// `peer`, which was asked, lacks what the route is for.
    pub(super) fn lacks(&mut self, peer: &Peer) {
        self.lacking.push(peer.id());
    }

    /// The peer of `lease` has answered with `response`, which is what the client gets.
    pub(super) fn found(&self, lease: &Lease, response: &ResponseHead, now: Instant) {
        let is_there = response.status.as_u16() < 400;
        if is_there {
            // What another has, those lack.
            let lacking = &self.lacking[self.remembered..];
            let memory = self.forward.retry.memory();
            self.forward.lacking.note(lacking, now, memory);
        }
        let session = self.session.as_deref();
        learn(&self.forward.pool, session, lease, response, now);
    }

    fn context<'c>(&'c self, avoided: &'c [PeerId], now: Instant) -> PickContext<'c> {
        PickContext {
            now,
            client: self.client,
            hash_key: &self.hash_key,
            session: self.session.as_deref(),
            tried: &self.tried,
            avoided,
        }
    }
}
