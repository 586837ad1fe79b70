//! Connections that are passed on without a look inside: every byte, both ends, a reset.

mod balancing;
mod breaking;
mod ending;
mod failing;
mod logs;
mod reloading;
mod sni;
mod tls;
mod upstream_tls;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval};

use crate::support::certs::{Authority, Identity};
use crate::support::plain::{Door, Plain};
use crate::support::proxy::Proxy;
use crate::support::streams::{long, start, stream};
use crate::support::wait;

/// The name of [`certified`]'s certificates.
const NAME: &str = "app.example";

/// An authority, and a certificate of it for [`NAME`].
fn certified() -> (Authority, Identity) {
    let authority = Authority::new();
    let identity = authority.server(&[NAME]);
    (authority, identity)
}

/// A connection through lbd, with both of its ends.
struct Through {
    door: Door,
    proxy: Proxy,
    addr: SocketAddr,
    client: Plain,
    server: Plain,
}

impl Through {
    /// Through a stream with these keys.
    async fn with(keys: &str) -> Self {
        let door = Door::open().await;
        let (proxy, addr) = start(&stream(keys, &[door.server()], "")).await;
        let client = Plain::connect(addr).await;
        let server = door.accept().await;
        Self {
            door,
            proxy,
            addr,
            client,
            server,
        }
    }

    /// Bytes pass both ways.
    async fn is_open(&mut self) {
        self.client.send("ping").await;
        self.server.hears("ping").await;
        self.server.send("pong").await;
        self.client.hears("pong").await;
    }
}

/// The port refuses, or will in a moment.
async fn refuses(addr: SocketAddr) {
    wait::until_async("the port refuses", async || {
        TcpStream::connect(addr).await.is_err()
    })
    .await;
}

#[tokio::test]
async fn bytes_pass_both_ways() {
    let mut through = Through::with("").await;
    for _ in 0..3 {
        through.is_open().await;
    }
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard() {
    let door = Door::open().await;
    let (_proxy, addr) = start(&stream("", &[door.server()], "")).await;
    let start = Instant::now();
    let mut client = Plain::connect(addr).await;
    let mut server = door.accept().await;
    server.send("220 hello\r\n").await;
    client.hears("220 hello\r\n").await;
    // Where the client speaks first, the kernel may keep a silent one back for a second.
    let took = start.elapsed();
    assert!(took < Duration::from_millis(900), "{took:?}");
}

#[tokio::test]
async fn long_transfers_pass_both_ways_at_once() {
    let Through {
        proxy: _proxy,
        client,
        server,
        ..
    } = Through::with("").await;
    let (up, down) = (long(4_000_001), long(5_000_003));
    let (heard, asked) = tokio::join!(client.trade(&up), server.trade(&down));
    assert!(asked == up, "{} bytes came to the server", asked.len());
    assert!(heard == down, "{} bytes came to the client", heard.len());
}

#[tokio::test]
async fn a_client_that_does_not_read_can_go_on_sending() {
    let Through {
        proxy: _proxy,
        mut client,
        server,
        ..
    } = Through::with("").await;
    let (mut reader, mut writer) = server.into_inner().into_split();
    let flood =
        tokio::spawn(async move { while writer.write_all(&[b'x'; 65_536]).await.is_ok() {} });
    let sent = long(300_000);
    for piece in sent.chunks(1000) {
        client.send(piece).await;
        let mut came = vec![0; piece.len()];
        let read = wait::within("a piece", reader.read_exact(&mut came)).await;
        read.expect("the connection goes on");
        assert!(came == piece);
    }
    flood.abort();
}

#[tokio::test]
async fn many_connections_at_once_have_a_server_connection_each() {
    let door = Door::open().await;
    let (_proxy, addr) = start(&stream("", &[door.server()], "")).await;
    let mut clients = Vec::new();
    for i in 0..50u8 {
        let mut client = Plain::connect(addr).await;
        client.send([i]).await;
        clients.push(client);
    }
    let mut heard = Vec::new();
    for _ in 0..50 {
        let mut server = door.accept().await;
        let said = server.exactly(1).await;
        server.send(&said).await;
        server.finish().await;
        heard.extend(said);
    }
    heard.sort_unstable();
    assert!(heard.into_iter().eq(0..50), "each of them once");
    for (i, client) in (0..50u8).zip(&mut clients) {
        client.finish().await;
        assert_eq!(client.rest().await, [i]);
    }
}

#[tokio::test]
async fn a_stream_accepts_on_each_of_its_addresses() {
    let door = Door::open().await;
    let text = stream("", &[door.server()], "");
    let text = text.replace("\"127.0.0.2:0\"", "[\"127.0.0.2:0\", \"127.0.0.3:0\"]");
    let (proxy, _) = start(&text).await;
    for addr in &proxy.addrs()[1..] {
        let mut client = Plain::connect(*addr).await;
        client.send("x").await;
        door.accept().await.hears("x").await;
    }
    assert_eq!(proxy.addrs().len(), 3);
}

// === ends ===

#[tokio::test]
async fn a_client_that_will_say_no_more_can_still_listen() {
    let mut through = Through::with("").await;
    through.client.send("a question").await;
    through.client.finish().await;
    assert_eq!(through.server.rest().await, b"a question");
    for part in ["a late ", "answer"] {
        through.server.send(part).await;
        through.client.hears(part).await;
    }
    through.server.finish().await;
    through.client.ends().await;
}

#[tokio::test]
async fn a_server_that_will_say_no_more_can_still_listen() {
    let mut through = Through::with("").await;
    through.server.send("a greeting").await;
    through.server.finish().await;
    assert_eq!(through.client.rest().await, b"a greeting");
    for part in ["a late ", "question"] {
        through.client.send(part).await;
        through.server.hears(part).await;
    }
    through.client.finish().await;
    through.server.ends().await;
}

#[tokio::test]
async fn a_reset_by_the_client_reaches_the_server_as_one() {
    let mut through = Through::with("").await;
    through.is_open().await;
    through.client.reset();
    through.server.is_reset().await;
}

#[tokio::test]
async fn a_reset_by_the_server_reaches_the_client_as_one() {
    let mut through = Through::with("").await;
    through.is_open().await;
    through.server.reset();
    through.client.is_reset().await;
}

// === too quiet ===

#[tokio::test]
async fn a_connection_that_idles_is_closed_at_both_ends() {
    let mut through = Through::with("timeouts = { idle = \"300ms\" }").await;
    through.is_open().await;
    let start = Instant::now();
    through.client.is_closed().await;
    through.server.is_closed().await;
    let took = start.elapsed();
    assert!(took > Duration::from_millis(250), "{took:?}");
}

#[tokio::test]
async fn a_connection_that_is_closed_on_one_side_may_not_idle_either() {
    let mut through = Through::with("timeouts = { idle = \"300ms\" }").await;
    through.client.finish().await;
    through.server.ends().await;
    through.client.is_closed().await;
}

#[tokio::test]
async fn a_byte_in_either_direction_is_enough_to_stay() {
    let pace = Duration::from_millis(100);
    let mut through = Through::with("timeouts = { idle = \"600ms\" }").await;
    let mut ticks = interval(pace);
    for _ in 0..12 {
        ticks.tick().await;
        through.client.send("u").await;
        through.server.hears("u").await;
    }
    for _ in 0..12 {
        ticks.tick().await;
        through.server.send("d").await;
        through.client.hears("d").await;
    }
    through.is_open().await;
}

#[tokio::test]
async fn one_that_idles_ends_alone() {
    let mut through = Through::with("timeouts = { idle = \"400ms\" }").await;
    let mut idle = Plain::connect(through.addr).await;
    let mut its_server = through.door.accept().await;
    let idling = tokio::spawn(async move {
        idle.is_closed().await;
        its_server.is_closed().await;
    });
    let mut ticks = interval(Duration::from_millis(50));
    while !idling.is_finished() {
        ticks.tick().await;
        through.is_open().await;
    }
    idling.await.expect("it was closed without a byte");
    through.is_open().await;
}
