use super::*;
use crate::http::message::Framing;

const LIMITS: HeadLimits = HeadLimits {
    header: 1024,
    uri: 256,
};

fn parse(text: &str) -> Result<Option<(RequestHead, usize)>, HttpError> {
    parse_request(text.as_bytes(), LIMITS)
}

fn status(text: &str) -> u16 {
    match parse(text) {
        Ok(Some(_)) => 200,
        Ok(None) => 0,
        Err(error) => error.status().as_u16(),
    }
}

#[test]
fn a_head_is_read_and_what_follows_is_left() {
    let (head, length) = parse("GET /a?b=1 HTTP/1.1\r\nHost: hq:8100\r\n\r\nGET")
        .unwrap()
        .unwrap();
    assert_eq!(length, 38);
    assert_eq!(
        (head.path(), head.query(), head.host()),
        (&b"/a"[..], Some(&b"b=1"[..]), &b"hq:8100"[..])
    );
    assert!(head.keep_alive && head.body == Framing::None);
}

#[test]
fn whatever_can_be_read_in_two_ways_is_refused() {
    let with = |fields: &str| status(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\ncontent-length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding:\r\n",
        "X : 1\r\n",
        "X: 1\r\n folded\r\n",
        "X: a\rb\r\n",
        "X: a\0b\r\n",
        "X\x01: a\r\n",
        ": a\r\n",
        "Host: b\r\n",
    ] {
        assert_eq!(with(fields), 400, "{fields:?}");
    }
    for fields in [
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
    ] {
        assert!([400, 501].contains(&with(fields)), "{fields:?}");
    }
}

#[test]
fn request_lines() {
    for (line, expected) in [
        ("GET / HTTP/1.1", 200),
        ("OPTIONS * HTTP/1.1", 200),
        ("GET http://b.com/x HTTP/1.1", 200),
        ("PROPFIND /应用 HTTP/1.1", 200),
        ("GET * HTTP/1.1", 400),
        ("GET a HTTP/1.1", 400),
        ("GET /a#b HTTP/1.1", 400),
        ("GET  / HTTP/1.1", 400),
        ("GET / HTTP/1.1 ", 400),
        ("GET /\x7f HTTP/1.1", 400),
        ("GET http://u@b/ HTTP/1.1", 400),
        ("GET http:///x HTTP/1.1", 400),
        ("GET ftp://b/ HTTP/1.1", 400),
        ("CONNECT b:443 HTTP/1.1", 405),
        ("TRACE / HTTP/1.1", 405),
        ("GET / HTTP/2.0", 505),
        ("GET /a b HTTP/1.1", 400),
        ("GET /", 400),
    ] {
        assert_eq!(
            status(&format!("{line}\r\nHost: a\r\n\r\n")),
            expected,
            "{line}"
        );
    }
}

#[test]
fn a_target_in_an_old_encoding_is_kept_as_it_is() {
    let bytes = b"GET /\xd3\xa6?q=\xd3\xc3 HTTP/1.1\r\nHost: a\r\nX-Name: \xd3\xa6\r\n\r\n";
    let (head, length) = parse_request(bytes, LIMITS).unwrap().unwrap();
    assert_eq!(length, bytes.len());
    assert_eq!(head.raw_target(), b"/\xd3\xa6?q=\xd3\xc3");
    assert_eq!(
        (head.host(), head.fields.named("x-name")),
        (&b"a"[..], Some(&b"\xd3\xa6"[..]))
    );
    // The method and the version stay text.
    assert!(parse_request(b"G\xd3T / HTTP/1.1\r\nHost: a\r\n\r\n", LIMITS).is_err());
}

#[test]
fn hosts() {
    for (host, good) in [
        ("a", true),
        ("a.b:80", true),
        ("[::1]:80", true),
        ("a:", true),
        ("", false),
        ("a b", false),
        ("a/b", false),
        ("a@b", false),
        ("a:8x", false),
        ("[::1", false),
        ("a:80:90", false),
        ("a,b", false),
    ] {
        assert_eq!(
            status(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")),
            if good { 200 } else { 400 },
            "{host}"
        );
    }
    assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), 400);
    assert_eq!(status("GET / HTTP/1.0\r\n\r\n"), 200);
    assert_eq!(
        status("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        400
    );
}

#[test]
fn an_absolute_target_names_the_host() {
    let (head, _) = parse("GET http://b.com:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap()
        .unwrap();
    assert_eq!(
        (head.host(), head.path_and_query()),
        (&b"b.com:81"[..], &b"/x?y"[..])
    );
    let (head, _) = parse("GET http://b.com HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap()
        .unwrap();
    assert_eq!(head.path_and_query(), b"/");
}

#[test]
fn limits_hold_before_the_head_is_complete() {
    let long = "a".repeat(300);
    assert_eq!(status(&format!("GET /{long}")), 0);
    assert_eq!(status(&format!("GET /{long}{long}")), 414);
    assert_eq!(
        status(&format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n")),
        414
    );
    let fields = format!("X: {long}\r\n").repeat(4);
    assert_eq!(status(&format!("GET / HTTP/1.1\r\n{fields}")), 431);
    assert_eq!(
        status(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")),
        431
    );
    let many = "X: 1\r\n".repeat(101);
    assert_eq!(status(&format!("GET / HTTP/1.1\r\n{many}\r\n")), 431);
}

#[test]
fn persistence() {
    let keeps = |version: &str, connection: &str| {
        parse(&format!(
            "GET / {version}\r\nHost: a\r\nConnection: {connection}\r\n\r\n"
        ))
        .unwrap()
        .unwrap()
        .0
        .keep_alive
    };
    assert!(keeps("HTTP/1.1", "x") && keeps("HTTP/1.0", "Keep-Alive"));
    assert!(!keeps("HTTP/1.1", "x, Close") && !keeps("HTTP/1.0", "x"));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _ = parse_request(&bytes, LIMITS);
        let mut with_line = b"GET / HTTP/1.1\r\n".to_vec();
        with_line.extend(bytes);
        let _ = parse_request(&with_line, LIMITS);
    }
}
