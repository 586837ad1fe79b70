//! What the tests stand on. The order below is the order of dependence.

// Waiting, messages and frames on the wire, files that go away again, and what nginx does.
pub(crate) mod certs;
pub(crate) mod frame;
pub(crate) mod hashed;
pub(crate) mod hpack;
pub(crate) mod temp;
pub(crate) mod wait;
pub(crate) mod wire;

// The two ends: peers that misbehave by name, and clients that say exact bytes or distrust every field.
pub(crate) mod backend;
pub(crate) mod behaviour;
pub(crate) mod client;
pub(crate) mod connect;
pub(crate) mod datagrams;
pub(crate) mod frame_peer;
pub(crate) mod frames;
pub(crate) mod h2_line;
pub(crate) mod h2_peer;
pub(crate) mod http2;
pub(crate) mod line;
pub(crate) mod log;
pub(crate) mod peer;
pub(crate) mod plain;
pub(crate) mod raw;
pub(crate) mod secure;
pub(crate) mod tls_peer;
pub(crate) mod websocket;

// The thing under test.
pub(crate) mod proxy;
pub(crate) mod streams;
