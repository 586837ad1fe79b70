//! Answer one HTTP request, by forwarding it or not.
//!
//! A request's way, in the order of the files: [`ClientConnection`] finds out what is spoken and
//! reads a head, or leaves both to `h2`; `handler` is the pipeline of stages on one screen; `forward`
//! is the only loop that tries peers, `attempt` is one try at one peer, `conversation` what is said in
//! it, `deliver` the answer's way to the client; `upload` and `relay` move the bodies; `switch` joins two
//! connections that change their protocol; and `exchange`, when it is dropped, writes the one access line.
//!
//! A client has a connection of its own in HTTP/1.1 and a stream of one in HTTP/2, and so has a peer:
//! `client` and `peer` are where the two differ, and nothing between them knows which it is.

// A connection, and a request's way through it.
mod attempt;
mod client;
mod conversation;
mod deliver;
mod exchange;
mod forward;
mod grpc;
mod handler;
mod lacking;
mod peer;
mod relay;
mod response;
mod search;
mod server;
mod session;
mod switch;
mod upload;
mod watch;

// Which route.
mod path;
mod router;
mod site;

// What is changed on the way.
mod head;
mod headers;
mod location;
mod variables;

// What lbd answers by itself.
mod answer;
mod error;

// Messages, and how they are read and written.
mod h1;
mod h2;
mod message;

// What would become of a request.
mod explain;

// What a worker lends to each of its connections.
mod context;

#[doc(hidden)]
pub mod bench;

pub use self::{
    context::{Context, SiteSource},
    error::HttpError,
    explain::{Question, explain},
    server::{Arrival, ClientConnection},
    site::{Parts, Site},
};
