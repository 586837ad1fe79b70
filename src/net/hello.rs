//! What a client says of itself before TLS is encrypted (nginx `ssl_preread`).
//!
//! Read here and not by rustls, which refuses what it could not answer: a device of TLS 1.0 is passed on
//! like any other.

use super::tls::HANDSHAKE_RECORD;

/// The longest ClientHello that is waited for.
const LONGEST: usize = 64 << 10;
/// The most records that it may be in: each costs another look at all before it.
const MOST_RECORDS: usize = 2048;
/// A record's header, and a handshake message's (RFC 8446 sections 5.1 and 4).
const RECORD_HEADER: usize = 5;
const MESSAGE_HEADER: usize = 4;
const CLIENT_HELLO: u8 = 1;
/// Extensions and a kind of name (RFC 6066 section 3, RFC 7301 section 3.1).
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const HOST_NAME: u8 = 0;

/// A ClientHello's part that says where a connection is to go.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Hello {
    /// The name that it asks for, in lower case and without a dot at its end.
    pub name: Option<String>,
    /// What it would speak inside, the best first.
    pub alpn: Option<Vec<u8>>,
}

/// What some bytes are.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Parsed {
    Hello(Hello),
    /// The beginning of one, which is no longer until there are as many bytes as are `needed`.
    Part {
        needed: usize,
    },
    Other,
}

/// What `bytes` begin with.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    match join_records(bytes) {
        Ok(message) => hello_of(&message).map_or(Parsed::Other, Parsed::Hello),
        Err(unjoined) => unjoined,
    }
}

/// The first handshake message, which may be spread over records.
fn join_records(mut bytes: &[u8]) -> Result<Vec<u8>, Parsed> {
    let all = bytes.len();
    let part = |left: &[u8], more: usize| Parsed::Part {
        needed: all - left.len() + more,
    };
    let mut message = Vec::new();
    for _ in 0..MOST_RECORDS {
        let Some((&[kind, major, _, high, low], rest)) = bytes.split_first_chunk::<RECORD_HEADER>()
        else {
            let is_handshake = bytes.first().is_none_or(|kind| *kind == HANDSHAKE_RECORD);
            return Err(match is_handshake {
                true => part(bytes, RECORD_HEADER),
                false => Parsed::Other,
            });
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if kind != HANDSHAKE_RECORD || major != 3 || length == 0 {
            return Err(Parsed::Other);
        }
        let Some(payload) = rest.get(..length) else {
            return Err(part(bytes, RECORD_HEADER + length));
        };
        message.extend_from_slice(payload);
        bytes = &rest[length..];
        if let Some(&[kind, a, b, c]) = message.first_chunk::<MESSAGE_HEADER>() {
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            if kind != CLIENT_HELLO || length > LONGEST {
                return Err(Parsed::Other);
            }
            if message.len() >= MESSAGE_HEADER + length {
                message.truncate(MESSAGE_HEADER + length);
                message.drain(..MESSAGE_HEADER);
                return Ok(message);
            }
        }
    }
    Err(Parsed::Other)
}

/// RFC 8446 section 4.1.2; older versions may do without extensions.
fn hello_of(message: &[u8]) -> Option<Hello> {
    let mut reader = Reader(message);
    // Version and random.
    reader.take(2 + 32)?;
    let (_session, _suites, _compression) = (reader.short()?, reader.long()?, reader.short()?);
    let mut hello = Hello::default();
    if reader.0.is_empty() {
        return Some(hello);
    }
    let mut extensions = Reader(reader.long()?);
    while !extensions.0.is_empty() {
        let kind = extensions.number()?;
        let content = Reader(extensions.long()?);
        match kind {
            SERVER_NAME => hello.name = name_of(content)?,
            ALPN => hello.alpn = Some(first_protocol(content)?),
            _ => {}
        }
    }
    Some(hello)
}

fn name_of(mut content: Reader<'_>) -> Option<Option<String>> {
    let mut names = Reader(content.long()?);
    while !names.0.is_empty() {
        let &[kind] = names.take(1)? else {
            return None;
        };
        let name = names.long()?;
        if kind == HOST_NAME {
            let name = std::str::from_utf8(name).ok()?;
            return Some(Some(name.trim_end_matches('.').to_ascii_lowercase()));
        }
    }
    Some(None)
}

fn first_protocol(mut content: Reader<'_>) -> Option<Vec<u8>> {
    Reader(content.long()?).short().map(<[u8]>::to_vec)
}

/// Fields one after the other.
struct Reader<'r>(&'r [u8]);

impl<'r> Reader<'r> {
    fn take(&mut self, n: usize) -> Option<&'r [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes(bytes.try_into().ok()?))
    }

    /// A field behind its length in one byte.
    fn short(&mut self) -> Option<&'r [u8]> {
        let length = *self.take(1)?.first()?;
        self.take(length.into())
    }

    /// A field behind its length in two.
    fn long(&mut self) -> Option<&'r [u8]> {
        let length = self.number()?;
        self.take(length.into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;
    use crate::config::crypto;

    /// What rustls begins with.
    fn client_hello(name: &str, protocols: &[&str]) -> Vec<u8> {
        let builder = ClientConfig::builder_with_provider(crypto());
        let mut config = builder
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        let name = name.to_owned().try_into().unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    /// The same in records of `size` bytes.
    fn cut(hello: &[u8], size: usize) -> Vec<u8> {
        let pieces = hello[RECORD_HEADER..].chunks(size);
        let record = |piece: &[u8]| {
            let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
            [&hello[..3], &length, piece].concat()
        };
        pieces.flat_map(record).collect()
    }

    #[test]
    fn name_and_protocol_are_what_the_client_asks_for() {
        let hello = client_hello("MQTT.x.example", &["mqtt", "h2"]);
        let expected = Hello {
            name: Some("mqtt.x.example".to_owned()),
            alpn: Some(b"mqtt".to_vec()),
        };
        assert_eq!(parse(&hello), Parsed::Hello(expected));
        let hello = client_hello("127.0.0.1", &[]);
        assert_eq!(parse(&hello), Parsed::Hello(Hello::default()));
    }

    #[test]
    fn a_hello_of_old_times_has_no_extensions() {
        let body = [&[3, 1][..], &[7; 32], &[0, 0, 2, 0, 47, 1, 0]].concat();
        let message = [&[1, 0, 0, body.len() as u8][..], &body].concat();
        let record = [&[22, 3, 1, 0, message.len() as u8][..], &message].concat();
        assert_eq!(parse(&record), Parsed::Hello(Hello::default()));
    }

    #[test]
    fn other_protocols_are_known_by_their_first_bytes() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"S",
            b"\x10\x1a\0\x04MQTT",
            b"\x16\x02\x01\0\x05\x01",
            b"\x16\x03\x01\0\x04\x02\0\0\0",
            b"\x16\x03\x01\0\0",
            b"\x16\x03\x01\0\x04\x01\x7f\xff\xff",
        ] {
            assert_eq!(parse(bytes), Parsed::Other, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn a_part_is_a_part_however_it_is_cut(size in 1..600_usize, at in 0..2000_usize) {
            let hello = cut(&client_hello("a.example", &["h2"]), size);
            let whole = parse(&hello);
            assert!(matches!(whole, Parsed::Hello(_)), "{whole:?}");
            let at = at % hello.len();
            match parse(&hello[..at]) {
                Parsed::Part { needed } => assert!(needed > at && needed <= hello.len()),
                parsed => panic!("{parsed:?}"),
            }
        }

        #[test]
        fn no_bytes_make_it_panic(at in 0..500_usize, byte in any::<u8>(), tail in 0..500_usize) {
            let mut hello = client_hello("a.example", &["h2"]);
            let length = hello.len();
            hello[at % length] = byte;
            parse(&hello);
            hello.truncate(tail);
            parse(&hello);
        }
    }
}
