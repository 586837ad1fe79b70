//! ClientHellos in pieces of every size, and what comes instead of one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::support::backend::Backend;
use crate::support::behaviour::ok;
use crate::support::client::get;
use crate::support::frame::PREFACE;
use crate::support::plain::{Door, Plain, greets};
use crate::support::raw::Raw;
use crate::support::secure::offering;
use crate::support::streams::{ask, pool, start};
use crate::support::wait;

use super::{Three, by_name};

/// The first bytes of a handshake: a record of 512 bytes with a ClientHello of 508.
const HELLO: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

/// Sends one byte at a time.
struct Trickle(TcpStream);

impl AsyncRead for Trickle {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Trickle {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let first = bytes.len().min(1);
        Pin::new(&mut self.0).poll_write(cx, &bytes[..first])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// All names are for pool a.
const ONE: &str = "\"mqtt.x.example\" = \"a\"";

#[tokio::test]
async fn a_client_hello_in_single_bytes_is_understood() {
    let three = Three::behind(ONE).await;
    let trickle = Trickle(Plain::connect(three.addr).await.into_inner());
    let name = ServerName::try_from("mqtt.x.example").expect("a server's name");
    let connecting = TlsConnector::from(Arc::new(three.config())).connect(name, trickle);
    let client = wait::within("the handshake", connecting).await;
    assert_eq!(ask(client.expect("a handshake that succeeds")).await, "a");
}

#[tokio::test]
async fn a_client_hello_in_many_records_is_understood() {
    let three = Three::behind(ONE).await;
    let mut config = three.config();
    config.max_fragment_size = Some(64);
    three.reaches("mqtt.x.example", &Arc::new(config), 0).await;
}

#[tokio::test]
async fn a_client_hello_of_more_than_one_full_record_is_understood() {
    let three = Three::behind(ONE).await;
    let names: Vec<_> = (0..100).map(|i| format!("{i:0200}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let config = offering(&three.config(), &names);
    three.reaches("mqtt.x.example", &config, 0).await;
}

#[tokio::test]
async fn a_client_hello_without_an_end_is_closed() {
    let three = Three::behind(ONE).await;
    // A ClientHello of sixteen megabytes, in full records of nothing.
    let mut record = vec![0; 5 + 16_384];
    record[..5].copy_from_slice(&[0x16, 3, 1, 0x40, 0]);
    let mut first = record.clone();
    first[5..9].copy_from_slice(&[1, 0xff, 0xff, 0xff]);
    let mut client = Raw::connect(three.addr).await;
    client.send(first).await;
    let flood = client.keep_sending(record);
    client.ends().await;
    flood.abort();
    assert!(three.peers.iter().all(|peer| peer.connections() == 0));
}

/// What a client of version 3.`minor` begins with (2: TLS 1.1) that asks for `name`: it knows no signature algorithms.
fn old_hello(minor: u8, name: &str) -> Vec<u8> {
    let long = |content: &[u8]| {
        let length = u16::try_from(content.len()).expect("it is short");
        [&length.to_be_bytes()[..], content].concat()
    };
    let host_name = [&[0u8][..], &long(name.as_bytes())].concat();
    let server_name = [&[0u8, 0][..], &long(&long(&host_name))].concat();
    let body = [
        // A version, and what is random.
        &[3, minor][..],
        &[7; 32],
        // No session, one cipher suite, no compression.
        &[0, 0, 2, 0, 47, 1, 0],
        &long(&server_name),
    ]
    .concat();
    let message = [&[1u8, 0][..], &long(&body)].concat();
    [&[0x16u8, 3, 1][..], &long(&message)].concat()
}

/// It arrives as it is at the server for mqtt.x.example.
async fn arrives(hello: &[u8]) {
    let door = Door::open().await;
    let pools = pool("a", &[door.server()], "");
    let (_proxy, addr) = start(&by_name(ONE, &pools)).await;
    let mut client = Plain::connect(addr).await;
    client.send(hello).await;
    let came = door.accept().await.exactly(hello.len()).await;
    assert!(came == hello, "{came:?}");
}

#[tokio::test]
async fn clients_of_old_versions_go_where_their_name_says() {
    for minor in [1, 2, 3] {
        arrives(&old_hello(minor, "mqtt.x.example")).await;
    }
}

#[tokio::test]
async fn a_dot_at_the_end_of_a_name_makes_no_difference() {
    for name in ["mqtt.x.example.", "Mqtt.X.Example."] {
        arrives(&old_hello(3, name)).await;
    }
}

// === what is not TLS, or is nothing ===

/// Beginnings of connections that are no TLS, or a message of TLS that no client begins with.
const OTHERS: [&[u8]; 4] = [
    b"GET / HTTP/1.1\r\nHost: app.example\r\n\r\n",
    PREFACE,
    b"SSH-2.0-OpenSSH_9.2\r\n",
    &[0x16, 3, 3, 0, 8, 2, 0, 0, 4, 3, 3, 0, 0],
];

#[tokio::test]
async fn what_is_not_tls_goes_to_the_pool_for_all_others() {
    let backend = Backend::start(ok("plain")).await;
    let tls = Backend::start(greets("t")).await;
    let pools = pool("a", &[tls.server()], "") + &pool("c", &[backend.server()], "");
    let names = "\"mqtt.x.example\" = \"a\", \"*\" = \"c\"";
    let (_proxy, addr) = start(&by_name(names, &pools)).await;
    let answer = Raw::connect(addr).await.exchange(get("/")).await;
    assert_eq!(answer.text(), "plain");
    // Not a byte is lost.
    assert_eq!(backend.last().bytes(), get("/"));
    assert_eq!(tls.connections(), 0);
}

#[tokio::test]
async fn what_is_not_tls_is_closed_if_there_is_no_such_pool() {
    let three = Three::behind(ONE).await;
    for said in OTHERS {
        let mut client = Raw::connect(three.addr).await;
        client.send(said).await;
        client.ends().await;
    }
    assert!(three.peers.iter().all(|peer| peer.connections() == 0));
}

#[tokio::test]
async fn a_client_that_does_not_say_its_name_in_time_is_closed() {
    let names = "\"mqtt.x.example\" = \"a\", \"*\" = \"c\"";
    let three = Three::behind(names).await;
    for said in [&HELLO[..0], &HELLO[..1], HELLO] {
        let begin = Instant::now();
        let mut client = Raw::connect(three.addr).await;
        client.send(said).await;
        client.ends().await;
        // The kernel may hand over a connection that says nothing after a second.
        let took = begin.elapsed();
        let expected = Duration::from_millis(900)..Duration::from_secs(5);
        assert!(expected.contains(&took), "{took:?}");
    }
}

#[tokio::test]
async fn a_dripping_client_hello_does_not_move_its_deadline() {
    let three = Three::behind(ONE).await;
    let begin = Instant::now();
    let mut client = Raw::connect(three.addr).await;
    client.send(HELLO).await;
    let drip = client.drip(vec![0; 500], Duration::from_millis(50));
    client.ends().await;
    let took = begin.elapsed();
    let expected = Duration::from_millis(900)..Duration::from_secs(4);
    assert!(expected.contains(&took), "{took:?}");
    drip.abort();
}
