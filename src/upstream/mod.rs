//! Pools of peers: choose one, give a connection to it, learn from the outcome.
//!
//! A *member* is what the file says of a server (weight, limits); a *peer* is what lbd knows of it
//! (requests in flight, failures, connections). Members are made anew at every reload and every
//! change of DNS; peers keep their identity by pool and address for as long as anybody names them. The members of
//! one moment are a set, in two tiers; a request that is given a place in it holds a lease.

// Who there is, what it is there for, and what is to be told of it.
mod duty;
mod editing;
mod edits;
mod latency;
mod member;
mod order;
mod peer;
mod status;

// Who is chosen, by what, and who waits.
mod balance;
mod lease;
mod light;
mod peer_set;
mod pool;
mod queue;
mod rehearsal;
mod sticky;
mod succession;
mod tier;

// Whether they are well.
mod check;
mod health;

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
    editing::{Edited, NotEdited},
    edits::{Addition, Edit, EditError, Edits, Shares, What},
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
    status::{FailureTotals, OrderStatus, PoolStatus, ServerStatus},
    transport::Transport,
    tunnel::Tunnel,
};
