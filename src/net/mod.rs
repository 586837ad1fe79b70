//! From a bound socket to a connection: sockets, reads and writes under deadlines, buffers.

// How a listening socket comes to be, and what comes out of it.
mod listener;
mod socket;

// Bytes in and out, under deadlines.
mod buffer;
mod drain;
mod stream;
mod timer;

pub use self::{
    buffer::{Buffer, BufferPool, BufferSize},
    drain::{ConnectionGuard, Drain, Sleeper},
    listener::Listener,
    socket::{BindError, bind},
    stream::Stream,
    timer::{Deadline, Timer},
};
