//! Checks send the PROXY header that the traffic is sent with: a server that waits for one would hang up on others.

use std::net::SocketAddr;

use ppp::v1;
use ppp::v2::{Builder, Command, Protocol, Version};

use super::OFTEN;
use crate::support::certs::Authority;
use crate::support::plain::{Door, Plain};
use crate::support::proxy::{Proxy, app};
use crate::support::streams::{pool, start, stream};
use crate::support::tls_peer::shows;

/// The line of version 1 for a connection from here to there.
fn line(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    v1::Addresses::from((from, to)).to_string().into_bytes()
}

/// The header of version 2 for it.
fn header(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let start = Version::Two | Command::Proxy;
    let header = Builder::with_addresses(start, Protocol::Stream, (from, to));
    header.build().expect("a short header")
}

/// All that a check of the server at `door` says, and where it comes from.
async fn check(door: &Door) -> (Vec<u8>, SocketAddr) {
    let mut connection = door.accept().await;
    let said = connection.rest().await;
    let peer = connection.into_inner().peer_addr();
    (said, peer.expect("it was connected"))
}

/// The keys of a pool whose servers are asked for connections, and with these further keys.
fn health(keys: &str) -> String {
    format!("health = {{ check = \"tcp\", {OFTEN}{keys} }}")
}

/// What lbd says to check a server, with these keys of the stream and of `health`.
async fn said(stream_keys: &str, keys: &str) -> (Vec<u8>, SocketAddr, SocketAddr) {
    let door = Door::open().await;
    let text = stream(stream_keys, &[door.server()], &health(keys));
    let (_proxy, _) = start(&text).await;
    let (said, from) = check(&door).await;
    (said, from, door.addr())
}

const V1: &str = "send_proxy = \"v1\"";
const V2: &str = "send_proxy = \"v2\"";

#[tokio::test]
async fn version_1_is_sent_as_by_the_stream() {
    let (said, from, to) = said(V1, "").await;
    assert_eq!(said, line(from, to));
}

#[tokio::test]
async fn version_2_is_sent_as_by_the_stream() {
    let (said, from, to) = said(V2, "").await;
    assert_eq!(said, header(from, to));
}

#[tokio::test]
async fn nothing_is_sent_where_the_stream_sends_nothing() {
    for keys in ["", "send_proxy = \"off\""] {
        assert_eq!(said(keys, "").await.0, b"");
    }
}

#[tokio::test]
async fn checks_send_what_the_file_says_for_them() {
    let (said_1, from, to) = said(V2, ", send_proxy = \"v1\"").await;
    assert_eq!(said_1, line(from, to));
    assert_eq!(said(V1, ", send_proxy = \"off\"").await.0, b"");
    let (said_2, from, to) = said("", ", send_proxy = \"v2\"").await;
    assert_eq!(said_2, header(from, to));
}

#[tokio::test]
async fn the_header_names_the_port_that_is_asked() {
    let (door, watcher) = (Door::open().await, Door::open().await);
    let keys = format!(", port = {}", watcher.addr().port());
    let (_proxy, _) = start(&stream(V1, &[door.server()], &health(&keys))).await;
    let (said, from) = check(&watcher).await;
    assert_eq!(said, line(from, watcher.addr()));
}

#[tokio::test]
async fn it_stands_before_what_is_sent() {
    let (said, from, to) = said(V1, ", send = \"QUIT\\r\\n\"").await;
    assert_eq!(said, [line(from, to), b"QUIT\r\n".to_vec()].concat());
}

/// The next bytes of a check are the header of version 1.
async fn reads_line(door: &Door) -> Plain {
    let mut server = door.accept().await;
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.extend(server.exactly(1).await);
    }
    assert!(
        line.starts_with(b"PROXY TCP4 127.0.0.1 127.0.0.1 "),
        "{line:?}"
    );
    server
}

#[tokio::test]
async fn it_stands_before_the_handshake() {
    let authority = Authority::new();
    let identity = authority.server(&["app.internal"]);
    let door = Door::open().await;
    let ca = authority.path();
    let keys = format!(
        "tls = {{ ca = \"{ca}\", server_name = \"app.internal\" }}\n\
         health = {{ check = \"tls\", {OFTEN} }}"
    );
    let text = stream(V1, &[door.server()], &keys);
    let ((proxy, _), _connection) = tokio::join!(start(&text), async {
        reads_line(&door).await.secured_by(shows(&identity)).await
    });
    assert_eq!(proxy.server(door.addr()).state, "up");
}

#[tokio::test]
async fn it_stands_before_a_request() {
    let door = Door::open().await;
    let keys = format!("health = {{ check = \"http\", path = \"/check\", {OFTEN} }}");
    let text = stream(V1, &[door.server()], &keys);
    let ((proxy, _), _connection) = tokio::join!(start(&text), async {
        let mut server = reads_line(&door).await;
        server.hears("GET /check HTTP/1.1\r\n").await;
        server.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        server
    });
    assert_eq!(proxy.server(door.addr()).state, "up");
}

#[tokio::test]
async fn a_pool_that_gets_requests_is_checked_without_it() {
    let door = Door::open().await;
    let keys = format!("health = {{ check = \"tcp\", {OFTEN} }}");
    let _proxy = Proxy::start(&app(&[door.server()], &keys)).await;
    assert_eq!(check(&door).await.0, b"");
}

#[tokio::test]
async fn each_pool_of_a_stream_is_checked_as_it_is_used() {
    let (one, other) = (Door::open().await, Door::open().await);
    let first = stream(V1, &[one.server()], &health(""));
    let second = "[[streams]]\nbind = \"127.0.0.3:0\"\npool = \"other\"\n";
    let pool = pool("other", &[other.server()], &health(""));
    let (_proxy, _) = start(&format!("{first}{second}{pool}")).await;
    let (said, from) = check(&one).await;
    assert_eq!(said, line(from, one.addr()));
    assert_eq!(check(&other).await.0, b"");
}
