//! A client connection between two requests keeps nothing but its socket and its deadline, and loses nothing by that:
//! bytes, an end, a reload, a drain and the deadline each wake it, and find it as if it had been awake.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use crate::support::backend::Backend;
use crate::support::behaviour::{Behaviour, echo_request, ok, slow_body};
use crate::support::client::{get, request};
use crate::support::proxy::{Proxy, app, file, says};
use crate::support::raw::Raw;
use crate::support::wait;

/// Every path is answered by lbd itself: `mark` and the target.
fn echo(mark: &str) -> String {
    says("path = \"/\"", &format!("{mark}$request_uri"))
}

/// Asks so often, each time as soon as the last answer is read; each answer is the right one.
async fn asks(client: &mut Raw, times: usize) {
    for i in 0..times {
        let target = format!("/{i}");
        assert_eq!(client.exchange(get(&target)).await.text(), target);
    }
}

/// lbd with these listener keys before one server.
async fn before(behaviour: Behaviour, listener: &str) -> (Backend, Proxy) {
    let backend = Backend::start(behaviour).await;
    let proxy = Proxy::start_with(listener, &app(&[backend.server()], "")).await;
    (backend, proxy)
}

/// Connections that have been answered once, and sleep.
async fn sleepers(addr: SocketAddr, count: usize) -> Vec<Raw> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = Raw::connect(addr).await;
        assert_eq!(client.exchange(get("/")).await.status, 200);
        clients.push(client);
    }
    clients
}

/// The client will send nothing more, and goes on listening.
async fn half_closes(client: &mut Raw) {
    // Whoever drips has the writer, which ends its direction when it is dropped.
    let writer = client.drip(Vec::new(), Duration::from_secs(1));
    writer.abort();
    writer.await.expect_err("it was aborted");
}

/// Since `start` it has been `least`, and not much longer.
fn has_taken(least: Duration, start: Instant) {
    let (took, most) = (start.elapsed(), least + Duration::from_secs(3));
    assert!((least..most).contains(&took), "{took:?}");
}

// === bytes, and their end ===

#[tokio::test]
async fn a_request_that_crosses_falling_asleep_is_answered() {
    let proxy = Proxy::start(&echo("")).await;
    asks(&mut proxy.raw().await, 1000).await;
    // The first sleep of a connection is not like the others: the reactor hears of it then.
    for _ in 0..500 {
        asks(&mut proxy.raw().await, 2).await;
    }
}

#[tokio::test]
async fn connections_that_fall_asleep_and_wake_in_turns_are_each_answered() {
    let proxy = Proxy::start(&echo("")).await;
    let mut clients = JoinSet::new();
    for mut client in sleepers(proxy.addr(), 8).await {
        clients.spawn(async move { asks(&mut client, 200).await });
    }
    clients.join_all().await;
}

#[tokio::test]
async fn the_part_that_wakes_a_sleeper_is_not_lost_and_not_taken_for_another_s() {
    let proxy = Proxy::start(&echo("")).await;
    // More than a worker keeps buffers for, and than there are places to cut.
    let mut clients = sleepers(proxy.addr(), 100).await;
    for part in 0..2 {
        for (i, client) in clients.iter_mut().enumerate() {
            let whole = get(&format!("/{i}"));
            let at = 1 + i % (whole.len() - 1);
            client.send([&whole[..at], &whole[at..]][part]).await;
        }
        // Answered after those were read.
        assert_eq!(proxy.get("/").await.status, 200);
    }
    for (i, mut client) in clients.into_iter().enumerate() {
        assert_eq!(client.response().await.text(), format!("/{i}"));
    }
}

#[tokio::test]
async fn a_client_that_asks_and_ends_its_direction_gets_its_whole_answer() {
    let long = "x".repeat(300_000);
    let proxy = Proxy::start(&says("path = \"/\"", &long)).await;
    for mut client in sleepers(proxy.addr(), 20).await {
        client.send(get("/")).await;
        half_closes(&mut client).await;
        assert!(client.response().await.text() == long);
        client.ends().await;
    }
}

#[tokio::test]
async fn a_sleeper_whose_client_ends_its_direction_is_closed() {
    let proxy = Proxy::start(&echo("")).await;
    for mut client in sleepers(proxy.addr(), 20).await {
        half_closes(&mut client).await;
        client.ends().await;
    }
}

// === pipelined requests ===

/// What the `i`th request carries: every third one nothing.
fn body(i: usize) -> String {
    format!("{i},").repeat(i % 3)
}

fn numbered(i: usize) -> Vec<u8> {
    request("POST", &format!("/{i}"), &[], body(i).as_bytes())
}

/// The next answer is that of [`echo_request`] to the `i`th request.
async fn is_answered(client: &mut Raw, i: usize) {
    let (start, end) = (format!("POST /{i} "), format!("\r\n\r\n{}", body(i)));
    let text = client.response().await.text();
    assert!(text.starts_with(&start) && text.ends_with(&end), "{text}");
}

#[tokio::test]
async fn up_to_twenty_requests_that_wake_a_sleeper_together_are_answered_in_order() {
    let (_backend, proxy) = before(echo_request(), "").await;
    let mut client = proxy.raw().await;
    for count in 2..=20 {
        let together: Vec<_> = (0..count).map(numbered).collect();
        client.send(together.concat()).await;
        for i in 0..count {
            is_answered(&mut client, i).await;
        }
    }
}

#[tokio::test]
async fn a_request_of_which_a_part_came_with_those_before_is_whole_wherever_it_was_cut() {
    let (_backend, proxy) = before(echo_request(), "").await;
    let mut client = proxy.raw().await;
    let last = numbered(2);
    for at in 1..last.len() {
        let whole = [numbered(0), numbered(1)].concat();
        client.send([&whole[..], &last[..at]].concat()).await;
        is_answered(&mut client, 0).await;
        is_answered(&mut client, 1).await;
        client.send(&last[at..]).await;
        is_answered(&mut client, 2).await;
    }
}

#[tokio::test]
async fn pipelined_requests_wait_behind_answers_that_the_client_takes_slowly() {
    // Together more than the kernel holds for a client.
    const LENGTH: usize = 4_000_000;
    let at_length = Behaviour::new(|mut peer| async move {
        loop {
            let body = peer.request().await?.target().repeat(LENGTH / 2);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
            peer.send(head + &body).await?;
        }
    });
    let (_backend, proxy) = before(at_length, "").await;
    let mut client = proxy.raw().await;
    client.send(["/a", "/b", "/c"].map(get).concat()).await;
    for target in ["/a", "/b", "/c"] {
        assert_eq!(client.response_head().await.status, 200);
        let body = client.slowly(LENGTH, Duration::from_millis(2)).await;
        assert!(body == target.repeat(LENGTH / 2).as_bytes(), "{target}");
    }
}

// === reload and drain ===

#[tokio::test]
async fn every_sleeper_is_answered_by_the_new_file() {
    let mut proxy = Proxy::start(&echo("old ")).await;
    let mut clients = sleepers(proxy.addr(), 200).await;
    proxy.reload(&echo("new ")).await;
    for (i, client) in clients.iter_mut().enumerate() {
        client.send(get(&format!("/{i}"))).await;
    }
    for (i, mut client) in clients.into_iter().enumerate() {
        assert_eq!(client.response().await.text(), format!("new /{i}"));
    }
}

#[tokio::test]
async fn a_removed_listener_ends_its_own_sleepers_and_no_others() {
    let second = "[[listeners]]\nbind = \"127.0.0.2:0\"\n";
    let mut proxy = Proxy::start_file(&file("", "", &(echo("") + second))).await;
    let staying = sleepers(proxy.addrs()[0], 100).await;
    let leaving = sleepers(proxy.addrs()[1], 100).await;
    proxy.reload(&echo("")).await;
    for mut client in leaving {
        client.ends().await;
    }
    for mut client in staying {
        asks(&mut client, 2).await;
    }
}

#[tokio::test]
async fn shutdown_ends_every_sleeper_at_once() {
    let proxy = Proxy::start(&echo("")).await;
    let clients = sleepers(proxy.addr(), 200).await;
    let start = Instant::now();
    proxy.shutdown(None).await;
    has_taken(Duration::ZERO, start);
    for mut client in clients {
        client.ends().await;
    }
}

#[tokio::test]
async fn a_request_that_crosses_shutdown_is_answered_wholly_or_not_at_all() {
    let (backend, proxy) = before(slow_body(4, Duration::from_millis(2)), "").await;
    let mut clients = sleepers(proxy.addr(), 60).await;
    let (early, late) = clients.split_at_mut(30);
    for client in early {
        client.send(get("/")).await;
    }
    wait::until("one is with the server", || backend.requests() > 60).await;
    let crossing = async {
        for client in late {
            // It may be closed by now.
            let _ = client.try_send(get("/")).await;
        }
    };
    tokio::join!(proxy.shutdown(None), crossing);
    let mut answered = 0;
    for mut client in clients {
        let text = String::from_utf8_lossy(&client.rest().await).into_owned();
        let is_whole = text.starts_with("HTTP/1.1 200 ") && text.ends_with("\r\n\r\n....");
        assert!(is_whole || text.is_empty(), "{text}");
        answered += usize::from(is_whole);
    }
    assert!(answered > 0, "what is with the server is answered");
}

// === deadlines ===

const IDLE: Duration = Duration::from_millis(600);
const IDLE_KEY: &str = "timeouts = { idle = \"600ms\" }";

#[tokio::test]
async fn a_sleeper_is_closed_after_its_idle_time_and_not_before() {
    // Waiting for a server arms the connection's timer for an earlier time than its sleep does.
    let (_backend, proxy) = before(ok("x"), IDLE_KEY).await;
    let start = Instant::now();
    let mut client = proxy.raw().await;
    assert_eq!(client.exchange(get("/")).await.status, 200);
    client.ends().await;
    has_taken(IDLE, start);
}

#[tokio::test]
async fn every_request_begins_the_idle_time_anew() {
    let (_backend, proxy) = before(ok("x"), IDLE_KEY).await;
    let mut client = proxy.raw().await;
    let (mut pace, mut last) = (interval(IDLE / 4), Instant::now());
    for _ in 0..8 {
        pace.tick().await;
        last = Instant::now();
        assert_eq!(client.exchange(get("/")).await.status, 200);
    }
    client.ends().await;
    has_taken(IDLE, last);
}

#[tokio::test]
async fn a_head_that_woke_a_sleeper_has_the_header_deadline_and_not_the_idle_one() {
    let listener = "timeouts = { idle = \"300ms\", header = \"700ms\" }";
    let proxy = Proxy::start_with(listener, &echo("")).await;
    let mut client = proxy.raw().await;
    asks(&mut client, 1).await;
    let start = Instant::now();
    client.send("GET / HTT").await;
    assert_eq!(client.response().await.status, 408);
    has_taken(Duration::from_millis(700), start);
}
