//! The PROXY protocol: who a connection is from, said by the proxy in front of it
//! (haproxy.org, `doc/proxy-protocol.txt`).
//!
//! A header is believed without a signature, so nothing in it is read generously: a proxy writes it
//! as the document says, or it is no proxy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// How version 1 begins, and how long it can be with its line end.
const TEXT: &[u8] = b"PROXY ";
const LONGEST_TEXT: usize = 107;
/// Version 2's part of known length, and the most that is waited for behind it: extensions may carry a certificate.
const FIXED: usize = 16;
const MOST_BEHIND: usize = 16 << 10;

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Endpoints {
    /// The client.
    pub source: SocketAddr,
    /// Where it connected to.
    pub destination: SocketAddr,
}

/// A header that came as a whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Header {
    /// How many bytes it has.
    pub(super) length: usize,
    /// `None`: the connection is the proxy's own, or from something that is no TCP over IP.
    pub(super) endpoints: Option<Endpoints>,
}

/// Bytes that no proxy begins a connection with.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub(super) struct InvalidHeader(&'static str);

/// What `bytes` begin with; `None` as long as that is half a header.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Header>, InvalidHeader> {
    let begins_like = |start: &[u8]| {
        let common = bytes.len().min(start.len());
        bytes[..common] == start[..common]
    };
    if begins_like(SIGNATURE) {
        parse_binary(bytes)
    } else if begins_like(TEXT) {
        parse_text(bytes)
    } else {
        Err(InvalidHeader("no PROXY header"))
    }
}

/// Version 1 (section 2.1).
fn parse_text(bytes: &[u8]) -> Result<Option<Header>, InvalidHeader> {
    const INVALID: InvalidHeader = InvalidHeader("invalid PROXY header");
    let within = &bytes[..bytes.len().min(LONGEST_TEXT)];
    let Some(end) = memchr::memchr(b'\n', within) else {
        return if within.len() == LONGEST_TEXT {
            Err(InvalidHeader("PROXY header too long"))
        } else {
            Ok(None)
        };
    };
    let line = within[TEXT.len()..end].strip_suffix(b"\r").ok_or(INVALID)?;
    let line = std::str::from_utf8(line).map_err(|_| INVALID)?;
    let length = end + 1;
    let mut words = line.split(' ');
    let family = words.next().ok_or(INVALID)?;
    if family == "UNKNOWN" {
        // What follows the word must be ignored.
        return Ok(Some(Header {
            length,
            endpoints: None,
        }));
    }
    let mut address = || match (family, words.next()) {
        ("TCP4", Some(word)) => word.parse().map(IpAddr::V4).ok(),
        ("TCP6", Some(word)) => word.parse().map(IpAddr::V6).ok(),
        _ => None,
    };
    let (source, destination) = (address().ok_or(INVALID)?, address().ok_or(INVALID)?);
    let mut port = || words.next().and_then(parse_port);
    let (from, to) = (port().ok_or(INVALID)?, port().ok_or(INVALID)?);
    if words.next().is_some() {
        return Err(INVALID);
    }
    let endpoints = Endpoints {
        source: SocketAddr::new(source, from),
        destination: SocketAddr::new(destination, to),
    };
    Ok(Some(Header {
        length,
        endpoints: Some(endpoints),
    }))
}

/// Digits without a sign and without a zero before others.
fn parse_port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|b| b.is_ascii_digit());
    let is_canonical = word == "0" || !word.starts_with('0');
    word.parse().ok().filter(|_| is_plain && is_canonical)
}

/// Version 2 (section 2.2).
fn parse_binary(bytes: &[u8]) -> Result<Option<Header>, InvalidHeader> {
    let Some((fixed, behind)) = bytes.split_first_chunk::<FIXED>() else {
        return Ok(None);
    };
    let [.., version_and_command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let is_own = match version_and_command {
        0x20 => true,
        0x21 => false,
        _ => return Err(InvalidHeader("unknown PROXY version or command")),
    };
    if length > MOST_BEHIND {
        return Err(InvalidHeader("PROXY header too long"));
    }
    // Unspecified, TCP and UDP over IPv4 and IPv6, UNIX sockets.
    if !is_own && !matches!(family, 0x00 | 0x11 | 0x12 | 0x21 | 0x22 | 0x31 | 0x32) {
        return Err(InvalidHeader("unknown PROXY address family"));
    }
    let Some(behind) = behind.get(..length) else {
        return Ok(None);
    };
    let endpoints = match family {
        0x11 if !is_own => Some(parse_ipv4(behind)?),
        0x21 if !is_own => Some(parse_ipv6(behind)?),
        _ => None,
    };
    Ok(Some(Header {
        length: FIXED + length,
        endpoints,
    }))
}

const SHORT_ADDRESSES: InvalidHeader = InvalidHeader("PROXY header without its addresses");

fn parse_ipv4(behind: &[u8]) -> Result<Endpoints, InvalidHeader> {
    let (addresses, _) = behind.split_first_chunk::<12>().ok_or(SHORT_ADDRESSES)?;
    let [a, b, c, d, e, f, g, h, ports @ ..] = *addresses;
    let (source, destination) = (Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h));
    Ok(endpoints(source.into(), destination.into(), ports))
}

fn parse_ipv6(behind: &[u8]) -> Result<Endpoints, InvalidHeader> {
    let (source, behind) = behind.split_first_chunk::<16>().ok_or(SHORT_ADDRESSES)?;
    let (destination, behind) = behind.split_first_chunk::<16>().ok_or(SHORT_ADDRESSES)?;
    let (ports, _) = behind.split_first_chunk::<4>().ok_or(SHORT_ADDRESSES)?;
    let (source, destination) = (Ipv6Addr::from(*source), Ipv6Addr::from(*destination));
    Ok(endpoints(source.into(), destination.into(), *ports))
}

fn endpoints(source: IpAddr, destination: IpAddr, [a, b, c, d]: [u8; 4]) -> Endpoints {
    Endpoints {
        source: SocketAddr::new(source, u16::from_be_bytes([a, b])),
        destination: SocketAddr::new(destination, u16::from_be_bytes([c, d])),
    }
}

impl Endpoints {
    /// Both of one family: a header has no others.
    fn alike(self) -> (SocketAddr, SocketAddr) {
        let canonical =
            |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let mapped = |address: SocketAddr| match address.ip() {
            IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
            IpAddr::V6(_) => address,
        };
        let (source, destination) = (canonical(self.source), canonical(self.destination));
        if source.is_ipv4() == destination.is_ipv4() {
            (source, destination)
        } else {
            (mapped(source), mapped(destination))
        }
    }

    /// A header of version 1.
    pub fn to_v1(self) -> Vec<u8> {
        let (source, destination) = self.alike();
        let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
        format!(
            "PROXY {family} {} {} {} {}\r\n",
            source.ip(),
            destination.ip(),
            source.port(),
            destination.port()
        )
        .into_bytes()
    }

    /// A header of version 2 with `extensions`.
    pub fn to_v2(self, extensions: &Extensions) -> Vec<u8> {
        let (source, destination) = self.alike();
        let mut out = SIGNATURE.to_vec();
        out.extend_from_slice(&[0x21, if source.is_ipv4() { 0x11 } else { 0x21 }, 0, 0]);
        for address in [source, destination] {
            match address.ip() {
                IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
                IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
            }
        }
        out.extend_from_slice(&source.port().to_be_bytes());
        out.extend_from_slice(&destination.port().to_be_bytes());
        extensions.write(&mut out);
        let length = u16::try_from(out.len() - FIXED).unwrap_or(u16::MAX);
        out[14..FIXED].copy_from_slice(&length.to_be_bytes());
        out
    }
}

/// What version 2 can say besides the addresses (section 2.2.1 and the following).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Extensions {
    /// What is spoken inside TLS.
    pub alpn: Option<Vec<u8>>,
    /// The name that the client asked for.
    pub name: Option<String>,
    /// The TLS that lbd has ended.
    pub tls: Option<TlsFacts>,
}

/// What is known of TLS that lbd has ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsFacts {
    /// `TLSv1.3`, as OpenSSL calls it.
    pub version: &'static str,
    /// The cipher suite, as OpenSSL calls it.
    pub cipher: String,
    /// Whether the client has shown a certificate, and the name in it.
    pub certificate: Option<Option<String>>,
}

/// Types of extensions.
const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
const TLS: u8 = 0x20;
const TLS_VERSION: u8 = 0x21;
const TLS_COMMON_NAME: u8 = 0x22;
const TLS_CIPHER: u8 = 0x23;
/// What the client did: spoke TLS, and showed a certificate on this connection and in this session.
const CLIENT_TLS: u8 = 0x01;
const CLIENT_CERTIFICATE: u8 = 0x02 | 0x04;

impl Extensions {
    fn write(&self, out: &mut Vec<u8>) {
        if let Some(alpn) = &self.alpn {
            write_extension(out, ALPN, alpn);
        }
        if let Some(name) = &self.name {
            write_extension(out, AUTHORITY, name.as_bytes());
        }
        if let Some(tls) = &self.tls {
            let mut value = Vec::with_capacity(64);
            match &tls.certificate {
                // The word behind the bits is zero if a certificate was shown and verified, and else not.
                Some(_) => value.extend_from_slice(&[CLIENT_TLS | CLIENT_CERTIFICATE, 0, 0, 0, 0]),
                None => value.extend_from_slice(&[CLIENT_TLS, 0, 0, 0, 1]),
            }
            write_extension(&mut value, TLS_VERSION, tls.version.as_bytes());
            if let Some(Some(name)) = &tls.certificate {
                write_extension(&mut value, TLS_COMMON_NAME, name.as_bytes());
            }
            write_extension(&mut value, TLS_CIPHER, tls.cipher.as_bytes());
            write_extension(out, TLS, &value);
        }
    }
}

/// Values are names of a handshake and of a certificate: they fit, and one that does not is left out.
fn write_extension(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    let Ok(length @ ..=4096) = u16::try_from(value.len()) else {
        return;
    };
    out.push(kind);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests;
