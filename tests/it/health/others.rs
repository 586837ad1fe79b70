//! Checks that are no request: a connection, a few bytes, a handshake. And requests in other ways: TLS, HTTP/2.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{AT_ONCE, OFTEN, becomes, goes_out};
use crate::support::backend::Backend;
use crate::support::behaviour::{Behaviour, never_answers, ok};
use crate::support::certs::{Authority, Identity};
use crate::support::h2_peer::{H2Peer, grpc, says};
use crate::support::plain::{greets, who};
use crate::support::proxy::{Proxy, app};
use crate::support::streams::{start, stream};
use crate::support::tls_peer::{TlsPeer, shows};

/// What a check with these keys thinks of the only server of a pool with those, and why.
async fn judged(server: &str, health: &str, keys: &str) -> String {
    let often = match health.contains("timeout") {
        true => "interval = \"20ms\"",
        false => OFTEN,
    };
    let health = format!("health = {{ {health}, {often} }}\n{keys}");
    let proxy = Proxy::start(&app(&[server.to_owned()], &health)).await;
    let server = proxy.pool().servers.remove(0);
    let reason = server.reason.map(|reason| format!(": {reason}"));
    server.state + &reason.unwrap_or_default()
}

// === tcp ===

#[tokio::test]
async fn a_server_that_takes_connections_is_well() {
    let (mut a, b) = (
        Backend::start(greets("a")).await,
        Backend::start(greets("b")).await,
    );
    let health = format!("health = {{ check = \"tcp\", {AT_ONCE} }}");
    let text = stream("", &[a.server(), b.server()], &health);
    let (proxy, addr) = start(&text).await;
    assert_eq!([who(addr).await, who(addr).await].concat(), "ab");
    a.stop().await;
    goes_out(&proxy, a.addr()).await;
    for _ in 0..4 {
        assert_eq!(who(addr).await, "b");
    }
    a.start_as(greets("a"));
    becomes(&proxy, a.addr(), "up").await;
    let names = [who(addr).await, who(addr).await].concat();
    assert!(names.contains('a'), "{names}");
}

#[tokio::test]
async fn what_a_server_says_by_itself_has_to_match() {
    let mail = Backend::start(greets("220 mail.test ESMTP\r\n")).await;
    let keys = "check = \"tcp\", expect = '^220 ', timeout = \"300ms\"";
    assert_eq!(judged(&mail.server(), keys, "").await, "up");
    let full = Backend::start(greets("421 too many\r\n")).await;
    let said = judged(&full.server(), keys, "").await;
    assert!(said.starts_with("out: "), "{said}");
}

/// Answers `PING` so, again and again.
async fn redis(answer: watch::Receiver<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A connection that fails ends.
            tokio::spawn(pong(stream, answer.clone()));
        }
    });
    addr
}

async fn pong(mut stream: TcpStream, answer: watch::Receiver<&'static str>) -> io::Result<()> {
    loop {
        let mut asked = [0; 6];
        stream.read_exact(&mut asked).await?;
        if asked == *b"PING\r\n" {
            let answer = *answer.borrow();
            stream.write_all(answer.as_bytes()).await?;
        }
    }
}

#[tokio::test]
async fn what_a_server_says_to_what_it_is_sent_has_to_match() {
    let (says, answer) = watch::channel("+PONG\r\n");
    let server = redis(answer).await;
    let keys = "check = \"tcp\", send = \"PING\\r\\n\", expect = '\\+PONG'";
    let brief = "interval = \"20ms\", timeout = \"300ms\", fall = 1, rise = 1";
    let health = format!("health = {{ {keys}, {brief} }}");
    let proxy = Proxy::start(&app(&[format!("\"{server}\"")], &health)).await;
    assert_eq!(proxy.server(server).state, "up");
    says.send_replace("-NOAUTH Authentication required.\r\n");
    goes_out(&proxy, server).await;
    says.send_replace("+PONG\r\n");
    becomes(&proxy, server, "up").await;
}

/// Says so, and closes.
fn hangs_up(says: &'static str) -> Behaviour {
    Behaviour::new(move |mut peer| async move { peer.send(says).await })
}

#[tokio::test]
async fn a_server_that_closes_before_it_has_said_what_is_expected_is_out() {
    let backend = Backend::start(hangs_up("-ERR\r\n")).await;
    let keys = "check = \"tcp\", expect = '\\+PONG'";
    let said = judged(&backend.server(), keys, "").await;
    assert_eq!(said, r#"out: said "-ERR\r\n", which does not match \+PONG"#);
}

#[tokio::test]
async fn what_is_expected_may_come_in_pieces_and_late() {
    let long = "banner ".repeat(1000) + "ready";
    let backend = Backend::start(hangs_up(long.leak())).await;
    let keys = "check = \"tcp\", expect = 'ready$'";
    assert_eq!(judged(&backend.server(), keys, "").await, "up");
}

// === TLS ===

/// The name of the servers' certificates.
const NAME: &str = "app.internal";

/// An authority, and a server with a certificate of it that says "hello".
async fn internal() -> (Authority, Identity, TlsPeer) {
    let authority = Authority::new();
    let identity = authority.server(&[NAME]);
    let peer = TlsPeer::start(shows(&identity), "hello").await;
    (authority, identity, peer)
}

/// The pool's `tls` that trusts `authority` with this name.
fn trusting(authority: &Authority, name: &str) -> String {
    let ca = authority.path();
    format!("tls = {{ ca = \"{ca}\", server_name = \"{name}\" }}")
}

#[tokio::test]
async fn a_request_goes_through_the_pool_s_tls() {
    let (authority, _, peer) = internal().await;
    let tls = trusting(&authority, NAME);
    let keys = "check = \"http\", path = \"/check\", body = \"hello\"";
    assert_eq!(judged(&peer.server(), keys, &tls).await, "up");
    let call = &peer.calls()[0];
    assert_eq!(call.head.start, "GET /check HTTP/1.1");
    assert_eq!(call.name.as_deref(), Some(NAME));
}

#[tokio::test]
async fn a_server_is_verified_as_for_traffic() {
    let (authority, _, peer) = internal().await;
    let stranger = Authority::new();
    for check in ["http", "tcp", "tls"] {
        let keys = format!("check = \"{check}\"");
        let said = async |tls: &str| judged(&peer.server(), &keys, tls).await;
        assert_eq!(said(&trusting(&authority, NAME)).await, "up", "{check}");
        assert_eq!(said("tls = { verify = false }").await, "up", "{check}");
        let of_another = said(&trusting(&stranger, NAME)).await;
        let start = "out: TLS: certificate ";
        assert!(of_another.starts_with(start), "{check}: {of_another}");
        let for_another = said(&trusting(&authority, "other.internal")).await;
        assert_eq!(
            for_another,
            format!("{start}is for another name"),
            "{check}"
        );
    }
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_out() {
    let backend = Backend::start(greets("in the clear, and long enough")).await;
    let authority = Authority::new();
    let tls = trusting(&authority, NAME);
    let said = judged(&backend.server(), "check = \"tls\"", &tls).await;
    assert_eq!(said, "out: TLS: the server does not speak it");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_out_for_want_of_a_handshake() {
    let backend = Backend::start(never_answers()).await;
    let keys = "check = \"tls\", timeout = \"200ms\"";
    let said = judged(&backend.server(), keys, "tls = { verify = false }").await;
    assert_eq!(said, "out: no TLS handshake within 200ms");
}

// === HTTP/2 ===

#[tokio::test]
async fn a_request_is_of_the_pool_s_protocol() {
    let peer = H2Peer::start(says("hello")).await;
    let keys = "check = \"http\", path = \"/check?x\", host = \"b.test\", body = \"hello\", \
                headers = { X-Check = \"1\" }";
    let said = judged(&peer.server(), keys, "protocol = \"h2c\"").await;
    assert_eq!(said, "up");
    let call = &peer.calls()[0];
    let uri = &call.head.uri;
    assert_eq!(uri.to_string(), "http://b.test/check?x");
    assert_eq!(call.head.method, "GET");
    assert_eq!(call.field("x-check"), Some("1"));
    assert_eq!(call.field("connection"), None);
}

#[tokio::test]
async fn a_server_of_http_1_is_out_of_a_pool_of_http_2() {
    let backend = Backend::start(ok("x")).await;
    let keys = "check = \"http\", timeout = \"300ms\"";
    let said = judged(&backend.server(), keys, "protocol = \"h2c\"").await;
    assert!(said.starts_with("out: "), "{said}");
}

#[tokio::test]
async fn a_server_of_grpc_that_does_not_say_how_it_is_is_out() {
    let peer = H2Peer::start(grpc()).await;
    let keys = "check = \"grpc\", service = \"my.Service\"";
    let said = judged(&peer.server(), keys, "protocol = \"h2c\"").await;
    assert_eq!(said, "out: does not say whether it serves");
    let call = &peer.calls()[0];
    assert_eq!(call.head.uri.path(), "/grpc.health.v1.Health/Check");
    assert_eq!(call.field("content-type"), Some("application/grpc"));
    assert_eq!(call.field("te"), Some("trailers"));
    assert_eq!(call.body, b"\0\0\0\0\x0c\x0a\x0amy.Service");
}
