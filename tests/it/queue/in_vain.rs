//! Those who are not served: they wait for too long, or leave, or there is nobody left to wait for.

use std::time::Duration;

use tokio::time::Instant;

use super::{LINE, Slow, are_waiting, assert_busy, before, first, waits};
use crate::support::backend::Backend;
use crate::support::behaviour::ok;
use crate::support::http2::{Http2, request};
use crate::support::proxy::{Proxy, app};
use crate::support::wait;

#[tokio::test]
async fn one_that_waits_for_too_long_is_503() {
    let (slow, proxy) = before("queue = { size = 10, timeout = \"300ms\" }").await;
    let _first = first(&proxy, &slow).await;
    let began = Instant::now();
    assert_busy(&proxy.get("/late").await);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(290), "{took:?}");
    assert_eq!((slow.backend.requests(), proxy.pool().waiting), (1, 0));
}

#[tokio::test]
async fn the_connection_of_one_that_waited_in_vain_goes_on() {
    let (slow, proxy) = before("queue = { size = 10, timeout = \"100ms\" }").await;
    let mut served = first(&proxy, &slow).await;
    let mut client = proxy.client().await;
    assert_busy(&client.get("/late").await);
    slow.allowed.add_permits(2);
    assert_eq!(served.response().await.status, 200);
    assert_eq!(client.get("/again").await.text(), "/again");
}

#[tokio::test]
async fn a_client_that_leaves_leaves_the_line() {
    let (slow, proxy) = before("queue = { size = 2, timeout = \"1h\" }").await;
    let _first = first(&proxy, &slow).await;
    let gone = waits(&proxy, "/gone", 1).await;
    let mut next = waits(&proxy, "/next", 2).await;
    drop(gone);
    are_waiting(&proxy, 1).await;
    let _last = waits(&proxy, "/last", 2).await;
    slow.allowed.add_permits(2);
    assert_eq!(next.response().await.text(), "/next");
    wait::until("the last one's turn", || slow.backend.requests() == 3).await;
    assert_eq!(slow.targets(), ["/first", "/next", "/last"]);
}

#[tokio::test]
async fn a_client_that_leaves_the_server_makes_room() {
    let (slow, proxy) = before(LINE).await;
    let served = first(&proxy, &slow).await;
    let mut next = waits(&proxy, "/next", 1).await;
    drop(served);
    slow.allowed.add_permits(2);
    assert_eq!(next.response().await.text(), "/next");
}

#[tokio::test]
async fn a_stream_of_http_2_that_is_reset_leaves_the_line() {
    let slow = Slow::start().await;
    let pool = app(&[slow.server()], LINE);
    let proxy = Proxy::start_with("h2c = true", &pool).await;
    let _first = first(&proxy, &slow).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let (_answer, mut gone) = client.start(request("GET", "/gone", &[]), false).await;
    are_waiting(&proxy, 1).await;
    gone.send_reset(h2::Reason::CANCEL);
    are_waiting(&proxy, 0).await;
    assert_eq!(slow.backend.requests(), 1);
}

#[tokio::test]
async fn without_a_server_that_lives_nobody_waits() {
    let slow = Slow::start().await;
    let down = slow.backend.server_with("max_conns = 1, down = true");
    let proxy = Proxy::start(&app(&[down], LINE)).await;
    assert_eq!(proxy.get("/").await.status, 502);
}

#[tokio::test]
async fn when_checks_take_the_last_server_out_nobody_waits_any_longer() {
    let (slow, mut watcher) = (Slow::start().await, Backend::start(ok("well")).await);
    let port = watcher.addr().port();
    let checks = format!("check = \"tcp\", port = {port}, interval = \"20ms\", fall = 1");
    let keys = format!("{LINE}\nhealth = {{ {checks} }}");
    let proxy = Proxy::start(&app(&[slow.server()], &keys)).await;
    let mut served = first(&proxy, &slow).await;
    let mut client = waits(&proxy, "/late", 1).await;
    let checks = watcher.connections();
    wait::until("it waits for a while", || {
        watcher.connections() > checks + 3
    })
    .await;
    watcher.stop().await;
    assert_eq!(client.response().await.status, 502);
    slow.answers_one();
    assert_eq!(served.response().await.status, 200);
}
