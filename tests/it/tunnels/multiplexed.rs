//! Streams of HTTP/2 that are tunnels: their ends, their windows, and the streams beside them.

use std::time::Duration;

use h2::Reason;
use h2::client::Builder;
use tokio::time::Instant;

use crate::support::h2_line::{H2Line, line, websocket};
use crate::support::http2::{Http2, head};
use crate::support::line::{Line, fill, long_body};
use crate::support::plain::Door;
use crate::support::proxy::{Proxy, file};
use crate::support::wait;

use super::extended::{H2C, before, is_ready, site, stream};
use super::{accepted, refuses};

// === ends ===

#[tokio::test]
async fn a_client_that_has_ended_can_still_listen() {
    let door = Door::open().await;
    let (_proxy, mut client) = before(&[door.server()]).await;
    let (mut stream, mut server) = stream(&mut client, &door).await;
    stream.pass(&mut server, b"last words").await;
    stream.finish().await;
    server.ends().await;
    server.pass(&mut stream, &long_body(3, 1 << 20)).await;
    server.finish().await;
    stream.ends().await;
    is_ready(&mut client).await;
}

#[tokio::test]
async fn a_server_that_has_ended_can_still_listen() {
    let door = Door::open().await;
    let (_proxy, mut client) = before(&[door.server()]).await;
    let (mut stream, mut server) = stream(&mut client, &door).await;
    server.pass(&mut stream, b"last words").await;
    server.finish().await;
    stream.ends().await;
    stream.pass(&mut server, &long_body(3, 1 << 20)).await;
    stream.finish().await;
    server.ends().await;
    is_ready(&mut client).await;
}

#[tokio::test]
async fn a_client_that_ends_with_its_request_can_still_listen() {
    let door = Door::open().await;
    let (_proxy, mut client) = before(&[door.server()]).await;
    let (response, upload) = client.start(websocket("/chat", &[]), true).await;
    let mut server = accepted(&door).await;
    let mut stream = line(head(response).await.expect("an answer"), upload);
    server.ends().await;
    server.pass(&mut stream, b"an answer").await;
    server.finish().await;
    stream.ends().await;
}

#[tokio::test]
async fn a_stream_that_the_client_resets_ends_the_server_s_connection() {
    let door = Door::open().await;
    let (_proxy, mut client) = before(&[door.server()]).await;
    let (mut stream, mut server) = stream(&mut client, &door).await;
    stream.exchange(&mut server, 10).await;
    stream.writer.reset(Reason::CANCEL);
    server.is_cut().await;
    is_ready(&mut client).await;
}

#[tokio::test]
async fn a_connection_that_the_server_resets_resets_the_stream() {
    let door = Door::open().await;
    let (_proxy, mut client) = before(&[door.server()]).await;
    let (mut stream, mut server) = stream(&mut client, &door).await;
    stream.exchange(&mut server, 10).await;
    server.reset();
    let ended = wait::within("the end of the stream", stream.reader.exactly(1)).await;
    let error = ended.expect_err("no bytes");
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<h2::Error>());
    // The code for it (RFC 8441 section 5).
    let reason = inner.and_then(h2::Error::reason);
    assert_eq!(reason, Some(Reason::CANCEL), "{error}");
    is_ready(&mut client).await;
}

#[tokio::test]
async fn a_client_that_has_gone_ends_all_its_tunnels() {
    let door = Door::open().await;
    let (_proxy, mut client) = before(&[door.server()]).await;
    let (one, mut its_server) = stream(&mut client, &door).await;
    let (other, mut the_others_server) = stream(&mut client, &door).await;
    drop((one, other, client));
    its_server.is_cut().await;
    the_others_server.is_cut().await;
}

#[tokio::test]
async fn a_tunnel_in_which_nothing_moves_ends_and_its_connection_does_not() {
    let door = Door::open().await;
    let rest = site(&[door.server()]) + "timeouts = { tunnel = \"300ms\" }\n";
    let proxy = Proxy::start_with(H2C, &rest).await;
    let mut client = Http2::connect(proxy.addr()).await;
    is_ready(&mut client).await;
    let start = Instant::now();
    let (mut stream, mut server) = stream(&mut client, &door).await;
    stream.is_cut().await;
    server.is_cut().await;
    let took = start.elapsed();
    let expected = Duration::from_millis(250)..Duration::from_secs(4);
    assert!(expected.contains(&took), "{took:?}");
    is_ready(&mut client).await;
}

// === beside each other ===

#[tokio::test]
async fn requests_are_answered_beside_a_tunnel() {
    let door = Door::open().await;
    let (_proxy, mut client) = before(&[door.server()]).await;
    let (mut stream, mut server) = stream(&mut client, &door).await;
    for _ in 0..5 {
        is_ready(&mut client).await;
        stream.exchange(&mut server, 1000).await;
    }
}

#[tokio::test]
async fn tunnels_of_one_connection_are_kept_apart() {
    let door = Door::open().await;
    let (_proxy, mut client) = before(&[door.server()]).await;
    let mut tunnels = Vec::new();
    for _ in 0..10 {
        tunnels.push(stream(&mut client, &door).await);
    }
    for (i, (stream, server)) in tunnels.iter_mut().enumerate() {
        stream.send(format!("from client {i};")).await;
        server.send(format!("from server {i};")).await;
    }
    for (i, (stream, server)) in tunnels.iter_mut().enumerate().rev() {
        server.hears(format!("from client {i};")).await;
        stream.hears(format!("from server {i};")).await;
    }
}

#[tokio::test]
async fn a_tunnel_that_ends_ends_no_other() {
    let door = Door::open().await;
    let (_proxy, mut client) = before(&[door.server()]).await;
    let (mut stays, mut its_server) = stream(&mut client, &door).await;
    let (reset, mut its_other) = stream(&mut client, &door).await;
    reset.writer.reset(Reason::CANCEL);
    its_other.is_cut().await;
    let (mut broken, server) = stream(&mut client, &door).await;
    server.reset();
    broken.is_cut().await;
    stays.exchange(&mut its_server, 1000).await;
}

// === windows ===

#[tokio::test]
async fn large_transfers_pass_both_ways_at_once() {
    let door = Door::open().await;
    let (_proxy, mut client) = before(&[door.server()]).await;
    let (mut stream, mut server) = stream(&mut client, &door).await;
    stream.exchange(&mut server, 8 << 20).await;
    stream.exchange(&mut server, 10).await;
}

#[tokio::test]
async fn large_transfers_pass_each_way_alone() {
    let door = Door::open().await;
    let (_proxy, mut client) = before(&[door.server()]).await;
    let (mut stream, mut server) = stream(&mut client, &door).await;
    let body = long_body(3, 4 << 20);
    stream.pass(&mut server, &body).await;
    server.pass(&mut stream, &body).await;
}

/// A client with room for much more than the one stream that it does not read.
async fn roomy(door: &Door) -> (Proxy, Http2) {
    let proxy = Proxy::start_with(H2C, &site(&[door.server()])).await;
    let mut builder = Builder::new();
    builder.initial_connection_window_size(4 << 20);
    let mut client = Http2::connect_with(&builder, proxy.addr()).await;
    is_ready(&mut client).await;
    (proxy, client)
}

#[tokio::test]
async fn a_client_that_does_not_read_a_tunnel_can_use_it_and_others() {
    let door = Door::open().await;
    let (_proxy, mut client) = roomy(&door).await;
    let (mut unread, mut its_server) = stream(&mut client, &door).await;
    let length = fill(&mut its_server.writer, 3).await;
    is_ready(&mut client).await;
    let (mut other, mut the_others_server) = stream(&mut client, &door).await;
    other.exchange(&mut the_others_server, 1 << 20).await;
    unread.pass(&mut its_server, &long_body(4, 1 << 20)).await;
    // Once it is read, everything is there.
    unread.hears(long_body(3, length)).await;
}

#[tokio::test]
async fn a_server_that_does_not_read_its_tunnel_holds_up_no_other() {
    let door = Door::open().await;
    let (_proxy, mut client) = before(&[door.server()]).await;
    let (mut stream_of_it, mut deaf) = stream(&mut client, &door).await;
    let length = fill(&mut stream_of_it.writer, 3).await;
    is_ready(&mut client).await;
    let (mut other, mut server) = stream(&mut client, &door).await;
    other.exchange(&mut server, 1 << 20).await;
    deaf.pass(&mut stream_of_it, &long_body(4, 1 << 20)).await;
    deaf.hears(long_body(3, length)).await;
}

// === the running server ===

/// Bytes pass, and then both ends say that they have no more.
async fn ends_well(stream: &mut H2Line, server: &mut Line) {
    stream.exchange(server, 100_000).await;
    stream.finish().await;
    server.ends().await;
    server.finish().await;
    stream.ends().await;
}

#[tokio::test]
async fn a_tunnel_outlives_a_reload() {
    let door = Door::open().await;
    let (mut proxy, mut client) = before(&[door.server()]).await;
    let (mut stream, mut server) = stream(&mut client, &door).await;
    let reloaded = proxy.try_reload(&file("", H2C, "")).await;
    reloaded.expect("a good file is taken");
    ends_well(&mut stream, &mut server).await;
    assert_eq!(client.get("/ready").await.status, 404);
}

#[tokio::test]
async fn a_tunnel_outlives_its_listener_and_its_connection_ends_with_it() {
    const SECOND: &str = "[[listeners]]\nname = \"second\"\nbind = \"127.0.0.2:0\"\nh2c = true\n";
    let door = Door::open().await;
    let rest = site(&[door.server()]);
    let mut proxy = Proxy::start_file(&file("", H2C, &format!("{rest}{SECOND}"))).await;
    let second = proxy.addrs()[1];
    let mut client = Http2::connect(second).await;
    is_ready(&mut client).await;
    let (mut stream, mut server) = stream(&mut client, &door).await;
    let reloaded = proxy.try_reload(&file("", H2C, &rest)).await;
    reloaded.expect("a good file is taken");
    refuses(second).await;
    ends_well(&mut stream, &mut server).await;
    drop(stream);
    client.ended().await.expect("an end without an error");
}

#[tokio::test]
async fn shutdown_waits_for_a_tunnel() {
    let door = Door::open().await;
    let (proxy, mut client) = before(&[door.server()]).await;
    let (mut stream, mut server) = stream(&mut client, &door).await;
    let addr = proxy.addr();
    let talking = async {
        refuses(addr).await;
        ends_well(&mut stream, &mut server).await;
    };
    tokio::join!(proxy.shutdown(None), talking);
}

#[tokio::test]
async fn tunnels_are_closed_within_close_spread() {
    let door = Door::open().await;
    let text = file("", H2C, &site(&[door.server()]));
    let proxy = Proxy::start_file(&format!("close_spread = \"500ms\"\n{text}")).await;
    let mut client = Http2::connect(proxy.addr()).await;
    is_ready(&mut client).await;
    let (mut one, mut its_server) = stream(&mut client, &door).await;
    let (mut other, mut the_others_server) = stream(&mut client, &door).await;
    let start = Instant::now();
    let closing = async {
        tokio::join!(one.is_cut(), its_server.is_cut());
        tokio::join!(other.is_cut(), the_others_server.is_cut());
    };
    tokio::join!(proxy.shutdown(Some(wait::DEADLINE)), closing);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
}
