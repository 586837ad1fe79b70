//! Others' programs, and lbd before them.

mod curl;
mod front;
mod nginx;
mod port;
mod programs;

pub(crate) use self::{
    curl::{Curl, Fetched, curl},
    front::{front, url},
    nginx::Nginx,
    port::Port,
    programs::{are_here, program},
};

/// `length` bytes of every value, the same each time.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state: u64 = 0x2545_f491_4f6c_dd1d;
    let byte = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(byte).collect()
}
