//! What a worker lends to each of its HTTP connections.

use std::{fmt, net::SocketAddr, rc::Rc, sync::Arc};

use super::site::Site;
use crate::{
    net::Shared,
    upstream::{Keepalive, Multiplexed},
};

/// Where connections learn what their listener serves now.
pub trait SiteSource: fmt::Debug {
    /// What the listener on `address` (as the file says it) serves; `None` once it is removed.
    fn site(&self, address: SocketAddr) -> Option<Arc<Site>>;

    /// Makes `site` what [`site`](Self::site) gives, without touching it if it is; `false`, and nothing is touched, once
    /// the listener is removed or lets clients in by other rules.
    fn follow(&self, address: SocketAddr, site: &mut Arc<Site>) -> bool;

    /// Lets go of what is no longer served, and with it of peers that nobody names any more.
    fn let_go(&self);
}

/// The parts of a worker that its HTTP connections share.
#[derive(Debug)]
pub struct Context {
    /// What is served now.
    pub sites: Box<dyn SiteSource>,
    /// Idle connections to peers.
    pub keepalive: Keepalive,
    /// Connections to peers that requests share.
    pub multiplexed: Multiplexed,
    /// What is shared with everything else that the worker does.
    pub shared: Rc<Shared>,
}

impl Context {
    /// A worker's context with nothing in it yet.
    pub fn new(sites: Box<dyn SiteSource>, shared: Rc<Shared>) -> Self {
        Self {
            sites,
            keepalive: Keepalive::default(),
            multiplexed: Multiplexed::default(),
            shared,
        }
    }
}
