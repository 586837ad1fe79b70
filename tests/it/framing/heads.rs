//! Heads that are malformed, or meant for somebody else: the peer is not even called.

use crate::support::backend::Backend;
use crate::support::behaviour::ok;
use crate::support::client::{get, request};
use crate::support::proxy::{Proxy, app};

use super::refused_unseen;

#[tokio::test]
async fn malformed_fields_are_refused() {
    let with = |fields: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
    let cases = [
        ("a space before the colon", "Content-Length : 5"),
        ("a tab before the colon", "Content-Length\t: 5"),
        ("a folded line", "X-A: 1\r\n 2"),
        ("a line folded with a tab", "X-A: 1\r\n\t2"),
        ("a bare CR", "X-A: 1\r2"),
        ("a bare CR that hides a field", "X-A: 1\rContent-Length: 5"),
        ("a NUL", "X-A: 1\u{0}2"),
        ("a control byte", "X-A: \u{1}"),
        ("DEL", "X-A: \u{7f}"),
        ("a control byte in a name", "X\u{1}A: 1"),
        ("a space in a name", "X A: 1"),
        (
            "a vertical tab before chunked",
            "Transfer-Encoding: \u{b}chunked",
        ),
        ("no name", ": 1"),
        ("no colon", "nonsense"),
        ("a colon in brackets", "(X): 1"),
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
async fn a_host_must_be_one_and_good() {
    let with = |fields: &str| format!("GET / HTTP/1.1\r\n{fields}\r\n");
    let cases = [
        ("none", ""),
        ("two", "Host: a\r\nHost: b\r\n"),
        ("two equal ones", "Host: a\r\nHost: a\r\n"),
        ("a space", "Host: a b\r\n"),
        ("a path", "Host: a/b\r\n"),
        ("a user", "Host: u@a\r\n"),
        ("a port that is none", "Host: a:b\r\n"),
        ("a bracket too few", "Host: [::1\r\n"),
        ("a query", "Host: a?b\r\n"),
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
async fn malformed_targets_are_refused() {
    let with = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let cases = [
        ("half an escape", "/%4"),
        ("no hex", "/%zz"),
        ("an escaped NUL", "/a%00b"),
        ("above the root", "/../etc/passwd"),
        ("above the root by a detour", "/a/../../b"),
        ("above the root, escaped", "/%2e%2e/b"),
        ("above the root, half escaped", "/.%2E/b"),
        ("a fragment", "/a#b"),
        ("a control byte", "/a\u{1}b"),
        ("a bare CR", "/a\rb"),
        ("a space", "/a b"),
        ("no slash", "a"),
    ];
    let requests = cases.map(|(name, target)| (name, with(target)));
    refused_unseen(
        &requests
            .each_ref()
            .map(|(name, request)| (*name, request.as_str(), 400)),
    )
    .await;
}

#[tokio::test]
async fn malformed_request_lines_are_refused() {
    refused_unseen(&[
        ("no version", "GET /\r\nHost: a\r\n\r\n", 400),
        ("two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("a space before", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (
            "a field before all",
            "Host: a\r\nGET / HTTP/1.1\r\n\r\n",
            400,
        ),
        (
            "a method that is no token",
            "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
            400,
        ),
        ("not HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n", 400),
        (
            "bare CRs before",
            "\r\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            400,
        ),
        (
            "a bare CR behind an empty line",
            "\r\n\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            400,
        ),
    ])
    .await;
}

#[tokio::test]
async fn empty_lines_before_a_request_are_skipped() {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start(&app(&[backend.server()], "")).await;
    let mut client = proxy.raw().await;
    for lines in ["\r\n", "\n", "\r\n\n\r\n"] {
        let answer = client.exchange([lines.as_bytes(), &get("/")].concat());
        assert_eq!(answer.await.status, 200, "{lines:?}");
    }
    // An empty line in two packets is one, too.
    client.send("\r").await;
    assert_eq!(
        client
            .exchange([b"\n", &get("/")[..]].concat())
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn more_than_32_connection_options_are_refused() {
    let with = |fields: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let one = with(&format!("Connection: {}\r\n", vec!["x-a"; 33].join(", ")));
    let many = with(&"Connection: x-a, x-b, x-c\r\n".repeat(11));
    refused_unseen(&[("in one field", &one, 400), ("in many", &many, 400)]).await;

    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start(&app(&[backend.server()], "")).await;
    let just_right = with(&format!("Connection: {}\r\n", vec!["x-a"; 32].join(", ")));
    assert_eq!(proxy.raw().await.exchange(just_right).await.status, 200);
}

#[tokio::test]
async fn methods_in_the_wrong_case_are_refused() {
    // A peer that reads them as the real ones would be sent a POST twice, or a TRACE at all.
    let cases = ["post", "Post", "trace", "connect"];
    let requests = cases.map(|method| format!("{method} /x HTTP/1.1\r\nHost: a\r\n\r\n"));
    let refused: Vec<_> = cases
        .iter()
        .zip(&requests)
        .map(|(method, request)| (*method, request.as_str(), 400))
        .collect();
    refused_unseen(&refused).await;
}

#[tokio::test]
async fn methods_that_lbd_does_not_know_pass_as_they_are() {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start(&app(&[backend.server()], "")).await;
    for method in ["PROPFIND", "purge", "M-SEARCH"] {
        let answer = proxy
            .raw()
            .await
            .exchange(request(method, "/", &[], b""))
            .await;
        assert_eq!((answer.status, backend.last().method()), (200, method));
    }
}

#[tokio::test]
async fn methods_for_other_proxies_are_refused() {
    refused_unseen(&[
        (
            "CONNECT",
            "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
            405,
        ),
        ("TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ])
    .await;
}

#[tokio::test]
async fn versions_that_lbd_does_not_speak_are_refused() {
    refused_unseen(&[
        ("HTTP/2 in clear", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
        ("0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
        ("3.0", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
    ])
    .await;
}
