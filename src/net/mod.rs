//! From a bound socket to a connection whose client is known, and bytes between two of them: sockets, the PROXY
//! protocol, TLS, reads and writes under deadlines, buffers, relays.

// How a listening socket comes to be, and what comes out of it.
mod datagram;
mod defer;
mod gate;
mod handshake;
mod hello;
mod listener;
mod proxy_protocol;
mod socket;
mod tls;

// Bytes in and out, under deadlines.
mod buffer;
mod drain;
mod farewell;
mod io;
mod relay;
mod side;
mod stream;
mod timer;
mod wheel;

// What lbd itself sends to others than servers.
mod outbound;

// What a worker lends to its connections.
mod shared;

pub use self::{
    buffer::{Buffer, BufferPool, BufferSize},
    datagram::{Arrived, Batch, Datagrams, PeerDatagrams, Received, bind_datagrams},
    drain::{Drain, LAST_CHANCE},
    farewell::{Farewell, linger},
    gate::{Gate, Place},
    handshake::{Agreed, NoTls, Opening},
    hello::Hello,
    io::Io,
    listener::Listener,
    outbound::Outbound,
    proxy_protocol::{Endpoints, Extensions, TlsFacts},
    relay::Relay,
    shared::Shared,
    side::Side,
    socket::{BindError, bind},
    stream::Stream,
    timer::{Deadline, Timer, Timers},
    tls::{ClientIdentity, TlsClient, TlsServer},
};
