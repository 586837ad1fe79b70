//! Accidents: whoever has not had everything must not take what it has for the whole, and nobody waits for one that is
//! gone.

use std::time::Duration;

use h2::Reason;
use tokio::time::Instant;

use crate::support::http2::Http2;
use crate::support::line::{Line, fill, switching_to};
use crate::support::plain::Door;
use crate::support::proxy::{Proxy, app};

use super::Tunnel;
use super::extended::{H2C, before, is_ready, site, stream};

// === resets ===

#[tokio::test]
async fn a_reset_by_a_server_that_does_not_read_is_no_end() {
    let mut tunnel = Tunnel::open().await;
    fill(&mut tunnel.client.writer, 3).await;
    tunnel.server.send("partial").await;
    tunnel.server.reset();
    tunnel.client.is_reset().await;
}

#[tokio::test]
async fn a_reset_by_a_server_that_does_not_read_is_no_end_of_a_stream() {
    let door = Door::open().await;
    let (_proxy, mut client) = before(&[door.server()]).await;
    let (mut stream, mut server) = stream(&mut client, &door).await;
    fill(&mut stream.writer, 3).await;
    server.send("partial").await;
    server.reset();
    stream.is_reset().await;
    is_ready(&mut client).await;
}

// === too quiet ===

const SHORT: &str = "timeouts = { tunnel = \"1s\" }";

#[tokio::test]
async fn a_tunnel_that_idles_before_the_client_has_everything_breaks() {
    let mut tunnel = Tunnel::with(SHORT).await;
    fill(&mut tunnel.server.writer, 3).await;
    // The client reads when it is over.
    tunnel.server.is_cut().await;
    tunnel.client.is_reset().await;
}

#[tokio::test]
async fn a_tunnel_that_idles_before_the_server_has_everything_breaks() {
    let mut tunnel = Tunnel::with(SHORT).await;
    fill(&mut tunnel.client.writer, 3).await;
    tunnel.client.is_cut().await;
    tunnel.server.is_reset().await;
}

#[tokio::test]
async fn a_stream_that_idles_before_the_client_has_everything_breaks() {
    let door = Door::open().await;
    let rest = format!("{}{SHORT}\n", site(&[door.server()]));
    let proxy = Proxy::start_with(H2C, &rest).await;
    let mut client = Http2::connect(proxy.addr()).await;
    is_ready(&mut client).await;
    let (mut stream, mut server) = stream(&mut client, &door).await;
    fill(&mut server.writer, 3).await;
    server.is_cut().await;
    stream.is_reset().await;
    is_ready(&mut client).await;
}

// === gone after an end ===

#[tokio::test]
async fn a_client_that_goes_after_its_end_is_missed_though_the_server_says_nothing() {
    let mut tunnel = Tunnel::open().await;
    tunnel.client.finish().await;
    tunnel.server.ends().await;
    tunnel.client.reset();
    // It is looked for every two seconds.
    tunnel.server.breaks().await;
}

#[tokio::test]
async fn a_server_that_goes_after_its_end_is_missed_though_the_client_says_nothing() {
    let mut tunnel = Tunnel::open().await;
    tunnel.server.finish().await;
    tunnel.client.ends().await;
    tunnel.server.reset();
    // What the client has been sent is not taken back; it hears when it says something.
    tunnel.client.is_cut().await;
}

#[tokio::test]
async fn a_stream_that_is_reset_after_its_end_is_missed_at_once() {
    let door = Door::open().await;
    let (_proxy, mut client) = before(&[door.server()]).await;
    let (mut stream, mut server) = stream(&mut client, &door).await;
    stream.exchange(&mut server, 10).await;
    stream.finish().await;
    server.ends().await;
    let start = Instant::now();
    stream.writer.reset(Reason::CANCEL);
    server.breaks().await;
    let took = start.elapsed();
    assert!(took < Duration::from_millis(1500), "{took:?}");
    is_ready(&mut client).await;
}

#[tokio::test]
async fn a_server_that_switches_before_it_has_the_request_is_no_server() {
    let door = Door::open().await;
    let proxy = Proxy::start(&app(&[door.server()], "")).await;
    let mut client = Line::connect(proxy.addr()).await;
    let head = "POST /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n";
    let cut = format!("{head}Content-Length: 100000\r\n\r\nthe beginning of a body");
    client.send(cut).await;
    let mut server = Line::accept(&door).await;
    server.head().await;
    server.send(switching_to("tcp", "")).await;
    let answer = client.head().await;
    assert_eq!(answer.start, "HTTP/1.1 502 Bad Gateway");
}
