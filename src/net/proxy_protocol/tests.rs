use proptest::prelude::*;

use super::*;

fn endpoints_of(source: &str, destination: &str) -> Endpoints {
    Endpoints {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    }
}

#[test]
fn text_is_read_as_the_document_writes_it() {
    let header = parse(b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nGET /").unwrap();
    let expected = Header {
        length: 45,
        endpoints: Some(endpoints_of("192.0.2.1:56324", "198.51.100.2:443")),
    };
    assert_eq!(header, Some(expected));
    let header = parse(b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n").unwrap();
    let expected = endpoints_of("[2001:db8::1]:1", "[::1]:65535");
    assert_eq!(header.unwrap().endpoints, Some(expected));
    let header = parse(b"PROXY UNKNOWN whatever this is\r\n").unwrap();
    assert_eq!(header.unwrap().endpoints, None);
}

#[test]
fn text_that_is_written_in_another_way_is_refused() {
    for line in [
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 056324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 +5632 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
        "PROXY TCP4 192.0.2.1  198.51.100.2 1 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 443 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY tcp4 192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY \r\n",
        "GET / HTTP/1.1\r\n",
    ] {
        assert!(parse(line.as_bytes()).is_err(), "{line:?}");
    }
    let long = format!("PROXY UNKNOWN {}", "x".repeat(LONGEST_TEXT));
    assert!(parse(long.as_bytes()).is_err());
}

#[test]
fn a_proxy_s_own_connection_and_what_is_no_tcp_have_no_other_ends() {
    for (command, family) in [(0x20, 0x11), (0x21, 0x00), (0x21, 0x12), (0x21, 0x31)] {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend_from_slice(&[command, family, 0, 3, 1, 2, 3]);
        let header = parse(&bytes).unwrap().unwrap();
        assert_eq!((header.length, header.endpoints), (19, None));
    }
}

#[test]
fn binary_headers_that_make_no_sense_are_refused() {
    for tail in [
        &[0x11, 0x11, 0, 12][..],
        &[0x22, 0x11, 0, 12],
        &[0x21, 0x13, 0, 12],
        &[0x21, 0x11, 0x40, 0x01],
        &[0x21, 0x11, 0, 2, 0, 0],
        &[0x21, 0x21, 0, 2, 0, 0],
    ] {
        let bytes = [SIGNATURE, tail].concat();
        assert!(parse(&bytes).is_err(), "{tail:?}");
    }
}

#[test]
fn what_is_known_of_tls_stands_behind_the_addresses() {
    let extensions = Extensions {
        alpn: Some(b"mqtt".to_vec()),
        name: Some("mqtt.x.com".to_owned()),
        tls: Some(TlsFacts {
            version: "TLSv1.3",
            cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
            certificate: Some(Some("dev".to_owned())),
        }),
    };
    let bytes = endpoints_of("10.0.0.1:1", "10.0.0.2:2").to_v2(&extensions);
    let theirs = ppp::v2::Header::try_from(bytes.as_slice()).unwrap();
    let tlvs: Vec<_> = theirs.tlvs().map(Result::unwrap).collect();
    assert_eq!((tlvs[0].kind, &*tlvs[0].value), (1, &b"mqtt"[..]));
    assert_eq!((tlvs[1].kind, &*tlvs[1].value), (2, &b"mqtt.x.com"[..]));
    assert_eq!(tlvs[2].kind, 0x20);
    let expected = b"\x07\0\0\0\0\x21\0\x07TLSv1.3\x22\0\x03dev\x23\0\x16TLS_AES_256_GCM_SHA384";
    assert_eq!(&*tlvs[2].value, expected);
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    let v4 = any::<[u8; 4]>().prop_map(IpAddr::from);
    let v6 = any::<[u8; 16]>().prop_map(IpAddr::from);
    (prop_oneof![v4, v6], any::<u16>()).prop_map(SocketAddr::from)
}

proptest! {
    #[test]
    fn a_header_that_was_written_is_read_and_no_part_of_it_is_one(
        source in any_address(),
        destination in any_address(),
        binary in any::<bool>(),
    ) {
        let sent = Endpoints { source, destination };
        let (source, destination) = sent.alike();
        let bytes = if binary { sent.to_v2(&Extensions::default()) } else { sent.to_v1() };
        let header = parse(&bytes).unwrap().unwrap();
        assert_eq!(header.length, bytes.len());
        assert_eq!(header.endpoints, Some(Endpoints { source, destination }));
        for length in 0..bytes.len() {
            assert_eq!(parse(&bytes[..length]), Ok(None));
        }
    }

    #[test]
    fn another_parser_agrees_on_what_is_a_header(
        source in any_address(),
        destination in any_address(),
        binary in any::<bool>(),
        at in 0..60_usize,
        byte in any::<u8>(),
    ) {
        let sent = Endpoints { source, destination };
        let mut bytes = if binary { sent.to_v2(&Extensions::default()) } else { sent.to_v1() };
        if let Some(changed) = bytes.get_mut(at) {
            *changed = byte;
        }
        // What is read here is a header there, too; the other way there are spellings that only it knows.
        if let Ok(Some(header)) = parse(&bytes) {
            let theirs = ppp::HeaderResult::parse(&bytes[..header.length]);
            match theirs {
                ppp::HeaderResult::V1(result) => assert!(result.is_ok(), "{bytes:?}"),
                ppp::HeaderResult::V2(result) => assert!(result.is_ok(), "{bytes:?}"),
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), binary in any::<bool>()) {
        let start = if binary { &SIGNATURE[..] } else { TEXT };
        let _ = parse(&[start, &bytes].concat());
        let _ = parse(&bytes);
    }
}
