//! What a pool goes by for a connection or a session: of the variables, those that need no request.

use std::net::{IpAddr, SocketAddr};

use tokio::time::Instant;

use crate::{
    config::{Balance, LearnFrom, Part, Sticky, Template, Variable},
    net::Timer,
    telemetry::{write_ip, write_number},
    upstream::{Binding, Lease, NoLivePeer, PeerId, PickContext, Pool},
};

/// What one pool goes by for one client.
#[derive(Debug)]
pub(super) struct Keys {
    client: IpAddr,
    hash: Vec<u8>,
    session: Option<Vec<u8>>,
}

impl Keys {
    /// What `pool` goes by for `client`, which came to `port`.
    pub(super) fn new(pool: &Pool, client: SocketAddr, port: u16) -> Self {
        let config = pool.config();
        let fill = |template| fill(template, client, port);
        Self {
            client: client.ip().to_canonical(),
            hash: match &config.balance {
                Balance::Hash { key, .. } => fill(key),
                _ => Vec::new(),
            },
            session: match &config.sticky {
                Some(Sticky::Learn(learn)) => match &learn.from {
                    LearnFrom::Key(key) => Some(fill(key)),
                    LearnFrom::Cookie(_) => None,
                },
                _ => None,
            },
        }
    }

    /// Chooses a peer of `pool`, and waits until one has room, as far as the pool allows.
    pub(super) async fn pick_in_turn(
        &self,
        pool: &Pool,
        now: Instant,
        timer: &Timer,
    ) -> Result<Lease, NoLivePeer> {
        pool.pick_in_turn(&self.context(&[], now), timer).await
    }

    /// Chooses a peer of `pool` that is not among `tried`.
    pub(super) fn pick(
        &self,
        pool: &Pool,
        tried: &[PeerId],
        now: Instant,
    ) -> Result<Lease, NoLivePeer> {
        pool.pick(&self.context(tried, now))
    }

    fn context<'c>(&'c self, tried: &'c [PeerId], now: Instant) -> PickContext<'c> {
        PickContext {
            now,
            client: self.client,
            hash_key: &self.hash,
            session: self.session.as_deref(),
            tried,
            avoided: &[],
        }
    }

    /// The peer of `lease` has taken the client.
    pub(super) fn bind(&self, pool: &Pool, lease: &Lease, now: Instant) {
        if let Some(session) = &self.session
            && lease.binding() == Binding::New
        {
            pool.learn(session, lease.peer(), now);
        }
    }
}

fn fill(template: &Template, client: SocketAddr, port: u16) -> Vec<u8> {
    let mut key = Vec::new();
    for part in &template.parts {
        match part {
            Part::Literal(text) => key.extend_from_slice(text.as_bytes()),
            Part::Variable(Variable::RemoteAddr) => write_ip(&mut key, client.ip().to_canonical()),
            Part::Variable(Variable::RemotePort) => write_number(&mut key, client.port().into()),
            Part::Variable(Variable::ServerPort) => write_number(&mut key, port.into()),
            // The configuration's checks let no other come here.
            Part::Variable(_) => {}
        }
    }
    key
}
