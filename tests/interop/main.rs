//! lbd between programs that others wrote: curl, openssl, nghttp2 and Python in front of it, nginx, nghttp2 and Python
//! behind it, and nginx in its place. Brokers, databases and HAProxy where it relays what is not HTTP.
//!
//! Where a program is absent its tests say so and pass; with `LBD_INTEROP=required` they fail.

#[path = "../harness/mod.rs"]
mod harness;
mod support;

// curl → lbd → nginx.
mod downloads;
mod uploads;

// An HTTP/1.0 server.
mod python;

// nginx as the proxy, asked the same.
mod mapping;
mod oracle;

// nginx dies.
mod outage;

// Servers that are asked how they are.
mod checks;

// Apps whose sessions one server has.
mod php;
mod tomcat;

// TLS on both sides.
mod tls;

// HTTP/2 on both sides.
mod http2;

// gRPC's own client and server.
mod grpc;

// TCP.
mod streams;

// WebSocket.
mod tunnels;

// PROXY headers on both sides.
mod proxy_protocol;

// Who watches, and who is told.
mod notify;
mod page;
mod prometheus;
