//! Malformed requests (section 8.1.1): a stream error, or 400. Nothing of them reaches a server as a whole.

use crate::support::frame::{code, data, encode, flag, kind};
use crate::support::frames::Verdict;
use crate::support::hpack::{self, GET};

use super::{Case, Site, answers};

/// A request of these fields, without body.
fn request(fields: &[(&str, &str)]) -> Vec<u8> {
    let flags = flag::END_HEADERS | flag::END_STREAM;
    encode(kind::HEADERS, flags, 1, &hpack::block(fields))
}

/// A GET with one more field.
fn with(name: &str, value: &str) -> Vec<u8> {
    request(&[&GET[..], &[(name, value)]].concat())
}

/// A POST with these fields and this body, and the trailers that these fields make.
fn upload(fields: &[(&str, &str)], body: &[u8], trailers: &[(&str, &str)]) -> Vec<u8> {
    let post = [(":method", "POST")];
    let head = hpack::block(&[&post[..], &GET[1..], fields].concat());
    let mut bytes = encode(kind::HEADERS, flag::END_HEADERS, 1, &head);
    if trailers.is_empty() {
        bytes.extend(data(1, flag::END_STREAM, body));
    } else {
        let flags = flag::END_HEADERS | flag::END_STREAM;
        bytes.extend(data(1, 0, body));
        bytes.extend(encode(kind::HEADERS, flags, 1, &hpack::block(trailers)));
    }
    bytes
}

/// Each case is refused, and no server has it as a whole.
async fn are_malformed(cases: &[Case<'_>]) {
    let site = Site::start().await;
    let mut good = 0;
    for (name, bytes) in cases {
        let (mut client, verdict) = site.verdict(bytes, 1).await;
        match verdict {
            Verdict::Reset(code::PROTOCOL_ERROR) | Verdict::Answer(400) => {
                answers(&mut client).await;
                good += 1;
            }
            Verdict::GoAway(code::PROTOCOL_ERROR) => client.ends().await,
            _ => panic!("{name}: {verdict:?}"),
        }
        assert_eq!(site.good.requests(), good, "{name} came through");
    }
    site.still_serves().await;
}

#[tokio::test]
async fn names_that_cannot_be() {
    are_malformed(&[
        ("in capitals", with("X-Upper", "1")),
        ("with one capital", with("x-uppeR", "1")),
        ("empty", with("", "1")),
        ("a space", with("x a", "1")),
        ("a colon", with("x:a", "1")),
        ("a control byte", with("x\u{1}", "1")),
        ("a line end", with("x\r\ny", "1")),
        ("not ASCII", with("x-\u{e9}", "1")),
    ])
    .await;
}

#[tokio::test]
async fn values_that_cannot_be() {
    are_malformed(&[
        ("a NUL", with("x-a", "1\u{0}2")),
        ("a CR", with("x-a", "1\r2")),
        ("an LF", with("x-a", "1\n2")),
        ("a whole field", with("x-a", "1\r\nx-b: 2")),
        ("a NUL in the path", request(&replaced(":path", "/\u{0}"))),
        (
            "a line end in the path",
            request(&replaced(":path", "/\r\nx")),
        ),
        (
            "a line end in the authority",
            request(&replaced(":authority", "a\r\nx: y")),
        ),
        (
            "a line end in the method",
            request(&replaced(":method", "GET / HTTP/1.1\r\nx: y")),
        ),
    ])
    .await;
}

#[tokio::test]
async fn fields_of_a_connection() {
    are_malformed(&[
        ("connection", with("connection", "close")),
        ("keep-alive", with("keep-alive", "timeout=5")),
        ("proxy-connection", with("proxy-connection", "keep-alive")),
        ("transfer-encoding", with("transfer-encoding", "chunked")),
        ("upgrade", with("upgrade", "h2c")),
        ("te with a coding", with("te", "gzip")),
        (
            "te with more than trailers",
            with("te", "trailers, deflate"),
        ),
        (
            "transfer-encoding with a body",
            upload(&[("transfer-encoding", "chunked")], b"5\r\nhello\r\n", &[]),
        ),
    ])
    .await;
}

/// [`GET`] with another value for one of its fields.
fn replaced<'f>(name: &str, value: &'f str) -> [(&'f str, &'f str); 4] {
    GET.map(|(known, old)| (known, if known == name { value } else { old }))
}

/// [`GET`] without one of its fields.
fn without(name: &str) -> Vec<(&'static str, &'static str)> {
    GET.into_iter()
        .filter(|(known, _)| *known != name)
        .collect()
}

#[tokio::test]
async fn pseudo_fields_that_are_missing() {
    let host = ("host", "app.example");
    are_malformed(&[
        (":method", request(&without(":method"))),
        (":scheme", request(&without(":scheme"))),
        (":path", request(&without(":path"))),
        ("all", request(&[host])),
    ])
    .await;
}

#[tokio::test]
async fn pseudo_fields_that_stand_twice_or_late() {
    let late = |name: &str| {
        let (first, field) = (without(name), GET.into_iter().find(|(n, _)| *n == name));
        let field = field.expect("a field of a GET");
        request(&[&first[..], &[("x-a", "1"), field]].concat())
    };
    are_malformed(&[
        ("two :method", with(":method", "GET")),
        ("two :scheme", with(":scheme", "http")),
        ("two :path", with(":path", "/other")),
        ("two :authority", with(":authority", "other.example")),
        (":method late", late(":method")),
        (":scheme late", late(":scheme")),
        (":authority late", late(":authority")),
        (":path late", late(":path")),
    ])
    .await;
}

#[tokio::test]
async fn pseudo_fields_that_are_unknown_or_not_a_requests() {
    are_malformed(&[
        ("unknown", with(":foo", "bar")),
        ("of an answer", with(":status", "200")),
        ("of another method", with(":protocol", "websocket")),
        ("no name", with(":", "x")),
    ])
    .await;
}

#[tokio::test]
async fn targets_that_cannot_be() {
    are_malformed(&[
        ("an empty path", request(&replaced(":path", ""))),
        ("no slash", request(&replaced(":path", "x"))),
        ("a whole URI", request(&replaced(":path", "http://a/"))),
        ("a star for a GET", request(&replaced(":path", "*"))),
        ("a user", request(&replaced(":authority", "u@app.example"))),
        (
            "a path in the authority",
            request(&replaced(":authority", "a/b")),
        ),
        (
            "a port that is none",
            request(&replaced(":authority", "a:b")),
        ),
        ("two hosts", {
            let hosts = [("host", "a"), ("host", "b")];
            request(&[&without(":authority")[..], &hosts].concat())
        }),
        ("no host at all", request(&without(":authority"))),
    ])
    .await;
}

#[tokio::test]
async fn lengths_that_are_not_the_bodys() {
    let length = |text: &'static str| [("content-length", text)];
    are_malformed(&[
        ("too short a body", upload(&length("5"), b"hell", &[])),
        ("too long a body", upload(&length("5"), b"hello!", &[])),
        ("no body", upload(&length("5"), b"", &[])),
        (
            "trailers too early",
            upload(&length("5"), b"hell", &[("x-sum", "1")]),
        ),
        ("a GET without body", with("content-length", "5")),
        ("no number", upload(&length("five"), b"hello", &[])),
        ("a sign", upload(&length("+5"), b"hello", &[])),
        ("a minus", upload(&length("-5"), b"hello", &[])),
        ("a list", upload(&length("5, 5"), b"hello", &[])),
        ("empty", upload(&length(""), b"hello", &[])),
        (
            "beyond 64 bits",
            upload(&length("18446744073709551621"), b"hello", &[]),
        ),
        (
            "two that differ",
            upload(&[length("5"), length("6")].concat(), b"hello", &[]),
        ),
    ])
    .await;
}

#[tokio::test]
async fn trailers_that_cannot_be() {
    let open = upload(&[], b"hello", &[]);
    let without_end = &open[..open.len() - data(1, 0, b"hello").len()];
    let second = encode(
        kind::HEADERS,
        flag::END_HEADERS,
        1,
        &hpack::block(&[("x-sum", "1")]),
    );
    are_malformed(&[
        ("capitals", upload(&[], b"hello", &[("X-Sum", "1")])),
        (
            "connection",
            upload(&[], b"hello", &[("connection", "close")]),
        ),
        (
            "no end of the stream",
            [without_end, &data(1, 0, b"hello"), &second].concat(),
        ),
    ])
    .await;
}
