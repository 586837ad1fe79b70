//! What a worker lends to each of its connections.

use std::{fmt, net::SocketAddr, rc::Rc, sync::Arc};

use super::site::Site;
use crate::{
    net::{BufferPool, Drain, Timers},
    telemetry::{AccessWriter, Clock, Troubles},
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

/// The parts of a worker that its connections share. One thread, so nothing is locked.
#[derive(Debug)]
pub struct Context {
    /// What is served now.
    pub sites: Box<dyn SiteSource>,
    /// Idle connections to peers.
    pub keepalive: Keepalive,
    /// Connections to peers that requests share.
    pub multiplexed: Multiplexed,
    /// Spare buffers.
    pub buffers: BufferPool,
    /// Deadlines.
    pub timers: Rc<Timers>,
    /// The time of day.
    pub clock: Clock,
    /// Where access lines go.
    pub access: AccessWriter,
    /// When it is time to go.
    pub drain: Drain,
    /// What goes wrong, counted.
    pub troubles: Arc<Troubles>,
}

impl Context {
    /// A worker's context with nothing in it yet.
    pub fn new(sites: Box<dyn SiteSource>, access: AccessWriter, troubles: Arc<Troubles>) -> Self {
        Self {
            sites,
            keepalive: Keepalive::default(),
            multiplexed: Multiplexed::default(),
            buffers: BufferPool::default(),
            timers: Timers::new(),
            clock: Clock::new(),
            access,
            drain: Drain::default(),
            troubles,
        }
    }
}
