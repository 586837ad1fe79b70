//! How one of several eligible peers is chosen.
//!
//! A method sees a tier as a row of weights and a few questions about each of its members
//! ([`Candidates`]): how much of its weight may it have now, and may I have it? It never learns why not:
//! health, limits, what was tried already are the pool's business. All methods are for the whole process,
//! and none of them walks over all members to choose one.

mod balancer;
mod consistent;
mod ip_hash;
mod key_hash;
mod least_conn;
mod random;
mod ranges;
mod round_robin;

pub(super) use self::{
    balancer::{Balancer, Keys},
    least_conn::Seat,
};

/// Members that a method may look at before what is left to round robin (nginx: 20 misses).
const LOOKS: usize = 21;

/// How much of its weight a member may be given.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Share(u16);

impl Share {
    /// It may not be used.
    pub(super) const NONE: Self = Self(0);
    /// All of it.
    pub(super) const FULL: Self = Self(1 << Self::BITS);
    const BITS: u32 = 8;

    /// `part`, from 0 to 1, but never nothing.
    pub(super) fn of(part: f64) -> Self {
        let full = f64::from(Self::FULL.0);
        Self((part * full).clamp(1.0, full) as u16)
    }

    /// That much of `whole`.
    fn times(self, whole: i64) -> i64 {
        (whole * i64::from(self.0)) >> Self::BITS
    }

    /// Whether the member is to have a turn that fell to it.
    fn falls(self) -> bool {
        self == Self::FULL || self != Self::NONE && fastrand::u16(0..Self::FULL.0) < self.0
    }
}

/// What a method may ask about members, by index.
pub(super) trait Candidates {
    /// How much of its weight it may have now.
    fn share(&self, index: usize) -> Share;

    /// Makes it the chosen one; `false` if somebody else was faster.
    fn claim(&mut self, index: usize) -> bool;

    /// Requests that it works on.
    fn in_flight(&self, index: usize) -> u32;

    /// How long it would let one more request wait, by what was seen of it; in any unit.
    fn expected_wait(&self, index: usize) -> f64;
}
