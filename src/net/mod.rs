//! From a bound socket to a connection whose client is known: sockets, TLS, reads and writes under deadlines, buffers.

// How a listening socket comes to be, and what comes out of it.
mod defer;
mod handshake;
mod listener;
mod socket;
mod tls;

// Bytes in and out, under deadlines.
mod buffer;
mod drain;
mod io;
mod stream;
mod timer;
mod wheel;

pub use self::{
    buffer::{Buffer, BufferPool, BufferSize},
    drain::Drain,
    handshake::{Agreed, handshake},
    io::Io,
    listener::Listener,
    socket::{BindError, bind},
    stream::Stream,
    timer::{Deadline, Timer, Timers},
    tls::{ClientIdentity, TlsClient, TlsServer},
};
