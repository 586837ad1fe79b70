//! Accidents: whoever has not had everything must not take what it has for the whole, and nobody waits for one that is
//! gone.

use std::pin::pin;
use std::time::Duration;

use tokio::time::interval;

use crate::support::line::{Line, fill};
use crate::support::plain::Door;
use crate::support::proxy::Proxy;
use crate::support::streams::{start, stream};
use crate::support::wait;

/// Both ends of a connection through a stream with these keys.
async fn connected(keys: &str) -> (Proxy, Line, Line) {
    let door = Door::open().await;
    let (proxy, addr) = start(&stream(keys, &[door.server()], "")).await;
    let client = Line::connect(addr).await;
    let server = Line::accept(&door).await;
    (proxy, client, server)
}

#[tokio::test]
async fn a_reset_by_a_server_that_does_not_read_is_no_end() {
    let (_proxy, mut client, mut server) = connected("").await;
    fill(&mut client.writer, 3).await;
    server.send("partial").await;
    server.reset();
    client.is_reset().await;
}

#[tokio::test]
async fn a_connection_that_idles_before_the_client_has_everything_breaks() {
    let (_proxy, mut client, mut server) = connected("timeouts = { idle = \"1s\" }").await;
    fill(&mut server.writer, 3).await;
    // The client reads when it is over.
    server.is_cut().await;
    client.is_reset().await;
}

#[tokio::test]
async fn a_connection_that_idles_before_the_server_has_everything_breaks() {
    let (_proxy, mut client, mut server) = connected("timeouts = { idle = \"1s\" }").await;
    fill(&mut client.writer, 3).await;
    client.is_cut().await;
    server.is_reset().await;
}

#[tokio::test]
async fn a_client_that_goes_after_its_end_is_missed_though_the_server_says_nothing() {
    let (_proxy, mut client, mut server) = connected("").await;
    client.finish().await;
    server.ends().await;
    client.reset();
    // It is looked for every two seconds.
    server.breaks().await;
}

#[tokio::test]
async fn a_client_that_is_gone_is_missed_though_the_server_does_not_read() {
    let (_proxy, mut client, server) = connected("").await;
    fill(&mut client.writer, 3).await;
    client.reset();
    // It is asked for every two seconds.
    server.breaks().await;
}

#[tokio::test]
async fn tcp_user_timeout_ends_a_connection_to_somebody_who_does_not_read() {
    let (_proxy, _client, mut server) = connected("tcp_user_timeout = \"1s\"").await;
    fill(&mut server.writer, 3).await;
    server.breaks().await;
}

#[tokio::test]
async fn what_a_server_said_before_it_left_comes_whole_to_a_client_that_goes_on_speaking() {
    let (_proxy, mut client, mut server) = connected("").await;
    let said = fill(&mut server.writer, 3).await;
    let mut heard = 0;
    let mut leaving = pin!(server.leave());
    // The client reads no more than it takes for the server to be rid of everything.
    loop {
        tokio::select! {
            () = &mut leaving => break,
            piece = client.reader.exactly(1024), if heard + 1024 <= said => {
                heard += piece.expect("more").len();
            }
        }
    }
    // The first of these is answered by a RST, and the rest finds nobody.
    let mut pace = interval(Duration::from_millis(10));
    for _ in 0..20 {
        pace.tick().await;
        client.send("x").await;
    }
    let rest = wait::within("the rest", client.reader.rest()).await;
    heard += rest.expect("an end, and no error").len();
    assert_eq!(heard, said);
}
