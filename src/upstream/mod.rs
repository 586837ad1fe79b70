//! Pools of peers: choose one, give a connection to it, learn from the outcome.
//!
//! A *member* is what the file says of a server (weight, limits); a *peer* is what lbd knows of it
//! (requests in flight, failures, connections). Members are made anew at every reload and every
//! change of DNS; peers keep their identity by pool and address for as long as anybody names them.

// Who there is, and who is chosen.
mod balance;
mod duty;
mod health;
mod latency;
mod lease;
mod light;
mod member;
mod order;
mod peer;
mod peer_set;
mod pool;
mod queue;
mod rehearsal;
mod status;
mod sticky;
mod succession;
mod tier;

// Whether they are well.
mod check;

// Connections to them.
mod connect;
mod keepalive;
mod multiplex;
mod transport;
mod tunnel;

// What becomes of a try that failed.
mod budget;
mod failure;
mod retry;

// Names that stand for addresses.
mod resolve;

pub use self::{
    check::Checks,
    connect::{connect, connect_through},
    duty::{Duty, Order},
    failure::{Failure, FailureKind},
    keepalive::{Connection, Keepalive},
    lease::{InFlight, Lease},
    multiplex::{Multiplexed, Slot, Way},
    order::NoSuchServer,
    peer::{Peer, PeerId},
    peer_set::{Binding, PickContext},
    pool::{NextSet, NoLivePeer, Pool},
    rehearsal::Prospect,
    resolve::Resolver,
    retry::{RetryPolicy, TrySoFar},
    status::{OrderStatus, PoolStatus, ServerStatus},
    transport::Transport,
    tunnel::Tunnel,
};
