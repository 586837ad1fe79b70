//! HTTP/2 (RFC 9113): a client's connection and its streams, and what streams to peers have in common
//! with them.
//!
//! Frames, HPACK and flow control are the `h2` crate's. lbd's part is what stands around it: how long
//! a client may take, how many frames it may send that ask for work and bring none, when a connection
//! ends, and how a message becomes one of the pipeline's and comes out again.

mod connection;
mod guard;
mod heads;
mod incoming;
mod outgoing;
mod side;

pub(super) use self::{
    connection::{H2Client, H2Connection, PREFACE},
    heads::{HeadFields, request_head, response_head},
    incoming::Incoming,
    outgoing::Outgoing,
    side::StreamSide,
};
