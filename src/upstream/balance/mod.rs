//! How one of several eligible peers is chosen.
//!
//! A method sees a tier as a row of weights and a question, "may this one be used?". It never
//! learns why not: health, limits, what was tried already are the pool's business.

mod ip_hash;
mod round_robin;

pub(super) use self::{ip_hash::IpHash, round_robin::RoundRobin};
