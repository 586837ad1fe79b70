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
//! | 5 | [`control`] | signals, the control socket, the admin port with its API, page and metrics, notifications, the service manager |
//! | 4 | [`server`] | workers, the snapshot they serve, reload, drain |
//! | 3 | [`http`], [`stream`] | answer one request, by forwarding it or not; pass TCP and UDP on |
//! | 2 | [`upstream`] | pools, peers, balancing, health, connections to peers |
//! | 1 | [`net`] | sockets, the PROXY protocol, TLS, deadlines, buffers, relays; what lbd itself asks of others |
//! | 0 | [`config`], [`telemetry`] | one file into a checked `Config`; counts, events, traces and logs |
//!
//! A member of a pool is a *server* in `lb.toml` and in messages, for that is nginx's word, and a
//! *peer* in code, so that it is not confused with our own [`server`].
//!
//! # Threads
//!
//! N workers, each an OS thread with a tokio `LocalRuntime`, its own `SO_REUSEPORT` socket for each
//! listener and its own idle connections to peers. A request never leaves its worker; nothing on
//! its path waits for a channel, or for a lock that is held for longer than one choice takes; and for another
//! task only where HTTP/2 has many requests share a connection: that is one task, and each of its streams is one. What
//! the workers share is one `ArcSwap` with the snapshot, each pool's turns, and for each peer its counters and its
//! health. What is counted is not shared: each worker has a stripe of its own, and whoever asks adds them up
//! (`telemetry/stripes.rs`). One thread checks servers, one writes the access log, one sends traces if there are any, and
//! the control thread has the rest: signals, reloads, orders, names, the API, and telling people.
//!
//! # The life of a request
//!
//! 1. `net/listener.rs`, `Listener::accept`: whatever the system says, accepting goes on.
//! 2. `net/handshake.rs`: a PROXY header and TLS, if the listener has them, under one deadline.
//! 3. `http/server.rs`, [`http::ClientConnection`]: asleep until a byte comes, then a head is read
//!    under its deadline by `http/h1`, which refuses whatever can be read in two ways. What turns out
//!    to be HTTP/2 goes to `http/h2/connection.rs`, which makes each stream such a request.
//! 4. `http/handler.rs`, `handle`: the pipeline on one screen: normalise, route, check, answer or
//!    forward, error page.
//! 5. `http/forward.rs`, `Forwarding::run`: the only loop: pick, try, judge; again only if the failure,
//!    the method and the budget allow. `http/attempt.rs` is one try.
//!    `http/search.rs` knows what the pool goes by for this request, and who was asked in vain.
//! 6. `upstream/pool.rs`, `Pool::pick` gives a `Lease`: to the peer that the client is bound to (`upstream/sticky`), or
//!    to the one that a method in `upstream/balance` chooses among those that `upstream/member.rs` admits. Then
//!    `upstream/keepalive.rs` or `upstream/connect.rs` gives a connection, or `upstream/multiplex.rs` a place on a
//!    shared one.
//! 7. `http/upload.rs` sends the request, `http/deliver.rs` and `http/relay.rs` the response, both at
//!    once where they must.
//! 8. `http/exchange.rs`: when the `Exchange` is dropped, by the last byte, an abort or a panic, it
//!    counts it and writes the one access line; the `Lease` tells the peer's health and counts what came of it.
//!
//! A request whose answer is 101 ends in `http/switch.rs`, and a connection of a stream in `stream/connection.rs`, as
//! the same thing: an `upstream/tunnel.rs` around a `net/relay.rs`, a small task that holds two sockets, no memory
//! while it idles, and nothing of the configuration that it was made under.

// Floor 6
pub mod cli;

// Floor 5
pub mod control;

// Floor 4
pub mod server;

// Floor 3
pub mod http;
pub mod stream;

// Floor 2
pub mod upstream;

// Floor 1
pub mod net;

// Floor 0
pub mod config;
pub mod telemetry;
