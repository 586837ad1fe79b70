//! Numbers and addresses as text, appended to bytes. `std::fmt` writes an address in a thousand
//! instructions, and each request needs two.

use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr},
};

/// Appends `n` in decimal.
pub fn write_number(out: &mut Vec<u8>, n: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

/// Appends `address` as `Display` writes it.
pub fn write_ip(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => write_ipv4(out, v4),
        // A Vec takes every write.
        IpAddr::V6(v6) => drop(write!(out, "{v6}")),
    }
}

fn write_ipv4(out: &mut Vec<u8>, address: Ipv4Addr) {
    let [first, rest @ ..] = address.octets();
    write_number(out, first.into());
    for octet in rest {
        out.push(b'.');
        write_number(out, octet.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_everybody_writes_it() {
        for address in ["0.0.0.0", "10.0.0.9", "255.255.255.255", "::1", "fe80::1:2"] {
            let mut out = Vec::new();
            write_ip(&mut out, address.parse().unwrap());
            assert_eq!(out, address.as_bytes());
        }
    }
}
