//! Beginnings and ends that go wrong: each is over soon, and costs nobody else anything.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::backend::Backend;
use crate::support::behaviour::ok;
use crate::support::client::{get, request};
use crate::support::frame::PREFACE;
use crate::support::proxy::{Proxy, says};
use crate::support::raw::Raw;
use crate::support::secure::{Secure, handshake, offering, trusting};
use crate::support::wait;

use super::{NAME, before, front, speaks, tls};

/// The first bytes of a handshake: a record of 512 bytes with a ClientHello of 508.
const HELLO: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

/// lbd with TLS and a short deadline for heads.
async fn impatient() -> Proxy {
    let (_, identity) = front();
    let keys = format!(
        "timeouts = {{ header = \"300ms\" }}\n{}",
        tls(&[&identity], "")
    );
    Proxy::start_with(&keys, &says("path = \"/\"", "x")).await
}

#[tokio::test]
async fn clear_text_is_not_answered_and_does_not_hang() {
    let (proxy, config) = speaks("").await;
    for said in [
        &get("/")[..],
        PREFACE,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        &[0; 100],
    ] {
        let mut client = Raw::connect(proxy.addr()).await;
        client.send(said).await;
        // An alert may come, or an explanation in clear text.
        let rest = client.rest().await;
        let text = String::from_utf8_lossy(&rest);
        assert!(!text.contains(" 200 "), "{text:?}");
    }
    assert_eq!(proxy.troubles(), (4, 0), "failed handshakes are counted");
    let config = Arc::new(config);
    let mut client = Secure::connect(proxy.addr(), NAME, &config).await;
    assert_eq!(client.exchange(get("/")).await.text(), "x");
}

#[tokio::test]
async fn plain_http_is_answered_in_plain_http() {
    let (proxy, _) = speaks("").await;
    let mut client = Raw::connect(proxy.addr()).await;
    let answer = client.exchange(get("/")).await;
    // An alert in front of it would be part of the first word.
    let said = (answer.version.as_str(), answer.status);
    assert_eq!(said, ("HTTP/1.1", 400));
    client.ends().await;
}

#[tokio::test]
async fn a_handshake_that_does_not_end_in_time_is_given_up() {
    let proxy = impatient().await;
    for said in [&HELLO[..0], &HELLO[..1], HELLO] {
        let start = Instant::now();
        let mut client = Raw::connect(proxy.addr()).await;
        client.send(said).await;
        client.rest().await;
        // The kernel hands over a connection that says nothing after a second.
        let took = start.elapsed();
        assert!(took < Duration::from_secs(4), "{took:?}");
    }
}

#[tokio::test]
async fn a_dripping_handshake_does_not_move_its_deadline() {
    let proxy = impatient().await;
    let start = Instant::now();
    let mut client = Raw::connect(proxy.addr()).await;
    client.send(HELLO).await;
    let drip = client.drip(vec![0; 500], Duration::from_millis(50));
    client.rest().await;
    let took = start.elapsed();
    let expected = Duration::from_millis(250)..Duration::from_secs(3);
    assert!(expected.contains(&took), "{took:?}");
    drip.abort();
}

#[tokio::test]
async fn handshakes_that_hang_hold_up_no_other() {
    let (proxy, config) = speaks("").await;
    let mut hanging = Vec::new();
    for _ in 0..100 {
        let mut client = Raw::connect(proxy.addr()).await;
        client.send(HELLO).await;
        hanging.push(client);
    }
    let config = Arc::new(config);
    let start = Instant::now();
    for _ in 0..5 {
        let mut client = Secure::connect(proxy.addr(), NAME, &config).await;
        assert_eq!(client.exchange(get("/")).await.text(), "x");
    }
    let took = start.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test]
async fn a_client_that_says_nothing_inside_is_given_up() {
    let (authority, identity) = front();
    let keys = "timeouts = { header = \"300ms\", idle = \"300ms\" }";
    let listener = format!("{keys}\n{}", tls(&[&identity], ""));
    let proxy = Proxy::start_with(&listener, &says("path = \"/\"", "x")).await;
    let config = Arc::new(trusting(&authority));
    let mut silent = Secure::connect(proxy.addr(), NAME, &config).await;
    silent.ends().await;
    let mut idle = Secure::connect(proxy.addr(), NAME, &config).await;
    assert_eq!(idle.exchange(get("/")).await.text(), "x");
    idle.ends().await;
}

#[tokio::test]
async fn a_head_inside_has_its_deadline() {
    let (authority, identity) = front();
    let keys = "timeouts = { header = \"300ms\" }";
    let listener = format!("{keys}\n{}", tls(&[&identity], ""));
    let proxy = Proxy::start_with(&listener, &says("path = \"/\"", "x")).await;
    let config = Arc::new(trusting(&authority));
    let mut client = Secure::connect(proxy.addr(), NAME, &config).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n").await;
    assert_eq!(client.response().await.status, 408);
    client.ends().await;
}

#[tokio::test]
async fn an_end_is_announced() {
    let (proxy, config) = speaks("").await;
    let config = Arc::new(config);
    let mut client = Secure::connect(proxy.addr(), NAME, &config).await;
    let last = request("GET", "/", &[("Connection", "close")], b"");
    assert_eq!(client.exchange(last).await.text(), "x");
    // Without a close_notify this fails.
    client.ends().await;
}

#[tokio::test]
async fn a_client_that_will_say_no_more_is_answered() {
    let (proxy, config) = speaks("").await;
    let config = Arc::new(config);
    let mut client = Secure::connect(proxy.addr(), NAME, &config).await;
    client.send(get("/")).await;
    client.finish().await;
    assert_eq!(client.response().await.text(), "x");
    client.ends().await;
}

#[tokio::test]
async fn a_client_that_leaves_without_asking_is_let_go() {
    let (proxy, config) = speaks("").await;
    let config = Arc::new(config);
    let mut client = Secure::connect(proxy.addr(), NAME, &config).await;
    client.finish().await;
    client.ends().await;
}

#[tokio::test]
async fn a_body_that_the_client_breaks_off_is_none() {
    let backend = Backend::start(ok("x")).await;
    let (proxy, config) = before(&backend).await;
    let half = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf";
    for is_announced in [true, false] {
        let before = backend.heads().len();
        let mut client = Secure::connect(proxy.addr(), NAME, &config).await;
        client.send(half).await;
        wait::until("the head is with the server", || {
            backend.heads().len() > before
        })
        .await;
        if is_announced {
            client.finish().await;
        }
        drop(client);
        wait::until("the server was let go", || backend.open() == 0).await;
    }
    assert_eq!(backend.requests(), 0);
}

#[tokio::test]
async fn bytes_that_are_no_records_end_a_connection() {
    let (proxy, config) = speaks("").await;
    let config = Arc::new(config);
    let stream = handshake(proxy.addr(), NAME, &config).await;
    let (mut tcp, _) = stream.expect("a handshake that succeeds").into_inner();
    let sent = tcp.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    sent.expect("the proxy takes what the client says");
    closes(tcp).await;
}

/// lbd ends the connection, whatever it says before.
async fn closes(mut tcp: TcpStream) {
    let mut sink = tokio::io::sink();
    let rest = tokio::io::copy(&mut tcp, &mut sink);
    // A reset is an end, too.
    let _ = wait::within("the end of the connection", rest).await;
}

// === shutdown ===

/// Shuts down without a deadline, and soon is over all the same.
async fn ends_soon(proxy: &Proxy) {
    let start = Instant::now();
    proxy.shutdown(None).await;
    let took = start.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test]
async fn a_client_that_is_silent_in_its_handshake_holds_up_no_shutdown() {
    for said in [&HELLO[..0], &HELLO[..1], HELLO] {
        let (proxy, config) = speaks("").await;
        let mut silent = Raw::connect(proxy.addr()).await;
        silent.send(said).await;
        silent.accepted().await;
        // Answered after it was read.
        let mut client = Secure::connect(proxy.addr(), NAME, &Arc::new(config)).await;
        assert_eq!(client.exchange(get("/")).await.text(), "x");
        ends_soon(&proxy).await;
        silent.rest().await;
    }
}

#[tokio::test]
async fn a_client_that_has_agreed_on_http_2_and_is_silent_holds_up_no_shutdown() {
    let (proxy, config) = speaks("").await;
    let config = offering(&config, &["h2"]);
    let mut silent = Secure::connect(proxy.addr(), NAME, &config).await;
    ends_soon(&proxy).await;
    // How it ends is lbd's choice; that it does is what counts.
    let _ = silent.try_rest().await;
}
