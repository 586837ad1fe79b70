//! TLS on either side of a tunnel, or on both: its ends are passed on as TLS says them.

use std::sync::Arc;

use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

use crate::support::certs::{Authority, Identity};
use crate::support::h2_line::{line, websocket};
use crate::support::http2::{Http2, head};
use crate::support::line::{Line, switching, upgrade};
use crate::support::plain::{Door, Plain};
use crate::support::proxy::{Proxy, app};
use crate::support::secure::{handshake, trusting};
use crate::support::tls_peer::shows;
use crate::support::wait;

/// The name of lbd's certificate.
const NAME: &str = "app.example";

type SecureClient =
    Line<ReadHalf<client::TlsStream<TcpStream>>, WriteHalf<client::TlsStream<TcpStream>>>;
type SecureServer =
    Line<ReadHalf<server::TlsStream<TcpStream>>, WriteHalf<server::TlsStream<TcpStream>>>;

/// The keys of a listener with TLS, and a client that trusts it.
fn front() -> (String, Arc<ClientConfig>, Identity) {
    let authority = Authority::new();
    let identity = authority.server(&[NAME]);
    let listener = format!("tls = {{ certificates = [{{ {} }}] }}", identity.keys());
    (listener, Arc::new(trusting(&authority)), identity)
}

/// A client that has asked for a tunnel over TLS.
async fn asking(proxy: &Proxy, config: &Arc<ClientConfig>) -> SecureClient {
    let stream = handshake(proxy.addr(), NAME, config).await;
    let mut client = Line::over(stream.expect("a handshake that succeeds"));
    client.send(upgrade("/chat", &[])).await;
    client
}

/// The server grants what it is asked for, and the client is told so.
async fn switch<R, W, S, V>(client: &mut Line<R, W>, server: &mut Line<S, V>)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    S: AsyncRead + Unpin,
    V: AsyncWrite + Unpin,
{
    let asked = server.head().await;
    server.send(switching(&asked, "")).await;
    let head = client.head().await;
    assert!(head.start.starts_with("HTTP/1.1 101 "), "{head:?}");
}

/// A tunnel from a client with TLS to a server without.
async fn from_tls() -> (Proxy, SecureClient, Line) {
    let door = Door::open().await;
    let (listener, config, _identity) = front();
    let proxy = Proxy::start_with(&listener, &app(&[door.server()], "")).await;
    let mut client = asking(&proxy, &config).await;
    let mut server = Line::accept(&door).await;
    switch(&mut client, &mut server).await;
    (proxy, client, server)
}

/// The keys of a pool whose server shows the certificate beside them.
fn back() -> (String, Identity, Authority) {
    let authority = Authority::new();
    let identity = authority.server(&["127.0.0.1"]);
    let keys = format!("tls = {{ ca = \"{}\" }}", authority.path());
    (keys, identity, authority)
}

async fn secured(plain: Plain, identity: &Identity) -> SecureServer {
    Line::over(plain.secured_by(shows(identity)).await)
}

/// A tunnel from a client without TLS to a server with it.
async fn to_tls() -> (Proxy, Line, SecureServer) {
    let door = Door::open().await;
    let (keys, identity, _authority) = back();
    let proxy = Proxy::start(&app(&[door.server()], &keys)).await;
    let mut client = Line::connect(proxy.addr()).await;
    client.send(upgrade("/chat", &[])).await;
    let mut server = secured(door.accept().await, &identity).await;
    switch(&mut client, &mut server).await;
    (proxy, client, server)
}

#[tokio::test]
async fn a_client_with_tls_gets_a_tunnel() {
    let (_proxy, mut client, mut server) = from_tls().await;
    client.exchange(&mut server, 10).await;
    client.exchange(&mut server, 4 << 20).await;
}

#[tokio::test]
async fn a_server_with_tls_gets_a_tunnel() {
    let (_proxy, mut client, mut server) = to_tls().await;
    client.exchange(&mut server, 10).await;
    client.exchange(&mut server, 4 << 20).await;
}

#[tokio::test]
async fn a_tunnel_may_have_tls_on_both_sides() {
    let door = Door::open().await;
    let (listener, config, _front) = front();
    let (keys, identity, _authority) = back();
    let proxy = Proxy::start_with(&listener, &app(&[door.server()], &keys)).await;
    let mut client = asking(&proxy, &config).await;
    let mut server = secured(door.accept().await, &identity).await;
    switch(&mut client, &mut server).await;
    client.exchange(&mut server, 4 << 20).await;
}

#[tokio::test]
async fn the_server_learns_that_the_client_came_by_tls() {
    let door = Door::open().await;
    let (listener, config, _identity) = front();
    let proxy = Proxy::start_with(&listener, &app(&[door.server()], "")).await;
    let _client = asking(&proxy, &config).await;
    let asked = Line::accept(&door).await.head().await;
    assert_eq!(asked.fields.get("x-forwarded-proto"), Some("https"));
}

#[tokio::test]
async fn what_comes_with_the_heads_arrives_through_tls() {
    let door = Door::open().await;
    let (listener, config, _identity) = front();
    let proxy = Proxy::start_with(&listener, &app(&[door.server()], "")).await;
    let mut client = asking(&proxy, &config).await;
    client.send("early").await;
    let mut server = Line::accept(&door).await;
    let asked = server.head().await;
    server.send(switching(&asked, "") + "first").await;
    client.head().await;
    client.hears("first").await;
    server.hears("early").await;
}

// === ends ===

/// One ends, and the other, which sees that, goes on for a while.
async fn ends_by_halves<R, W, S, V>(one: &mut Line<R, W>, other: &mut Line<S, V>)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    S: AsyncRead + Unpin,
    V: AsyncWrite + Unpin,
{
    one.pass(other, b"last words").await;
    one.finish().await;
    other.ends().await;
    other.pass(one, &[b'x'; 300_000]).await;
    other.finish().await;
    one.ends().await;
}

#[tokio::test]
async fn a_client_with_tls_that_has_ended_can_still_listen() {
    let (_proxy, mut client, mut server) = from_tls().await;
    ends_by_halves(&mut client, &mut server).await;
}

#[tokio::test]
async fn a_server_that_has_ended_can_still_listen_to_a_client_with_tls() {
    let (_proxy, mut client, mut server) = from_tls().await;
    ends_by_halves(&mut server, &mut client).await;
}

#[tokio::test]
async fn a_client_that_has_ended_can_still_listen_to_a_server_with_tls() {
    let (_proxy, mut client, mut server) = to_tls().await;
    ends_by_halves(&mut client, &mut server).await;
}

#[tokio::test]
async fn a_server_with_tls_that_has_ended_can_still_listen() {
    let (_proxy, mut client, mut server) = to_tls().await;
    ends_by_halves(&mut server, &mut client).await;
}

#[tokio::test]
async fn a_reset_by_the_server_ends_a_client_with_tls() {
    let (_proxy, mut client, mut server) = from_tls().await;
    client.exchange(&mut server, 10).await;
    server.reset();
    client.is_cut().await;
}

#[tokio::test]
async fn a_reset_by_the_client_ends_a_server_with_tls() {
    let (_proxy, mut client, mut server) = to_tls().await;
    client.exchange(&mut server, 10).await;
    client.reset();
    server.is_cut().await;
}

#[tokio::test]
async fn the_last_words_of_a_server_that_ends_without_a_close_notify_reach_a_stream() {
    let door = Door::open().await;
    let (keys, identity, _authority) = back();
    let proxy = Proxy::start_with("h2c = true", &app(&[door.server()], &keys)).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let (response, upload) = client.start(websocket("/chat", &[]), false).await;
    let plain = wait::within("a connection", door.accept()).await;
    let mut server = plain.secured_by(shows(&identity)).await;
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        asked.push(server.read_u8().await.expect("a head"));
    }
    let says = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nlast words";
    server.write_all(says.as_bytes()).await.expect("room");
    server.flush().await.expect("room");
    let (mut tcp, _) = server.into_inner();
    tcp.shutdown().await.expect("a connection that stands");
    let response = head(response).await.expect("an answer");
    let mut stream = line(response, upload);
    stream.hears("last words").await;
    stream.ends().await;
}
