//! What a worker lends to each of its streams.

use std::{fmt, net::SocketAddr, rc::Rc, sync::Arc};

use super::forwarder::Forwarder;
use crate::{config::StreamProtocol, net::Shared};

/// Where a new connection or session learns where it is to go.
pub trait ForwarderSource: fmt::Debug {
    /// What is done with what comes to `address` (as the file says it) now; `None` once that is removed.
    fn forwarder(&self, address: SocketAddr, protocol: StreamProtocol) -> Option<Arc<Forwarder>>;
}

/// The parts of a worker that its streams share.
#[derive(Debug)]
pub struct Context {
    /// What is configured now.
    pub forwarders: Box<dyn ForwarderSource>,
    /// What is shared with everything else that the worker does.
    pub shared: Rc<Shared>,
}
