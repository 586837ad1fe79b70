//! Pass TCP and UDP on without looking inside, but for the name that a client asks for in TLS.
//!
//! A connection's way: [`StreamConnection`] learns who the client is and which pool it is for, `connect`
//! is the only loop that tries peers, and what comes of it is a tunnel, which is a task of its own.
//! UDP has no connections: a [`DatagramPort`] gives each client a `session`, whose `life` is a task. In both, `journal` writes the
//! one access line.

mod connect;
mod connection;
mod context;
mod forwarder;
mod journal;
mod keys;
mod life;
mod port;
mod session;

pub use self::{
    connection::{StreamArrival, StreamConnection},
    context::{Context, ForwarderSource},
    forwarder::Forwarder,
    port::DatagramPort,
};
