//! Heads that are malformed, or meant for somebody else: the peer is not even called.

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
    ])
    .await;
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
