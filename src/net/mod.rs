//! From a bound socket to a connection: sockets, reads and writes under deadlines, buffers.

// How a listening socket comes to be, and what comes out of it.
mod defer;
mod listener;
mod socket;

// Bytes in and out, under deadlines.
mod buffer;
mod drain;
mod stream;
mod timer;
mod wheel;

pub use self::{
    buffer::{Buffer, BufferPool, BufferSize},
    drain::Drain,
    listener::Listener,
    socket::{BindError, bind},
    stream::Stream,
    timer::{Deadline, Timer, Timers},
};
