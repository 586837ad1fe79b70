//! What could be read in two ways is refused, and nothing of it reaches the peer.
//!
//! Request smuggling needs two parties that disagree about where a message ends. The tables hold each known way to
//! bring lbd and a peer to that; the property at the end looks for unknown ones.

mod answers;
mod heads;
mod in_step;
mod property;

use crate::support::backend::Backend;
use crate::support::behaviour::{counting, echo_request};
use crate::support::client::get;
use crate::support::proxy::{Proxy, app};

/// Sends each of `cases` over a connection of its own: refused with its status, closed, and no whole request at the peer.
async fn refused(cases: &[(&str, &str, u16)]) -> Backend {
    let backend = Backend::start(counting()).await;
    let proxy = Proxy::start(&app(&[backend.server()], "")).await;
    for (name, request, status) in cases {
        let mut client = proxy.raw().await;
        let answer = client.exchange(request).await;
        assert_eq!(answer.status, *status, "{name}");
        assert_eq!(answer.field("connection"), Some("close"), "{name}");
        client.ends().await;
        assert_eq!(backend.requests(), 0, "{name}");
    }
    assert_eq!(proxy.get("/").await.text(), "1", "lbd still serves");
    backend
}

/// As [`refused`], and the peer was not even called.
async fn refused_unseen(cases: &[(&str, &str, u16)]) {
    let backend = refused(cases).await;
    assert_eq!(backend.heads().len(), 1, "only the last, good request");
}

#[tokio::test]
async fn ambiguous_lengths_are_refused() {
    let end = "\r\n\r\nhelloGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let with = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}{end}");
    let cases = [
        (
            "length and chunked",
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
        ),
        (
            "chunked and length",
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
        ),
        ("two lengths", "Content-Length: 5\r\nContent-Length: 6"),
        (
            "two equal lengths",
            "Content-Length: 5\r\nContent-Length: 5",
        ),
        (
            "two lengths, other case",
            "Content-Length: 5\r\ncontent-length: 5",
        ),
        ("a list of lengths", "Content-Length: 5, 5"),
        ("a list of two", "Content-Length: 5, 6"),
        ("a sign", "Content-Length: +5"),
        ("a minus", "Content-Length: -5"),
        ("no digits", "Content-Length:"),
        ("hex", "Content-Length: 0x5"),
        ("a space inside", "Content-Length: 5 5"),
        ("a fraction", "Content-Length: 5.0"),
        ("a letter", "Content-Length: 5a"),
        ("beyond 64 bits", "Content-Length: 18446744073709551621"),
    ];
    let requests = cases.map(|(name, fields)| (name, with(fields)));
    refused_unseen(
        &requests
            .each_ref()
            .map(|(name, request)| (*name, request.as_str(), 400)),
    )
    .await;
}

#[tokio::test]
async fn bad_chunks_are_refused() {
    let with = |body: &str| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
    };
    let cases = [
        ("no digits", "\r\nhello\r\n0\r\n\r\n"),
        ("not hex", "g\r\nhello\r\n0\r\n\r\n"),
        ("a prefix", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("a sign", "+5\r\nhello\r\n0\r\n\r\n"),
        ("a minus", "-5\r\nhello\r\n0\r\n\r\n"),
        ("a space before", " 5\r\nhello\r\n0\r\n\r\n"),
        ("a letter after", "5z\r\nhello\r\n0\r\n\r\n"),
        ("beyond 64 bits", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("longer than its size", "5\r\nhello!\r\n0\r\n\r\n"),
        ("shorter than its size", "5\r\nhell\r\n0\r\n\r\n"),
        ("a bare LF after the size", "5\nhello\r\n0\r\n\r\n"),
        ("a bare CR after the size", "5\rhello\r\n0\r\n\r\n"),
        ("a bare LF after the data", "5\r\nhello\n0\r\n\r\n"),
        ("a bare LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
        (
            "a control byte in an extension",
            "5;a=\u{1}\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "a second chunk that is bad",
            "5\r\nhello\r\nx\r\nworld\r\n0\r\n\r\n",
        ),
        (
            "a trailer without colon",
            "5\r\nhello\r\n0\r\nnonsense\r\n\r\n",
        ),
        (
            "a trailer with a space before its colon",
            "5\r\nhello\r\n0\r\nX-Sum : 1\r\n\r\n",
        ),
    ];
    let requests = cases.map(|(name, body)| (name, with(body)));
    refused(
        &requests
            .each_ref()
            .map(|(name, request)| (*name, request.as_str(), 400)),
    )
    .await;
}

#[tokio::test]
async fn transfer_codings_that_lbd_does_not_speak_are_refused() {
    let end = "\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let with =
        |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {fields}{end}");
    let cases = [
        "gzip",
        "gzip, chunked",
        "chunked, chunked",
        "chunked, identity",
        "identity",
        "xchunked",
        "chunked;q=1",
        "\"chunked\"",
    ];
    let requests = cases.map(|coding| (coding, with(coding)));
    refused_unseen(
        &requests
            .each_ref()
            .map(|(name, request)| (*name, request.as_str(), 501)),
    )
    .await;
}

#[tokio::test]
async fn a_transfer_coding_on_http_1_0_is_refused() {
    refused_unseen(&[(
        "chunked on 1.0",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        400,
    )])
    .await;
}

#[tokio::test]
async fn what_is_unusual_but_clear_passes() {
    let backend = Backend::start(echo_request()).await;
    let proxy = Proxy::start(&app(&[backend.server()], "")).await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:";
    for (name, request) in [
        (
            "chunked in capitals",
            format!("{post} CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        ),
        (
            "zeros before the size",
            format!("{post} chunked\r\n\r\n0005\r\nhello\r\n00\r\n\r\n"),
        ),
        (
            "an extension",
            format!("{post}chunked\r\n\r\n5;a=\"b\";c\r\nhello\r\n0;d\r\n\r\n"),
        ),
        (
            "zeros before the length",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 005\r\n\r\nhello".into(),
        ),
        (
            "a Host with a port",
            "GET / HTTP/1.1\r\nHost: a:8100\r\n\r\n".into(),
        ),
        (
            "an IPv6 Host",
            "GET / HTTP/1.1\r\nHost: [::1]:8100\r\n\r\n".into(),
        ),
        (
            "an empty value, a tab, no space",
            "GET / HTTP/1.1\r\nHost:a\r\nX-A:\r\nX-B: 1\t2 \r\n\r\n".into(),
        ),
        (
            "an empty line before",
            format!("\r\n{}", String::from_utf8_lossy(&get("/"))),
        ),
        (
            "a method of its own",
            "PURGE / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
        ),
        (
            "dots that stay inside",
            "GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n".into(),
        ),
        ("1.0 without Host", "GET / HTTP/1.0\r\n\r\n".into()),
    ] {
        assert_eq!(
            proxy.raw().await.exchange(request).await.status,
            200,
            "{name}"
        );
    }
    let framings = backend
        .heads()
        .iter()
        .filter(|head| head.framing().is_err())
        .count();
    assert_eq!(framings, 0, "the peer could read something in two ways");
}
