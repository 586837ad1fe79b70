//! TLS towards the servers of a stream, which their clients know nothing of.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::backend::Backend;
use crate::support::behaviour::ok;
use crate::support::certs::Authority;
use crate::support::plain::{Door, Plain, greets};
use crate::support::secure::{handshake, trusting};
use crate::support::streams::{ask, ends_tls, start, stream};
use crate::support::tls_peer::{TlsPeer, asks, shows};
use crate::support::wait;

use super::{NAME, certified};

/// The keys of a pool that trusts `authority` with the name [`NAME`].
fn speaks_tls(authority: &Authority, keys: &str) -> String {
    let ca = authority.path();
    format!("tls = {{ ca = \"{ca}\", server_name = \"{NAME}\"{keys} }}")
}

#[tokio::test]
async fn servers_are_spoken_to_in_tls() {
    let (authority, identity) = certified();
    let peer = TlsPeer::start(shows(&identity), "hello").await;
    let text = stream("", &[peer.server()], &speaks_tls(&authority, ""));
    let (_proxy, addr) = start(&text).await;
    let client = Plain::connect(addr).await;
    assert_eq!(ask(client.into_inner()).await, "hello");
    assert_eq!(peer.calls()[0].name.as_deref(), Some(NAME));
}

#[tokio::test]
async fn tls_can_be_spoken_on_both_sides() {
    let (authority, identity) = certified();
    let (within, inner) = certified();
    let peer = TlsPeer::start(shows(&inner), "hello").await;
    let pool = speaks_tls(&within, "");
    let text = stream(&ends_tls(&identity, ""), &[peer.server()], &pool);
    let (_proxy, addr) = start(&text).await;
    let client = handshake(addr, NAME, &Arc::new(trusting(&authority))).await;
    let client = client.expect("a handshake that succeeds");
    assert_eq!(ask(client).await, "hello");
}

#[tokio::test]
async fn a_server_that_asks_is_shown_lbds_certificate() {
    let (authority, identity) = certified();
    let clients = Authority::new();
    let lbd = clients.client("lbd");
    let peer = TlsPeer::start(asks(&identity, &clients), "hello").await;
    let keys = speaks_tls(&authority, &format!(", {}", lbd.keys()));
    let (_proxy, addr) = start(&stream("", &[peer.server()], &keys)).await;
    let client = Plain::connect(addr).await;
    assert_eq!(ask(client.into_inner()).await, "hello");
    let shown = peer.calls()[0].certificate.clone();
    assert_eq!(shown.as_ref(), Some(lbd.certificate()));
}

#[tokio::test]
async fn a_server_with_another_certificate_is_no_server_and_the_next_makes_good() {
    let (authority, identity) = certified();
    let (_, stranger) = certified();
    let wrong = TlsPeer::start(shows(&stranger), "not this one").await;
    let right = TlsPeer::start(shows(&identity), "hello").await;
    let keys = format!(
        "max_fails = 1\nfail_timeout = \"60s\"\n{}",
        speaks_tls(&authority, "")
    );
    let servers = [wrong.server(), right.server()];
    let (_proxy, addr) = start(&stream("", &servers, &keys)).await;
    for _ in 0..4 {
        let client = Plain::connect(addr).await;
        assert_eq!(ask(client.into_inner()).await, "hello");
    }
    assert_eq!((wrong.connections(), wrong.calls().len()), (1, 0));
}

#[tokio::test]
async fn a_server_without_tls_is_no_server() {
    let (authority, identity) = certified();
    let (silent, chatty) = (
        Backend::start(ok("in the clear")).await,
        Backend::start(greets("220 in the clear\r\n")).await,
    );
    let right = TlsPeer::start(shows(&identity), "hello").await;
    let keys = format!(
        "timeouts = {{ connect = \"500ms\" }}\n{}",
        speaks_tls(&authority, "")
    );
    let servers = [silent.server(), chatty.server(), right.server()];
    let (_proxy, addr) = start(&stream("", &servers, &keys)).await;
    let client = Plain::connect(addr).await;
    assert_eq!(ask(client.into_inner()).await, "hello");
}

#[tokio::test]
async fn an_end_in_clear_text_is_announced_in_tls() {
    let (authority, identity) = certified();
    let door = Door::open().await;
    let keys = speaks_tls(&authority, "");
    let (_proxy, addr) = start(&stream("", &[door.server()], &keys)).await;
    let mut client = Plain::connect(addr).await;
    let mut server = door.accept().await.secured_by(shows(&identity)).await;
    client.send("a question").await;
    client.finish().await;
    let mut rest = Vec::new();
    let read = wait::within("the end", server.read_to_end(&mut rest)).await;
    read.expect("an end that is announced");
    assert_eq!(rest, b"a question");
    let answering = async {
        server.write_all(b"an answer").await?;
        server.shutdown().await
    };
    let answered = wait::within("the answer", answering).await;
    answered.expect("the proxy takes an answer");
    assert_eq!(client.rest().await, b"an answer");
}

#[tokio::test]
async fn a_server_is_not_told_which_protocol_is_inside() {
    let (authority, identity) = certified();
    // One that knows a protocol by name refuses whoever offers only others.
    let mut config = shows(&identity);
    config.alpn_protocols = vec![b"mqtt".to_vec()];
    let peer = TlsPeer::start(config, "hello").await;
    let text = stream("", &[peer.server()], &speaks_tls(&authority, ""));
    let (_proxy, addr) = start(&text).await;
    let client = Plain::connect(addr).await;
    assert_eq!(ask(client.into_inner()).await, "hello");
}
