//! Others' programs, and lbd before them.

mod certs;
mod curl;
mod echo;
mod front;
mod haproxy;
mod mosquitto;
mod nghttpd;
mod nginx;
mod openssl;
mod port;
mod programs;
mod stream;

pub(crate) use self::{
    certs::{Ca, Cert, tls},
    curl::{Curl, Fetched, curl, curl_in_vain, trusting},
    echo::{Echo, addr},
    front::{front, front_with, greeter, reload, servers, url},
    haproxy::Haproxy,
    mosquitto::Mosquitto,
    nghttpd::Nghttpd,
    nginx::Nginx,
    openssl::{s_client, s_client_asks},
    port::Port,
    programs::{PYTHON, are_here, outcome, program},
    stream::Stream,
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

/// `length` letters, the same each time: noise for programs that speak in lines.
pub(crate) fn letters(length: usize) -> String {
    let letter = |byte| char::from(b'a' + byte % 26);
    noise(length).into_iter().map(letter).collect()
}
