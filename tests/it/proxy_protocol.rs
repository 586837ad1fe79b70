//! The PROXY protocol, from the proxy in front and to the servers behind. At the other side is the `ppp` crate, which
//! shares no code with lbd: it writes what lbd reads, and reads what lbd writes.

mod incoming;
mod known;
mod malformed;
mod outgoing;
mod streams;

use std::net::SocketAddr;

use ppp::v1;
use ppp::v2::{AddressFamily, Builder, Command, Protocol, Type, Version};

use crate::support::plain::Plain;

/// The keys of a listener or a stream that wants a header, and from this machine.
const WANTED: &str = "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.0/8\"]";

/// A client, and where it has connected to.
const CLIENT: (&str, &str) = ("203.0.113.9:40001", "198.51.100.1:443");

/// The same in IPv6.
const CLIENT6: (&str, &str) = ("[2001:db8::9]:40001", "[2001:db8::1]:443");

/// Which header names a client.
type Header = fn((&str, &str)) -> Vec<u8>;

/// Both versions.
const VERSIONS: [(&str, Header); 2] = [("v1", v1), ("v2", v2)];

fn addresses((source, destination): (&str, &str)) -> (SocketAddr, SocketAddr) {
    let address = |text: &str| -> SocketAddr { text.parse().expect("an address") };
    (address(source), address(destination))
}

/// The line of version 1.
fn v1(client: (&str, &str)) -> Vec<u8> {
    v1::Addresses::from(addresses(client))
        .to_string()
        .into_bytes()
}

/// The header of version 2.
fn v2(client: (&str, &str)) -> Vec<u8> {
    v2_with(client, &[])
}

/// The same with these fields of type, length and value.
fn v2_with(client: (&str, &str), fields: &[(Type, &[u8])]) -> Vec<u8> {
    let start = Version::Two | Command::Proxy;
    let header = Builder::with_addresses(start, Protocol::Stream, addresses(client));
    let header = header.write_payloads(fields.iter().copied());
    let header = header.and_then(Builder::build);
    header.expect("a header that is not too long")
}

/// What a proxy says for itself, such as a health check; with an address that does not count, or without one.
fn local(client: Option<(&str, &str)>) -> Vec<u8> {
    let start = Version::Two | Command::Local;
    let header = match client {
        Some(client) => Builder::with_addresses(start, Protocol::Stream, addresses(client)),
        None => Builder::new(start, AddressFamily::Unspecified | Protocol::Unspecified),
    };
    header.build().expect("a short header")
}

/// The line of version 1 with which a connection of lbd's begins.
async fn read_v1(server: &mut Plain) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        line.extend(server.exactly(1).await);
    }
    String::from_utf8(line).expect("a line of text")
}

/// The header of version 2 with which a connection of lbd's begins.
async fn read_v2(server: &mut Plain) -> Vec<u8> {
    let mut header = server.exactly(16).await;
    let length = u16::from_be_bytes([header[14], header[15]]);
    header.extend(server.exactly(length.into()).await);
    header
}
