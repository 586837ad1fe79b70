//! What lbd promises, one short test for each promise, against an in-process server on a port that the system chose.
//!
//! Both ends are ours: raw sockets that say exactly the bytes of the test, and peers that misbehave on purpose
//! (`support::behaviour`). Nothing here waits a fixed time for something to happen; see `support::wait`.

mod support;

// The support code itself: a client or a peer that lies would make every test below worthless.
mod doubles;

// One request and its answer.
mod crowd;
mod framing;
mod headers;
mod limits;
mod places;
mod proxying;
mod routing;
mod settings;

// Other ways to say the same: HTTP/2, and TLS around it.
mod http2;
mod tls;
mod told;
mod upstream_http2;
mod upstream_tls;

// What follows a 101: bytes, and no longer messages.
mod tunnels;

// Bytes and datagrams that nobody looks into, and the header that says where they come from.
mod proxy_protocol;
mod streams;
mod udp;

// The choice of a peer, and what happens when it fails.
mod balancing;
mod bindings;
mod budget;
mod failover;
mod health;
mod outages;
mod publish;
mod queue;
mod sticky;
mod waiting;

// What a file cannot say of all that.
mod faults;

// What others are told of it: clients, operators, and whoever collects traces.
mod expose;
mod stats;
mod traces;

// The running server.
mod asleep;
mod logs;
mod reload;
