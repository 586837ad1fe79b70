//! lbd: a reverse-proxy load balancer in one binary with one file.
//!
//! # The house
//!
//! One crate, seven floors. A room may use what is below it and nothing else; rooms on one floor do
//! not know each other. `tests/floors.rs` holds every import to this.
//!
//! | floor | rooms | what for |
//! |---|---|---|
//! | 6 | [`cli`] | arguments, exit codes, the demo |
//! | 5 | [`control`] | signals, the control socket, the service manager |
//! | 4 | [`server`] | workers, the snapshot they serve, reload, drain |
//! | 3 | [`http`] | answer one request, by forwarding it or not |
//! | 2 | [`upstream`] | pools, peers, balancing, health, connections to peers |
//! | 1 | [`net`] | sockets, deadlines, buffers |
//! | 0 | [`config`], [`telemetry`] | one file into a checked `Config`; counters and logs |
//!
//! A member of a pool is a *server* in `lb.toml` and in messages, for that is nginx's word, and a
//! *peer* in code, so that it is not confused with our own [`server`].
//!
//! # Threads
//!
//! N workers, each an OS thread with a tokio `LocalRuntime`, its own `SO_REUSEPORT` socket for each
//! listener and its own idle connections to peers. A request never leaves its worker; nothing on
//! its path waits for a lock, a channel or another task. What the workers share is one
//! `ArcSwap` with the snapshot, and for each peer its counters and its health. One control thread
//! has the rest: signals, reloads, names; and one thread writes the access log.
//!
//! # The life of a request
//!
//! 1. `net/listener.rs`, `Listener::accept`: whatever the system says, accepting goes on.
//! 2. `http/server.rs`, [`http::ClientConnection`]: asleep until a byte comes, then a head is read
//!    under its deadline by `http/h1`, which refuses whatever can be read in two ways.
//! 3. `http/handler.rs`, `handle`: the pipeline on one screen: normalise, route, check, answer or
//!    forward, error page.
//! 4. `http/forward.rs`, `Forwarding::run`: the only loop: pick, connect, send, judge; again only if
//!    the failure, the method and the budget allow.
//! 5. `upstream/pool.rs`, `Pool::pick` gives a `Lease`, then `upstream/keepalive.rs` or
//!    `upstream/connect.rs` a connection.
//! 6. `http/upload.rs` sends the request, `http/relay.rs` the response, both at once where they must.
//! 7. `http/exchange.rs`: when the `Exchange` is dropped, by the last byte, an abort or a panic, it
//!    writes the one access line; the `Lease` tells the peer's health what came of it.

// Floor 6
pub mod cli;

// Floor 5
pub mod control;

// Floor 4
pub mod server;

// Floor 3
pub mod http;

// Floor 2
pub mod upstream;

// Floor 1
pub mod net;

// Floor 0
pub mod config;
pub mod telemetry;
