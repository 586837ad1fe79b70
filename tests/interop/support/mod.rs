//! Others' programs, and lbd before them.

mod certs;
mod curl;
mod echo;
mod front;
mod nghttpd;
mod nginx;
mod openssl;
mod port;
mod programs;

pub(crate) use self::{
    certs::{Ca, Cert, tls},
    curl::{Curl, Fetched, curl, curl_in_vain, trusting},
    echo::{Echo, addr},
    front::{front, front_with, greeter, reload, servers, url},
    nghttpd::Nghttpd,
    nginx::Nginx,
    openssl::{s_client, s_client_asks},
    port::Port,
    programs::{PYTHON, are_here, outcome, program},
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
